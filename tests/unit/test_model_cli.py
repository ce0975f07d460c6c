"""`paravec-model`: exit statuses, and one line for each error."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gensim.models.doc2vec import Doc2Vec

from paravec_model import __version__
from paravec_model.artifact import Artifact
from paravec_model.artifact.manifest import MANIFEST
from paravec_model.cli import main as main_module
from paravec_model.cli.main import main
from paravec_model.errors import ModelError
from paravec_model.kernels import library

from .. import parity

Capture = pytest.CaptureFixture[str]


def complaint(capsys: Capture, *arguments: str | Path) -> str:
    """What a command that fails says: one line on stderr, nothing on stdout, status 1."""
    assert main([str(argument) for argument in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("paravec-model: ")
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("paravec-model: ").rstrip("\n")


@pytest.fixture
def copy(artifact: Artifact, tmp_path: Path) -> Path:
    """An artifact that a test may damage."""
    return shutil.copytree(artifact.path, tmp_path / "copy")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "COMMAND"),
        (("learn",), "invalid choice: 'learn'"),
        (("train", "--output", "x"), "one of the arguments --corpus --lines --jsonl --csv --folder is required"),
        (("train", "--lines", "x"), "--output"),
        (("train", "--output", "x", "--lines", "a", "--folder", "b"), "not allowed with argument"),
        (("train", "--output", "x", "--corpus", "nope"), "invalid choice: 'nope'"),
        (("train", "--output", "x", "--jsonl", "a"), "--jsonl needs --field"),
        (("train", "--output", "x", "--csv", "a"), "--csv needs --column"),
        (("train", "--output", "x", "--lines", "a", "--tag-field", "b"), "--tag-field is for --jsonl only"),
        (("train", "--output", "x", "--lines", "a", "--column", "b"), "--column is for --csv only"),
        (("train", "--output", "x", "--lines", "a", "--epochs", "many"), "invalid int value: 'many'"),
        (("train", "--output", "x", "--lines", "a", "--vector", "8"), "unrecognized arguments: --vector"),
        (("convert", "a"), "OUTPUT"),
        (("index", "m", "--output", "x"), "name documents for a new index"),
        (("index", "m", "--output", "x", "--lines", "a", "--add", "b"), "name documents for a new index"),
        (("index", "m", "--output", "x", "--lines", "a", "--remove", "1"), "name documents for a new index"),
        (("index", "m", "--lines", "a"), "--output"),
        (("index", "m", "--output", "x", "--jsonl", "a"), "--jsonl needs --field"),
        (("index", "m", "--output", "x", "--csv", "a"), "--csv needs --column"),
        (("index", "m", "--output", "x", "--lines", "a", "--id-field", "b"), "--id-field is for --jsonl only"),
        (("index", "m", "--output", "x", "--lines", "a", "--column", "b"), "--column is for --csv only"),
        (("index", "m", "--output", "x", "--add", "a", "--infer-epochs", "3"), "--infer-epochs is for a new index"),
        (("verify",), "ARTIFACT"),
        (("evaluate", "x"), "name what to try the model on"),
        (("evaluate", "x", "--queries", "q"), "name all three"),
        (("evaluate", "x", "--corpus", "lee", "--seeds", "1"), "--seeds must be 2 or more"),
        (("evaluate", "x", "--jsonl", "a"), "--jsonl needs --field"),
        (("compare", "x"), "B"),
        (("compare", "x", "y", "-k", "0"), "must be 1 or more"),
    ],
)
def test_wrong_usage_exits_2(arguments: tuple[str, ...], says: str, capsys: Capture) -> None:
    """argparse names the flag, and the status is 2."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [(), *((name,) for name in ("train", "convert", "index", "inspect", "verify", "export", "evaluate", "compare"))],
)
def test_help_shows_an_example(command: tuple[str, ...], capsys: Capture) -> None:
    """Every command's help exits 0 and ends with how it is used."""
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"paravec-model {name} " in shown.split("example")[-1] for name in command)


def test_help_of_train_has_every_parameter_with_its_default(capsys: Capture) -> None:
    """gensim's defaults are in the help."""
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for text in ("--vector-size N numbers in a vector (default 100)", "(default 0.0001)", "--no-shrink-windows"):
        assert text in shown


def test_version_prints_the_version(capsys: Capture) -> None:
    """--version prints the package's version."""
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"paravec-model {__version__}\n"


def test_the_command_line_imports_nothing_heavy() -> None:
    """Help, usage errors and inspect run without importing numpy, gensim or tqdm."""
    code = "import sys, paravec_model.cli; sys.exit(bool({'numpy', 'gensim', 'tqdm'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--vector-size", "0"), "vector_size: must be 1 to 100000, not 0"),
        (("--dm", "0", "--dm-mean", "0"), "dm_mean: is for PV-DM"),
        (("--tokenizer", "whitespace", "--min-len", "3"), "min_len: is not an option of the whitespace tokenizer"),
        (("--tokenizer", "regex"), "pattern: is missing; the regex tokenizer needs --pattern"),
        (("--tokenizer", "regex", "--pattern", "("), "pattern: is not a regular expression"),
        (("--max-len", "1"), "max_len: must be min_len (2) to 2^31 - 1, not 1"),
        (("--infer-epochs", "0"), "infer_epochs: must be 1 to 100000, not 0"),
        (("--infer-alpha", "0.00001"), "infer_min_alpha: must be 0 to alpha (1e-05), not 0.0001"),
        (("--name", "a/b"), "name: 'a/b' must be"),
        (("--model-version", ""), "model_version: '' must be"),
        (("--lines", "gone"), "gone: No such file or directory"),
    ],
)
def test_a_bad_option_is_one_line(flags: tuple[str, ...], says: str, tmp_path: Path, capsys: Capture) -> None:
    """The error names the option and what it takes, before any training."""
    corpus = () if "--lines" in flags else ("--corpus", "lee")
    assert complaint(capsys, "train", *corpus, "--output", tmp_path / "out", *flags).startswith(says)
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_found_before_training(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What exists is not overwritten, and no work is done for an output that cannot be."""
    monkeypatch.setattr(main_module, "train", lambda *_, **__: pytest.fail("trained"))
    file = tmp_path / "file"
    file.touch()
    flags = ("train", "--corpus", "lee", "--output")
    assert complaint(capsys, *flags, file) == f"{file}: already exists; choose another output, or remove it first"
    assert complaint(capsys, *flags, file / "out").startswith(
        f"{file / 'out'}: cannot be created: {file} is not a writable"
    )
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    assert complaint(capsys, *flags, tmp_path / "out").startswith("SOURCE_DATE_EPOCH: 'soon'")


def test_missing_kernels_are_found_before_training(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without kernels, train fails before it reads the corpus."""

    def fail() -> None:
        raise ModelError("the library is missing")

    monkeypatch.setattr(main_module, "train", lambda *_, **__: pytest.fail("trained"))
    monkeypatch.setattr(library, "load", fail)
    assert complaint(capsys, "train", "--corpus", "lee", "--output", tmp_path / "out") == "the library is missing"


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_path_that_is_no_artifact_is_one_line(command: str, tmp_path: Path, capsys: Capture) -> None:
    """A missing folder, an empty one and a gensim file are each one line with what to do."""
    file = tmp_path / "doc2vec.model"
    file.write_bytes(pickle.dumps(1))
    assert complaint(capsys, command, tmp_path / "gone").startswith(f"{tmp_path / 'gone' / MANIFEST}: not found")
    assert complaint(capsys, command, tmp_path).startswith(f"{tmp_path / MANIFEST}: not found")
    assert f"paravec-model convert {file}" in complaint(capsys, command, file)


def test_inspect_shows_the_manifest(artifact: Artifact, capsys: Capture) -> None:
    """Every part has a line, the files with their sizes."""
    assert main(["inspect", str(artifact.path)]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    shown = {line[0]: line[1] for line in lines if len(line) == 2}
    manifest = artifact.manifest
    assert (shown["name"], shown["version"], shown["digest"]) == (manifest.name, manifest.version, manifest.digest)
    assert (shown["mode"], shown["vector_size"], shown["kind"]) == ("dbow", "50", "simple")
    assert shown["method"] == "sgd"
    for name, entry in manifest.files.items():
        assert shown[name] == f"{entry.size:,} bytes"


def test_inspect_json_is_the_manifest_itself(artifact: Artifact, capsys: Capture) -> None:
    """--json prints what manifest.json holds, to the byte."""
    assert main(["inspect", str(artifact.path), "--json"]) == 0
    shown = capsys.readouterr().out
    assert shown == (artifact.path / MANIFEST).read_text()
    assert json.loads(shown)["digest"] == artifact.manifest.digest


def test_verify_prints_a_sound_artifacts_identity(artifact: Artifact, capsys: Capture) -> None:
    """A sound artifact is one line with name, version and digest, and status 0."""
    assert main(["verify", str(artifact.path)]) == 0
    manifest = artifact.manifest
    assert capsys.readouterr().out == f"{manifest.name} {manifest.version} {manifest.digest}: sound\n"


def test_verify_finds_a_flipped_byte_in_any_file(copy: Path, capsys: Capture) -> None:
    """One changed byte, in the last place of any file, is found and the file named."""
    for file in sorted(copy.iterdir()):
        sound = file.read_bytes()
        file.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        assert complaint(capsys, "verify", copy).startswith(f"{file}: ")
        file.write_bytes(sound)
    assert main(["verify", str(copy)]) == 0


def test_verify_reports_every_damaged_file(copy: Path, capsys: Capture) -> None:
    """Each damaged file has its line."""
    (copy / "vocabulary_text.npy").unlink()
    (copy / "syn1neg.npy").write_bytes(b"")
    assert main(["verify", str(copy)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [str(copy / "syn1neg.npy"), str(copy / "vocabulary_text.npy")]


def test_convert_reports_what_it_wrote(gensim_model: Doc2Vec, tmp_path: Path, capsys: Capture) -> None:
    """One line has path, name, version, digest and size; the name is the folder's unless given."""
    gensim_model.save(str(tmp_path / "doc2vec.model"))
    flags = ["--model-version", "2", "--tokenizer", "whitespace", "--infer-seed", "9"]
    assert main(["convert", str(tmp_path / "doc2vec.model"), str(tmp_path / "news"), *flags]) == 0
    manifest = Artifact.open(tmp_path / "news").manifest
    size = f"{len(gensim_model.wv)} words × {gensim_model.vector_size}"
    assert capsys.readouterr().out == f"{tmp_path / 'news'}: news 2 {manifest.digest}, {size}\n"
    assert (manifest.tokenizer.kind, manifest.defaults.seed, manifest.defaults.epochs) == ("whitespace", 9, 20)


@pytest.mark.parametrize("attributes", [{}, {"dv": None}, {"epochs": "many"}, {"wv": 3}, {"vector_size": "wide"}])
def test_an_incomplete_gensim_file_is_one_line(attributes: dict[str, object], tmp_path: Path, capsys: Capture) -> None:
    """A pickle of the right class without its attributes is one line, and no output is left."""
    model = parity.train(vector_size=8, epochs=1) if attributes else Doc2Vec.__new__(Doc2Vec)
    vars(model).update(attributes)
    file = tmp_path / "doc2vec.model"
    file.write_bytes(pickle.dumps(model))
    said = complaint(capsys, "convert", file, tmp_path / "out", "--doctags")
    assert said.startswith(f"{file}: is not a whole Doc2Vec model")
    assert [path.name for path in tmp_path.iterdir()] == ["doc2vec.model"]


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (KeyboardInterrupt(), 130, "paravec-model: interrupted\n"),
        (MemoryError(), 1, "paravec-model: not enough memory: the model does not fit"),
        (MemoryError("Unable to allocate 9 TiB"), 1, "paravec-model: not enough memory: Unable to allocate 9 TiB; "),
    ],
)
def test_an_interrupt_or_lack_of_memory_is_one_line(
    error: BaseException, status: int, says: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C exits with 130 and a lack of memory with 1, with one line and no output."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(main_module, "train", fail)
    assert main(["train", "--corpus", "lee", "--output", str(tmp_path / "out")]) == status
    said = capsys.readouterr().err
    assert said.startswith(says)
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_closed_output_pipe_is_silent(artifact: Artifact) -> None:
    """When the reader of the output goes away, nothing is printed."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "paravec_model.cli", "inspect", str(artifact.path)]
    ran = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (1, b"")
