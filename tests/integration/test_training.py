"""`paravec-model train`, from each kind of corpus to an artifact."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from gensim.models.doc2vec import Doc2Vec, TaggedDocument

from paravec_model.artifact import Artifact, verify
from paravec_model.cli.main import main
from paravec_model.corpus.formats import JsonlCorpus, LinesCorpus, named_corpus
from paravec_model.encoder import Encoder
from paravec_model.errors import CorpusError, ModelError, OptionError
from paravec_model.text.tokenizer import RegexTokenizer, SimpleTokenizer, WhitespaceTokenizer
from paravec_model.training.parameters import TrainingParameters
from paravec_model.training.train import train

SMALL = ("--vector-size", "8", "--epochs", "2", "--min-count", "2")
STORIES = [text for _, text in named_corpus("lee")][:40]


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A paravec-model process of its own."""
    command = [sys.executable, "-m", "paravec_model.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def trained(output: Path, *arguments: str | Path) -> Artifact:
    """The artifact of a small model that the command trains, its files verified."""
    assert main(["train", *SMALL, "--output", str(output), "--doctags", *map(str, arguments)]) == 0
    assert verify(output) == []
    return Artifact.open(output)


def jsonl(folder: Path, tags: Sequence[object]) -> Path:
    """The stories as JSON lines, with these tags."""
    file = folder / "corpus.jsonl"
    records = [{"text": text, "tag": tag} for text, tag in zip(STORIES, tags, strict=True)]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


@pytest.mark.parametrize("kind", ["lines", "jsonl", "csv", "folder"])
def test_every_kind_of_corpus_trains_the_same_model(kind: str, tmp_path: Path) -> None:
    """The same stories give the same arrays whatever they are read from, and the tags of their kind."""
    lines, tags = tmp_path / "corpus.txt", [f"{i:02}.txt" for i in range(len(STORIES))]
    lines.write_text("".join(story.strip() + "\n" for story in STORIES))
    flags: tuple[str | Path, ...] = ("--lines", lines)
    if kind == "jsonl":
        flags = ("--jsonl", jsonl(tmp_path, tags), "--field", "text", "--tag-field", "tag")
    elif kind == "csv":
        rows = [f'{tag},"{story.replace(chr(34), chr(34) * 2)}"\n' for tag, story in zip(tags, STORIES, strict=True)]
        (tmp_path / "corpus.csv").write_text("name,story\n" + "".join(rows))
        flags = ("--csv", tmp_path / "corpus.csv", "--column", "story", "--tag-column", "name")
    elif kind == "folder":
        (tmp_path / "folder").mkdir()
        for tag, story in zip(tags, STORIES, strict=True):
            (tmp_path / "folder" / tag).write_text(story)
        flags = ("--folder", tmp_path / "folder")
    artifact = trained(tmp_path / "model", *flags)
    expected = trained(tmp_path / "expected", "--lines", lines)
    for name, array in expected.arrays.items():
        # Where tags begin is as different as they are.
        assert name == "doctag_offsets" or (artifact.arrays[name] == array).all(), name
    assert list(artifact.doctags) == (list(range(len(tags))) if kind == "lines" else tags)
    assert artifact.manifest.training["source"] == f"corpus {kind}"
    assert artifact.manifest.training["corpus_count"] == len(STORIES)


def test_a_named_corpus_trains_a_model_of_its_words(tmp_path: Path) -> None:
    """The manifest records the corpus by its name."""
    artifact = trained(tmp_path / "model", "--corpus", "lee", "--dm", "0")
    assert Encoder(artifact).encode([["australia"]]).known_token_counts == [1]
    assert artifact.manifest.doctag_count == artifact.manifest.training["corpus_count"] == 300
    assert artifact.manifest.training["source"] == "corpus lee"


@pytest.mark.parametrize(
    "parameters", [("--dm", "0"), ("--dm", "1", "--hs", "1"), ("--dm", "1", "--dm-concat", "1", "--window", "2")]
)
def test_training_is_reproducible(parameters: tuple[str, ...], tmp_path: Path) -> None:
    """Two processes with other hash seeds write the same bytes, but for the time where none is given."""
    flags = ("train", "--corpus", "lee", *SMALL, *parameters, "--name", "lee", "--doctags", "--output")
    for name, environment in {"a": {"SOURCE_DATE_EPOCH": "0"}, "b": {"SOURCE_DATE_EPOCH": "0"}, "c": {}}.items():
        ran = run(*flags, tmp_path / name, PYTHONHASHSEED=str(ord(name)), **environment)
        assert (ran.returncode, ran.stderr) == (0, "")
    names = sorted(file.name for file in (tmp_path / "a").iterdir())
    for other, but in (("b", set()), ("c", {"manifest.json"})):
        assert sorted(file.name for file in (tmp_path / other).iterdir()) == names
        changed = {n for n in names if (tmp_path / "a" / n).read_bytes() != (tmp_path / other / n).read_bytes()}
        assert changed <= but
    first, third = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in "ac")
    assert {key for key in first if first[key] != third[key]} == {"created", "checksum"}


def test_training_gives_gensims_model(tmp_path: Path) -> None:
    """Our corpus reading and tag numbering change no bit of the vectors that gensim learns."""
    tokenizer, parameters = SimpleTokenizer(), TrainingParameters(vector_size=8, epochs=3, min_count=2)
    trained = train(JsonlCorpus(jsonl(tmp_path, [f"s{i}" for i in range(40)]), "text", "tag"), tokenizer, parameters)
    model, facts = trained.model, trained.facts
    documents = [TaggedDocument(tokenizer(text), [f"s{i}"]) for i, text in enumerate(STORIES)]
    given = {name: value for name, value in asdict(parameters).items() if value is not None}
    plain = Doc2Vec(documents, **given)
    assert model.wv.index_to_key == plain.wv.index_to_key
    assert model.dv.index_to_key == plain.dv.index_to_key
    assert (model.dv.vectors == plain.dv.vectors).all()
    assert (model.syn1neg == plain.syn1neg).all()
    assert (model.dv["s7"] == plain.dv["s7"]).all()
    assert facts["distinct_tokens"] == len({word for document in documents for word in document.words})


def test_defaults_are_gensims() -> None:
    """A parameter left unset has gensim's default, except for two, and two that depend on the corpus."""
    model, ours = Doc2Vec(), {"dm": 0, "workers": 1, "epochs": None, "min_count": None}
    for name, value in asdict(TrainingParameters()).items():
        if name in ours:
            assert value == ours[name]
        elif name != "dm_mean":
            assert getattr(model, name) == value, name


@pytest.mark.parametrize(
    ("flags", "says", "epochs", "min_count"),
    [
        ((), "epochs 40, min_count 2: corpus of 40 documents with {words:,} words; set --epochs or --min-count", 40, 2),
        (("--epochs", "2"), "min_count 2: corpus of 40 documents with {words:,} words; set --min-count", 2, 2),
        (("--min-count", "1"), "epochs 40: corpus of 40 documents with {words:,} words; set --epochs", 40, 1),
        (("--epochs", "20", "--min-count", "5"), None, 20, 5),
    ],
)
def test_what_is_chosen_for_the_corpus_is_said_and_recorded(
    flags: tuple[str, ...], says: str | None, epochs: int, min_count: int, tmp_path: Path
) -> None:
    """One line says it, and the manifest has what was trained with: `sgd` takes the same epochs, as in gensim."""
    lines, output = tmp_path / "corpus.txt", tmp_path / "model"
    lines.write_text("".join(story.strip() + "\n" for story in STORIES))
    ran = run("train", "--lines", lines, "--vector-size", "8", "--output", output, *flags)
    words = sum(len(SimpleTokenizer()(story)) for story in STORIES)
    assert ran.stderr == (f"paravec-model: {says.format(words=words)} to override\n" if says else "")
    manifest = Artifact.open(output).manifest
    assert (manifest.training["epochs"], manifest.training["min_count"]) == (epochs, min_count)
    assert manifest.defaults.epochs == epochs


def test_a_program_trains_with_the_same_choice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`train` in a program chooses as the command does, says so at level INFO, and gives the same model."""
    lines = LinesCorpus(jsonl(tmp_path, range(40)))
    with caplog.at_level(logging.INFO, "paravec_model"):
        left_out, given = (
            train(lines, WhitespaceTokenizer(), TrainingParameters(vector_size=8, epochs=epochs, min_count=min_count))
            for epochs, min_count in ((None, None), (40, 2))
        )
    assert (left_out.parameters, left_out.model.epochs) == (given.parameters, 40)
    assert (left_out.model.dv.vectors == given.model.dv.vectors).all()
    assert len([message for message in caplog.messages if message.startswith("epochs 40, min_count 2: ")]) == 1


@pytest.mark.parametrize(
    ("flags", "mode"),
    [
        ((), "dbow"),
        (("--dm", "1"), "dm_mean"),
        (("--dm", "1", "--dm-mean", "1"), "dm_mean"),
        (("--dm", "1", "--dm-mean", "0"), "dm_sum"),
        (("--dm", "1", "--dm-concat", "1", "--window", "2"), "dm_concat"),
    ],
)
def test_each_architecture_is_trained_and_recorded(flags: tuple[str, ...], mode: str, tmp_path: Path) -> None:
    """Each flag gives the architecture that it names, also the sum, which gensim's constructor cannot make."""
    artifact = trained(tmp_path / "model", "--jsonl", jsonl(tmp_path, [0] * 40), "--field", "text", *flags)
    assert artifact.manifest.algorithm.mode == mode
    assert Encoder(artifact).encode([list(artifact.vocabulary)[:5]]).vectors.any()


def test_dm_mean_0_trains_other_vectors_than_the_mean() -> None:
    """dm_mean=0 reaches gensim's training and changes the vectors."""
    parameters = [TrainingParameters(vector_size=8, epochs=5, dm=1, dm_mean=dm_mean) for dm_mean in (0, 1)]
    models = [train(named_corpus("lee"), SimpleTokenizer(), given).model for given in parameters]
    assert [model.cbow_mean for model in models] == [0, 1]
    assert not np.allclose(models[0].dv.vectors, models[1].dv.vectors, atol=0.01)


def test_a_document_may_have_several_tags(tmp_path: Path) -> None:
    """Each tag has one vector however many documents share it, in order of first mention."""
    tags: list[object] = [[f"story-{i}", "even" if i % 2 == 0 else "odd", -5] for i in range(40)]
    artifact = trained(tmp_path / "model", "--jsonl", jsonl(tmp_path, tags), "--field", "text", "--tag-field", "tag")
    assert list(artifact.doctags)[:5] == ["story-0", "even", -5, "story-1", "odd"]
    assert len(artifact.doctags) == len(artifact.arrays["doctag_vectors"]) == 43


def test_a_large_integer_tag_costs_one_vector(tmp_path: Path) -> None:
    """A large integer tag takes one row, where gensim alone makes one for each smaller number."""
    tags = [10**15 + i for i in range(40)]
    artifact = trained(tmp_path / "model", "--jsonl", jsonl(tmp_path, tags), "--field", "text", "--tag-field", "tag")
    assert list(artifact.doctags) == tags


def test_without_doctags_an_artifact_has_none(tmp_path: Path) -> None:
    """Inference needs no training document, so they are left out unless asked for."""
    output = tmp_path / "model"
    assert main(["train", "--corpus", "lee", *SMALL, "--output", str(output)]) == 0
    assert Artifact.open(output).manifest.doctag_count == 0
    assert not (output / "doctags.json").exists()


def test_the_manifest_records_tokenizer_and_defaults(tmp_path: Path) -> None:
    """What the flags say of serving is what the server will do; what they leave out is as in training."""
    file = jsonl(tmp_path, [0] * 40)
    flags = ("--tokenizer", "regex", "--pattern", "[a-z]+", "--lowercase", "--infer-epochs", "7", "--infer-normalize")
    manifest = trained(tmp_path / "model", "--jsonl", file, "--field", "text", *flags, "--alpha", "0.05").manifest
    assert manifest.tokenizer == RegexTokenizer("[a-z]+", lowercase=True)
    assert manifest.defaults.epochs == 7
    assert manifest.defaults.normalize
    assert (manifest.defaults.alpha, manifest.defaults.min_alpha, manifest.defaults.seed) == (0.05, 0.0001, 1)
    assert (manifest.name, manifest.version) == ("model", "1")


@pytest.mark.parametrize("hs", [0, 1])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("uno due tre quattro", "0 of its 4 distinct tokens occur min_count=2 times or more, learning needs 2"),
        ("uno uno due", "1 of its 2 distinct tokens occur min_count=2 times or more"),
        ("... ?", "the tokenizer finds no token in it"),
    ],
)
def test_a_corpus_of_too_few_words_is_an_error(text: str, says: str, hs: int, tmp_path: Path) -> None:
    """The error counts the distinct tokens and says what to change; with hs gensim alone would wait for ever."""
    file = tmp_path / "corpus.txt"
    file.write_text(text)
    with pytest.raises(CorpusError) as error:
        train(LinesCorpus(file), SimpleTokenizer(), TrainingParameters(vector_size=8, min_count=2, hs=hs))
    assert str(error.value).startswith(f"{file}: {says}")


def test_a_small_vocabulary_is_a_warning(tmp_path: Path) -> None:
    """A model of a few words is made, with a line on stderr that says so."""
    file = tmp_path / "corpus.txt"
    file.write_text("uno due tre uno due\n")
    ran = run("train", "--lines", file, *SMALL, "--output", tmp_path / "model")
    assert ran.returncode == 0
    assert ran.stderr.startswith("paravec-model: warning: only 2 of 3 distinct tokens occur min_count=2 times or more")
    assert ran.stderr.count("\n") == 1


def test_documents_longer_than_gensim_reads_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """gensim drops tokens past 10,000 without a word; we say for how many documents."""
    file = tmp_path / "corpus.txt"
    file.write_text("uno due tre\n" + "quattro cinque " * 5_001 + "\n")
    with caplog.at_level(logging.WARNING):
        train(LinesCorpus(file), SimpleTokenizer(), TrainingParameters(vector_size=8, min_count=1, epochs=1))
    assert any("1 documents have more than 10000 tokens" in message for message in caplog.messages)
    assert not [record for record in caplog.records if record.name.startswith("gensim")]


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"text": "uno due", "tag": ["a", "b"]}, "has 2 tags"),
        ({"text": "uno \0 due", "tag": "a"}, "has the token '\\0'"),
    ],
)
def test_dm_concat_refuses_several_tags_and_the_null_word(record: dict[str, object], says: str, tmp_path: Path) -> None:
    """Several tags, or a token equal to gensim's null word, are an error that names the document."""
    file = tmp_path / "corpus.jsonl"
    file.write_text(json.dumps(record))
    with pytest.raises(CorpusError, match=r"document \['a'.*\] has") as error:
        train(
            JsonlCorpus(file, "text", "tag"), WhitespaceTokenizer(), TrainingParameters(dm=1, dm_concat=1, min_count=1)
        )
    assert says in str(error.value)


def test_a_corpus_error_in_mid_file_ends_training(tmp_path: Path) -> None:
    """An error in the middle of a file is one line and leaves no output."""
    file = tmp_path / "corpus.txt"
    file.write_bytes(b"uno due\n" * 5 + b"\xff\n")
    ran = run("train", "--lines", file, "--output", tmp_path / "model")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"paravec-model: {file}, line 6: is not UTF-8")
    assert ran.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]


def test_a_corpus_may_be_a_pipe(tmp_path: Path) -> None:
    """The corpus is read once, so another program may write it as training reads."""
    command = [sys.executable, "-m", "paravec_model.cli", "train", "--lines", "/dev/stdin", *SMALL]
    text = "".join(story.strip() + "\n" for story in STORIES)
    subprocess.run([*command, "--output", str(tmp_path / "model")], input=text, text=True, check=True)
    assert Artifact.open(tmp_path / "model").manifest.training["corpus_count"] == len(STORIES)


def test_a_lost_temporary_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails in gensim's reading thread ends training with our error; alone, the other threads would wait."""
    monkeypatch.setattr("paravec_model.training.token_cache.json.loads", lambda _line: 1 / 0)
    with pytest.raises(ModelError, match="training lost its temporary file: division by zero"):
        train(named_corpus("lee"), SimpleTokenizer(), TrainingParameters(vector_size=8, epochs=2))


def test_a_full_temporary_disk_names_tmpdir(monkeypatch: pytest.MonkeyPatch) -> None:
    """No space for the token file is one line that names TMPDIR."""

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("paravec_model.training.token_cache.tempfile.TemporaryFile", full)
    with pytest.raises(ModelError, match="No space left on device; set TMPDIR"):
        train(named_corpus("lee"), SimpleTokenizer(), TrainingParameters())


@pytest.mark.parametrize(
    ("field", "parameters"),
    [
        ("vector_size", {"vector_size": 0}),
        ("window", {"window": 0}),
        ("min_count", {"min_count": -1}),
        ("sample", {"sample": -1.0}),
        ("sample", {"sample": float("nan")}),
        ("negative", {"negative": 0}),
        ("negative", {"negative": -1, "hs": 1}),
        ("hs", {"hs": 2}),
        ("dm", {"dm": 2}),
        ("dm_mean", {"dm_mean": 2}),
        ("ns_exponent", {"ns_exponent": float("inf")}),
        ("epochs", {"epochs": 0}),
        ("alpha", {"alpha": 0.0}),
        ("alpha", {"alpha": float("nan")}),
        ("min_alpha", {"min_alpha": 0.5}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": 2**32}),
        ("workers", {"workers": 0}),
        ("dm_concat", {"dm": 0, "dm_concat": 1}),
        ("dm_mean", {"dm": 0, "dm_mean": 0}),
        ("dm_mean", {"dm": 1, "dm_concat": 1, "dm_mean": 1}),
        ("dbow_words", {"dm": 1, "dbow_words": 1}),
        ("dm_tag_count", {"dm": 1, "dm_concat": 1, "dm_tag_count": 2}),
    ],
)
def test_a_parameter_out_of_range_is_named(field: str, parameters: dict[str, float]) -> None:
    """Values that gensim would fail on, or ignore, are refused before any work; the error has the parameter's name."""
    with pytest.raises(OptionError) as error:
        TrainingParameters(**parameters)  # type: ignore[arg-type]
    assert error.value.field == field
