"""The corpus formats, and errors that name the file and the line."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from client.examples.libreoffice_help import ROOT, HelpError, page_text, pages
from hypothesis import given
from hypothesis import strategies as st

from paravec_model.corpus.formats import (
    Corpus,
    CsvCorpus,
    FolderCorpus,
    JsonlCorpus,
    LinesCorpus,
    named_corpus,
)
from paravec_model.corpus.streaming import ContentDigest
from paravec_model.errors import CorpusError

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=5)


def write(folder: Path, content: str | bytes, name: str = "corpus") -> Path:
    """A file that holds `content`."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def problem(corpus: Corpus) -> str:
    """The error of reading all of `corpus`, which is one line."""
    with pytest.raises(CorpusError) as error:
        list(corpus)
    assert "\n" not in str(error.value)
    return str(error.value)


def digest(corpus: Corpus) -> str:
    """Digest of all that a corpus holds."""
    content = ContentDigest()
    for tags, text in corpus:
        content.add(tags, text)
    return content.hexdigest()


def test_lines_are_numbered_and_blank_ones_left_out(tmp_path: Path) -> None:
    """The tag of a line is its number from 0, and blank lines count."""
    corpus = LinesCorpus(write(tmp_path, "\ufeffuno\r\n\n \t\nquattro\x0b\u2028ancora\n\ncinque"))
    assert list(corpus) == [([0], "uno"), ([3], "quattro\x0b\u2028ancora"), ([5], "cinque")]


def test_a_corpus_can_be_read_again(tmp_path: Path) -> None:
    """Each iteration opens the file anew, so two at once do not disturb each other and a change is seen."""
    corpus = LinesCorpus(write(tmp_path, "uno\ndue\n"))
    first, second = iter(corpus), iter(corpus)
    assert next(first) == next(second)
    assert next(first) == next(second)
    write(tmp_path, "tre\n")
    assert list(corpus) == [([0], "tre")]


def test_jsonl_tags_are_a_value_a_list_or_the_line_number(tmp_path: Path) -> None:
    """The tag field holds a string, an integer or a list of them; without one the tag is the line's number."""
    lines = [{"t": "uno", "id": "a"}, {"t": "due", "id": 7}, {"t": "  ", "id": 8}, {"t": "tre", "id": ["b", 7]}]
    file = write(tmp_path, "\n\n".join(json.dumps(line) for line in lines))
    assert list(JsonlCorpus(file, "t", "id")) == [(["a"], "uno"), ([7], "due"), (["b", 7], "tre")]
    assert list(JsonlCorpus(file, "t")) == [([0], "uno"), ([2], "due"), ([6], "tre")]


def test_records_have_all_fields_and_their_place(tmp_path: Path) -> None:
    """JSONL and CSV give several fields of a document, also of a blank one, with the line that it is on."""
    rows = [{"id": "a", "q": "uno", "r": "due\ntre"}, {"id": "b", "q": "", "r": ""}]
    jsonl = write(tmp_path, "\n\n".join(map(json.dumps, rows)), "corpus.jsonl")
    table = write(tmp_path, 'id,q,r\na,uno,"due\ntre"\nb,,\n', "corpus.csv")
    for corpus, lines in ((JsonlCorpus(jsonl, ("q", "r"), "id"), (1, 3)), (CsvCorpus(table, ("q", "r"), "id"), (3, 4))):
        where = [f"{corpus.path}, line {line}" for line in lines]
        assert list(corpus.records()) == [(where[0], ["a"], ["uno", "due\ntre"]), (where[1], ["b"], ["", ""])]
        assert list(corpus) == [(["a"], "uno")]


def test_csv_columns_are_chosen_by_name(tmp_path: Path) -> None:
    """Fields may hold commas and line breaks; without a tag column, the tag is the row's number."""
    file = write(tmp_path, '\ufeffid,body\r\na,"uno, due\r\ntre"\r\n\r\nb,\r\nc,quattro\r\n')
    assert list(CsvCorpus(file, "body", "id")) == [(["a"], "uno, due\r\ntre"), (["c"], "quattro")]
    assert list(CsvCorpus(file, "body")) == [([0], "uno, due\r\ntre"), ([2], "quattro")]


def test_a_csv_field_may_be_long(tmp_path: Path) -> None:
    """The limit of 131,072 characters that Python's csv starts with is lifted."""
    assert len(next(iter(CsvCorpus(write(tmp_path, "body\n" + "a " * 200_000), "body")))[1]) > 390_000


def test_a_folder_is_read_in_order_of_its_paths(tmp_path: Path) -> None:
    """All .txt files below it are documents, tagged with their relative path; other files are not."""
    for name in ("b.txt", "a/z.txt", "a/deep/y.txt", "a.md", "blank.txt"):
        write(tmp_path, "" if name == "blank.txt" else f"text of {name}", name)
    assert list(FolderCorpus(tmp_path)) == [([n], f"text of {n}") for n in ("a/deep/y.txt", "a/z.txt", "b.txt")]


@given(texts=TEXTS)
def test_jsonl_and_csv_yield_what_was_written(tmp_path: Path, texts: list[str]) -> None:
    """Any text survives, whatever it holds; the two kinds yield the same documents and so the same digest."""
    jsonl = write(tmp_path, "".join(json.dumps({"text": text}) + "\n" for text in texts), "corpus.jsonl")
    with (tmp_path / "corpus.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["text"], *([text] for text in texts)])
    expected = [([number], text) for number, text in enumerate(texts) if text.strip()]
    for corpus in (JsonlCorpus(jsonl, "text"), CsvCorpus(tmp_path / "corpus.csv", "text")):
        if expected:
            assert list(corpus) == expected
        else:
            assert problem(corpus).endswith("holds no documents")


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (b"{}", 1, "has no field 'text'"),
        (b'{"text": "a", "tag": 0}\n{"text"\n', 2, "is not JSON: Expecting ':' delimiter at column 8"),
        (b'\n{"text": "a", "tag": 0}\n{"text": null, "tag": 1}', 3, "field 'text' must be a string, not null"),
        (b'{"text": ["secret"], "tag": 0}', 1, "field 'text' must be a string, not a list"),
        (b'["text"]', 1, "must be a JSON object, not a list"),
        (b'{"text": "a", "tag": 1.5}', 1, "a tag must be a string, an integer, or a list of these, not 1.5"),
        (b'{"text": "a", "tag": true}', 1, "a tag must be"),
        (b'{"text": "a", "tag": []}', 1, "a tag must be"),
        (b'{"text": "a"}', 1, "has no field 'tag'; its fields are [\"text\"]"),
        (b'{"text": "\xe0"}', 1, "is not UTF-8"),
        (b"[" * 100_000, 1, "is not JSON that can be read"),
        (b'{"text": ' + b"1" * 5000 + b"}", 1, "is not JSON that can be read"),
    ],
)
def test_a_bad_line_of_jsonl_is_named(tmp_path: Path, content: bytes, line: int, says: str) -> None:
    """The error gives the file, the number of the line from 1, and what is wrong with it."""
    file = write(tmp_path, content)
    assert problem(JsonlCorpus(file, "text", "tag")).startswith(f"{file}, line {line}: {says}")


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("id,body\n1,a\n", 1, 'has no column \'text\'; the header is ["id", "body"]'),
        ("text,text\na,b\n", 1, "has more than one column 'text'"),
        ("id,text\n1,a\n2\n", 3, "has 1 columns, the header has 2"),
        ("id,text\n1,a,b\n", 2, "has 3 columns, the header has 2"),
        ('id,text\n1,"a"b\n', 2, "is not CSV: "),
        ('id,text\n1,"a\n2,b\n', 3, "is not CSV: unexpected end of data"),
        (b"id,text\n1,\xff\n", 2, "is not UTF-8 (invalid start byte)"),
    ],
)
def test_a_bad_line_of_csv_is_named(tmp_path: Path, content: str | bytes, line: int, says: str) -> None:
    """The error gives the file, the number of the line from 1, and what is wrong with it."""
    file = write(tmp_path, content)
    assert problem(CsvCorpus(file, "text")).startswith(f"{file}, line {line}: {says}")


def test_a_wrong_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    """Text that is not UTF-8 is an error of its line, in a file of lines and in a file of a folder."""
    file = write(tmp_path, "buono\nperché\ncosì\n".encode("latin-1"), "latin.txt")
    for corpus in (LinesCorpus(file), FolderCorpus(tmp_path)):
        assert problem(corpus).startswith(f"{file}, line 2: is not UTF-8 (invalid continuation byte)")


def test_a_tag_that_no_caller_could_name_is_refused(tmp_path: Path) -> None:
    """A lone surrogate, which UTF-8 lacks: in a tag of JSON, and in a file's name of another encoding."""
    says = "its tag or id has a lone surrogate, which UTF-8 cannot carry"
    for tag in ("\ud800", ["a", "x\udfff"]):
        jsonl = write(
            tmp_path, json.dumps({"t": "uno", "id": "😀"}) + "\n" + json.dumps({"t": "due", "id": tag}) + "\n"
        )
        assert problem(JsonlCorpus(jsonl, "t", "id")) == f"{jsonl}, line 2: {says}"
        assert len(list(JsonlCorpus(jsonl, "t"))) == 2
    name = write(tmp_path, "uno", os.fsdecode(b"folder/perch\xe9.txt"))
    assert problem(FolderCorpus(tmp_path / "folder")) == f"{name}: {says}"


@pytest.mark.parametrize(
    "corpus",
    [
        LinesCorpus(Path("gone")),
        JsonlCorpus(Path("gone"), "f"),
        CsvCorpus(Path("gone"), "c"),
        FolderCorpus(Path("gone")),
    ],
)
def test_a_missing_corpus_is_named(corpus: Corpus) -> None:
    """A missing file or folder is named."""
    assert problem(corpus) == "gone: No such file or directory"


def test_a_corpus_without_documents_is_an_error(tmp_path: Path) -> None:
    """A file or folder with nothing but white space is named."""
    file = write(tmp_path, " \n\n", "blank.txt")
    for corpus in (
        LinesCorpus(file),
        JsonlCorpus(file, "f"),
        CsvCorpus(write(tmp_path, ""), "c"),
        FolderCorpus(tmp_path),
    ):
        assert problem(corpus) == f"{corpus.path}: holds no documents"


def test_the_digest_depends_on_content_alone(tmp_path: Path) -> None:
    """The same tags and texts have the same digest from any file; another tag, text or order has another."""
    contents = ("uno\ndue\n", "due\nuno\n", "uno\n\ndue\n", "unodue\n")
    digests = [digest(LinesCorpus(write(tmp_path, content, f"{i}.txt"))) for i, content in enumerate(contents)]
    assert len(set(digests)) == len(contents)
    assert digest(LinesCorpus(write(tmp_path, contents[0], "elsewhere/x"))) == digests[0]


def test_the_lee_corpus_has_300_stories() -> None:
    """gensim's Lee background corpus is there, and is found without importing gensim."""
    code = (
        "import sys; from paravec_model.corpus.formats import named_corpus; print(len(list(named_corpus('lee'))));"
        "sys.exit('gensim' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "300\n"


@pytest.mark.parametrize(("language", "word"), [("it", "foglio"), ("en-us", "spreadsheet")])
def test_libreoffices_help_is_prose(language: str, word: str) -> None:
    """Each page of the installed help is a document of its own words, without menus and scripts."""
    if not (ROOT / language.replace("us", "US")).is_dir():
        pytest.skip(f"the Debian package libreoffice-help-{language} is not installed")
    found = dict(pages(language))
    assert len(found) > 1000
    assert all(page.endswith(".html") for page in found)
    assert sum(word in text.lower() for text in found.values()) > 100
    assert not [page for page, text in found.items() if "DisplayArea" in text or "Help content debug info" in text]


def test_a_missing_help_corpus_names_its_debian_package(tmp_path: Path) -> None:
    """The error names the Debian package."""
    with pytest.raises(HelpError, match=r"^no pages in .*it/text; install them: apt-get install libreoffice-help-it$"):
        list(pages("it", tmp_path))


def test_a_help_page_is_its_title_headings_paragraphs_cells_and_items() -> None:
    """One line for each; what is inline stays in its line, and what is around the page's own part is left out."""
    page = """<html><head><title>Titolo</title><script>no()</script></head><body><p>menu</p>
      <div id="DisplayArea" itemprop="x"><h1 id="a">Capo &amp; coda</h1><meta content="no"><script>a<b</script>
      <p class="paragraph">Il <span class="emph">Filtro</span>
        &egrave; attivo.<br>Ora.</p><div>no</div><ul><li>uno<ul><li>due</li></ul></li></ul><table><tr><th>tre</th>
      <td><p>quattro</p></td></tr></table><p><style>no</style>cinque</p><pre>no</pre></div>
      <div id="SearchFrame"></div><footer><p>piede</p></footer></body></html>"""
    lines = ["Titolo", "Capo & coda", "Il Filtro è attivo.", "Ora.", "uno", "due", "tre", "quattro", "cinque"]
    assert page_text(page) == "\n".join(lines)


@pytest.mark.parametrize("page", ["", "<title", "<title>a", '<div id="DisplayArea"', "<p>a</p></p></p><p>"])
def test_a_broken_page_is_no_error(page: str) -> None:
    """Whatever a page holds, its text is a string."""
    assert isinstance(page_text(page), str)


def test_an_unknown_name_lists_the_known_ones() -> None:
    """The error of a name that is not built in says which are."""
    with pytest.raises(CorpusError, match="nope: is not a built-in corpus; the only one is lee"):
        named_corpus("nope")
