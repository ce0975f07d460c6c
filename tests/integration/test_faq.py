"""The example faq_engine: its page and its JSON, with a real paravec server behind it and a real browser before it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from paravec_model.artifact import Artifact

from .. import parity
from ..environments import environment
from ..servers import PATIENCE, Server, running, until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "client/examples"

pytestmark = pytest.mark.slow

WORDS = {
    "unavailable": "There are no answers right now. Please try again in a moment.",
    "unknown": "None of these words is known. Try others, or check the spelling.",
}

QUESTION = "fire burning near Sydney"
ENTRIES = [
    {"question": "Where do the fires burn?", "answer": "Fires are burning in the hills near Sydney.\n\nFirefighters"
     " from all over the state fight them.", "category": "Nature", "url": "https://example.com/fires"},
    {"question": "Who won the cricket test?", "answer": "Australia won the test match against South Africa."},
    {"question": "What did the government decide?", "answer": "The prime minister said the parliament will vote."},
    {"question": "What do the police say?", "answer": "The police arrested two men on charges of murder."},
    {"question": "How is the economy?", "answer": "The reserve bank cut interest rates, and the dollar fell."},
]  # fmt: skip


class Engine:
    """A running example."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process, self.log = process, ""
        self._listening = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        assert self._listening.wait(PATIENCE), self.log
        found = re.search(r"page is at (http://127\.0\.0\.1:\d+)", self.log)
        assert found, self.log
        self.address = found[1]

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.log += line
            if "page is at" in line:
                self._listening.set()
        self._listening.set()

    def get(self, path: str, **parameters: str) -> tuple[int, str, Any]:
        """Status, content and headers of an address."""
        address = f"{self.address}{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:  # noqa: S310
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), error.headers

    def ask(self, question: str, **parameters: str) -> tuple[int, Any]:
        """Status and JSON of the answer to a question."""
        status, content, _ = self.get("/api/ask", q=question, **parameters)
        return status, json.loads(content)


@pytest.fixture(scope="session")
def place() -> Path:
    """The example's virtual environment."""
    return environment("faq")


def variables(**more: str) -> dict[str, str]:
    """The environment of an example."""
    paths = os.pathsep.join(map(str, (ROOT / "client", ROOT / "proto", EXAMPLES)))
    return (
        {name: value for name, value in os.environ.items() if name != "PARAVEC_TIMEOUT"} | {"PYTHONPATH": paths} | more
    )


@contextmanager
def serving(place: Path, target: str, file: Path, *flags: str) -> Iterator[Engine]:
    """An example of a file, with a server as its paravec."""
    command = [str(place / "bin/python"), "-m", "faq_engine", "--faq", str(file), "--title", "News", *flags]
    command += ["--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=variables(PARAVEC_TARGET=target), text=True) as process:
        try:
            yield Engine(process)
        finally:
            process.kill()


def write(file: Path, entries: list[dict[str, str]]) -> None:
    """Write the entries' file."""
    file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def indexed(model: Path, file: Path, output: Path) -> Path:
    """An index of a file's entries, as the page of the example says to make it."""
    command = [sys.executable, "-m", "paravec_model.cli", "index", str(model), "--jsonl", str(file), "--lexical"]
    command += ["--id-field", "question", "--field", "question", "--field", "answer", "--output", str(output)]
    subprocess.run(command, check=True, capture_output=True)
    return output


@pytest.fixture(scope="session")
def index(artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of the entries."""
    folder = tmp_path_factory.mktemp("faq")
    write(folder / "faq.jsonl", ENTRIES)
    return indexed(artifact.path, folder / "faq.jsonl", folder / "index")


@pytest.fixture
def paravec(index: Path) -> Iterator[Server]:
    """A server of the index."""
    with running(index) as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The entries."""
    file = tmp_path / "faq.jsonl"
    write(file, ENTRIES)
    return file


@pytest.fixture
def engine(place: Path, paravec: Server, file: Path) -> Iterator[Engine]:
    """The example, of these entries."""
    with serving(place, paravec.target, file) as engine:
        yield engine


def test_a_question_finds_its_answer(engine: Engine) -> None:
    """The nearest entry first; what is near to nothing says so, and what the model does not know."""
    status, answer = engine.ask(QUESTION)
    assert status == 200
    assert answer["understood"]
    assert answer["entries"][0]["question"] == ENTRIES[0]["question"]
    assert 12 <= answer["entries"][-1]["percent"] <= answer["entries"][0]["percent"] <= 100
    assert len(engine.ask(QUESTION, top="1")[1]["entries"]) == 1
    assert answer["entries"][0]["category"] == "Nature"
    status, answer = engine.ask("xyzzy plugh")
    assert (status, answer["understood"], answer["entries"]) == (200, False, [])
    assert engine.get("/healthz")[0] == engine.get("/readyz")[0] == 200


def test_a_bad_question_is_a_status_and_a_sentence(engine: Engine) -> None:
    """An empty or long question is a 400 with a plain sentence, in JSON and on the page."""
    for question, name in (("", "missing"), ("fire " * 200, "too_long")):
        status, answer = engine.ask(question)
        assert (status, answer["error"]) == (400, name)
    assert engine.ask(QUESTION, top="0")[1]["error"] == "top"
    status, page, _ = engine.get("/", q="fire " * 200)
    assert status == 400
    assert "500 characters" in page
    assert engine.get("/nothing")[0] == 404


def test_questions_are_escaped_and_neither_cached_nor_logged(engine: Engine) -> None:
    """A question is shown as text, responses forbid inline scripts and caching, and the log never contains it."""
    asked = '"><script>alert("fire")</script>'
    status, page, headers = engine.get("/", q=asked)
    assert status == 200
    assert "<script>alert" not in page
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "set-cookie" not in headers
    for path in ("/static/page.css", "/static/page.js", "/static/icon.svg"):
        assert engine.get(path)[0] == 200
        assert path in page
    assert engine.get("/static/../app.py")[0] == 404
    engine.ask(QUESTION)
    engine.process.send_signal(signal.SIGTERM)
    engine.process.wait(PATIENCE)
    assert "alert" not in engine.log
    assert "Sydney" not in engine.log


@pytest.fixture(scope="session")
def office(place: Path) -> Iterator[Engine]:
    """The example as `make faq` runs it."""
    if not list(Path("/usr/share/libreoffice/help/en-US").glob("text/**/*.html")):
        pytest.skip("no help pages: apt-get install libreoffice-help-en-us")
    subprocess.run(["make", "faq-index"], cwd=ROOT, check=True, capture_output=True)
    file = EXAMPLES / "faq_engine/faqs/office-en.jsonl"
    with running(ROOT / "build/models/faq-office-en-index") as server, serving(place, server.target, file) as engine:
        yield engine


def test_a_question_off_the_subject_finds_nothing(office: Engine) -> None:
    """What `make faq` serves finds the entry of a lost file, and nothing about the weather."""
    assert office.ask("weather today")[1]["entries"] == []
    (first, *_) = office.ask("crash lost my file")[1]["entries"]
    assert first["question"] == "How do I recover a document after a crash?"


def test_the_questions_beside_the_entries_are_answered(office: Engine) -> None:
    """Of the questions that it is judged by, at least as many are answered as the documentation says."""
    content = json.loads((EXAMPLES / "faq_engine/faqs/office-en.questions.json").read_text())
    asked = [(question, entry) for entry, several in content["plain"].items() for question in several]
    found = [office.ask(question)[1]["entries"] for question, _ in asked]
    first = [bool(one) and one[0]["question"] == entry for one, (_, entry) in zip(found, asked, strict=True)]
    answered = [question for question in content["unrelated"] if office.ask(question)[1]["entries"]]
    assert len(first) == 52
    assert sum(first) >= 43
    assert len(answered) <= 4


def test_a_word_that_the_model_does_not_know_is_found(
    place: Path, artifact: Artifact, file: Path, tmp_path: Path
) -> None:
    """A name that only an entry has finds that entry, although the question has no vector."""
    write(file, [*ENTRIES, {"question": "What is Zyxel?", "answer": "A printer without paper."}])
    with running(indexed(artifact.path, file, tmp_path / "index")) as server:
        with serving(place, server.target, file) as engine:
            status, answer = engine.ask("zyxel")
            assert (status, answer["understood"]) == (200, True)
            assert answer["entries"][0]["question"] == "What is Zyxel?"
            assert engine.ask("xyzzy")[1] == {"understood": False, "entries": []}


def test_a_model_without_the_entries_is_named_in_one_line(
    place: Path, artifact: Artifact, other: Path, file: Path, tmp_path: Path
) -> None:
    """A model without documents, one without their words and one with others are a line in the log and in /readyz, and
    a sentence on the page."""
    write(tmp_path / "others.jsonl", [{"question": "Who bats?", "answer": "The captain."}])
    others = indexed(artifact.path, tmp_path / "others.jsonl", tmp_path / "others")
    lacking = "the model has no documents with a lexical index"
    for path, problem in ((other, lacking), (artifact.path, lacking), (others, "'Who bats?', and no entry")):
        with running(path) as server, serving(place, server.target, file) as engine:
            status, line, _ = engine.get("/readyz")
            assert status == 503
            assert problem in line
            assert "paravec-model index" in line
            assert len(line.splitlines()) == 1
            assert engine.ask(QUESTION) == (503, {"error": "unavailable", "message": WORDS["unavailable"]})
            engine.ask(QUESTION)
            until(lambda log=engine: "paravec-model index" in log.log)  # type: ignore[misc]
            assert engine.log.count("paravec-model index") == 1
            assert "Traceback" not in engine.log


def test_entries_that_changed_since_the_index_are_named_in_one_line(engine: Engine, file: Path) -> None:
    """A new question is not found until it is indexed, which one line says; a changed answer is shown at once."""
    changed = ENTRIES[0] | {"answer": "Nowhere."}
    write(file, [changed, *ENTRIES[1:-1], {"question": "Who rules the waves?", "answer": "Nobody."}])
    until(lambda: engine.ask(QUESTION)[1]["entries"][0]["answer"] == "Nowhere.")
    engine.ask(QUESTION)
    until(lambda: "paravec-model index" in engine.log)
    (line,) = [line for line in engine.log.splitlines() if "paravec-model index" in line]
    assert "lacks 'Who rules the waves?'" in line
    assert engine.get("/readyz")[0] == 200


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model, of smaller vectors and without documents."""
    made = tmp_path_factory.mktemp("other") / "other"
    return parity.to_artifact(parity.train(dm=0, epochs=15, vector_size=30), made, doctags=False).path


def test_it_answers_503_without_paravec_and_recovers(
    place: Path, index: Path, other: Path, file: Path, tmp_path: Path
) -> None:
    """Without paravec it answers 503 with a sentence; when paravec returns, with another model too, it answers."""
    with running(index) as first:
        with serving(place, first.target, file) as engine:
            assert engine.ask(QUESTION)[0] == 200
            assert engine.get("/readyz")[0] == 200
            first.stop()
            status, answer = engine.ask(QUESTION)
            assert (status, answer["error"]) == (503, "unavailable")
            status, page, _ = engine.get("/", q=QUESTION)
            assert status == 503
            assert WORDS["unavailable"] in page
            # The page stays in reach, to say so.
            assert engine.get("/readyz")[0] == engine.get("/healthz")[0] == 200
            with running(indexed(other, file, tmp_path / "index"), "--listen", first.target):
                until(lambda: engine.ask(QUESTION)[0] == 200)
                assert engine.ask(QUESTION)[1]["entries"][0]["question"] == ENTRIES[0]["question"]
            assert "Traceback" not in engine.log


def test_a_server_that_hangs_is_told(place: Path, file: Path) -> None:
    """A server that accepts connections and never answers is a 503 by the deadline of two seconds, not a page that
    waits."""
    with socket.create_server(("127.0.0.1", 0)) as hung:
        with serving(place, f"127.0.0.1:{hung.getsockname()[1]}", file) as engine:
            address = f"{engine.address}/api/ask?q=fire"
            with pytest.raises(urllib.error.HTTPError, match="503") as caught:
                # The client's own deadline is 30 seconds.
                urllib.request.urlopen(address, timeout=15)  # noqa: S310
            caught.value.close()


def test_a_taken_port_is_one_clear_line(place: Path, file: Path) -> None:
    """The line names the address and the flag, and the status is 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [str(place / "bin/python"), "-m", "faq_engine", "--faq", str(file), "--listen", address]
        ran = subprocess.run(command, env=variables(), capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert address in line
    assert "--listen" in line


def test_a_changed_file_is_reloaded_and_a_damaged_one_ignored(engine: Engine, file: Path) -> None:
    """A changed FAQ file is reloaded without a restart, and a damaged one leaves the entries as they were."""
    engine.ask(QUESTION)
    write(file, ENTRIES[1:])
    until(lambda: engine.ask(QUESTION)[0] == 200 and "Where do the fires burn?" not in engine.get("/")[1])
    time.sleep(0.01)
    file.write_text('{"question": ')
    until(lambda: engine.ask(QUESTION)[0] == 200 and "stay as they were" in engine.log)
    assert "Who won the cricket test?" in engine.get("/")[1]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "faq.jsonl:1 is not JSON"),
        ("\n", "has no entries"),
        ('{"question": "a"}', "faq.jsonl:1 has no answer"),
        ('{"question": "a", "answer": 1}', "faq.jsonl:1 must have"),
        ('{"question": "a", "answer": "b", "url": "javascript:x"}', "url must begin"),
        ('{"question": "a", "answer": "b"}\n{"question": "a", "answer": "c"}', "faq.jsonl:2 asks again: 'a'"),
    ],
)
def test_a_wrong_file_is_one_clear_line(place: Path, tmp_path: Path, content: str, problem: str) -> None:
    """And no start."""
    file = tmp_path / "faq.jsonl"
    file.write_text(content)
    command = [str(place / "bin/python"), "-m", "faq_engine", "--faq", str(file), "--listen", "127.0.0.1:0"]
    ran = subprocess.run(command, env=variables(), capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert problem in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.fixture(scope="session")
def browser() -> Callable[..., Any]:
    """Runs tests/faq_browser.py, and returns what it saw."""
    if not shutil.which("chromium"):
        pytest.skip("no browser: apt-get install chromium")
    driver = environment("browser")

    def run(*arguments: str | Path) -> Any:
        command = [driver / "bin/python", ROOT / "tests/faq_browser.py", *arguments]
        ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return run


LABELS = {"en": "Your question", "it": "La tua domanda"}


@pytest.mark.parametrize("language", LABELS)
def test_the_page_works_by_keyboard_at_both_widths(
    browser: Callable[..., Any], place: Path, paravec: Server, file: Path, tmp_path: Path, language: str
) -> None:
    """In Chromium, with and without scripts, light and dark, the answer, the next entry and the way back work by
    keyboard."""
    # All entries are answers, however near: the keyboard is to reach the second.
    with serving(place, paravec.target, file, "--threshold=-1000", f"--language={language}") as engine:
        until(lambda: engine.get("/readyz")[0] == 200)
        seen = browser("visit", engine.address, QUESTION, tmp_path)
    assert len(seen) == 6
    for name, facts in seen.items():
        assert facts["first"].endswith("Where do the fires burn?"), name
        assert "Firefighters" in facts["answer"], name
        assert "Nature" in facts["answer"], name
        assert facts["open"] == [True, True], name
        assert (facts["field"], facts["back"]) == (QUESTION, ""), name
        assert facts["title"] == f"{QUESTION} · News", name
        assert (facts["language"], facts["label"]) == (language, LABELS[language]), name
        assert facts["said"].startswith("5 "), name
        assert facts["fits"], name
        # AA of WCAG, for text of any size.
        assert facts["contrast"] >= 4.5, name
        assert facts["problems"] == [], name
        assert facts["loads"] == (2 if "no scripts" in name else 1), name


def test_the_page_shows_that_paravec_is_away_and_recovers(
    browser: Callable[..., Any], place: Path, index: Path, file: Path
) -> None:
    """In Chromium, with and without scripts, the page shows a sentence in place of the browser's own error."""
    with running(index) as first, serving(place, first.target, file) as engine:
        first.stop()
        assert set(browser("ask", engine.address, QUESTION)) == {WORDS["unavailable"]}
        with running(index, "--listen", first.target):
            until(lambda: engine.ask(QUESTION)[0] == 200)
            assert all(
                "answer" in said and said != WORDS["unavailable"] for said in browser("ask", engine.address, QUESTION)
            )
            assert set(browser("ask", engine.address, "xyzzy")) == {WORDS["unknown"]}


@pytest.mark.parametrize("language", ["en", "it"])
def test_debians_faq_is_converted_from_its_package(language: str, tmp_path: Path) -> None:
    """The converter finds more than 100 questions with answers in Debian's package."""
    folder = Path("/usr/share/doc/debian/FAQ") / ("it" if language == "it" else ".")
    if not list(folder.glob(f"*.{language}.html")):
        pytest.skip(f"no such pages: apt-get install debian-faq{'-it' if language == 'it' else ''}")
    command = ["python3", "-m", "faq_engine.debian", language, str(tmp_path / "faq.jsonl")]
    subprocess.run(command, cwd=EXAMPLES, check=True, capture_output=True)
    made = [json.loads(line) for line in (tmp_path / "faq.jsonl").read_text().splitlines()]
    assert len({entry["question"] for entry in made}) == len(made) > 100
    assert all(entry["question"] and entry["answer"] for entry in made)
