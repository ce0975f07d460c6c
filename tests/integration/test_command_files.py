"""`paravec embed` with files: formats, invalid documents, and continuing after an interruption."""

import fcntl
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import termios
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from paravec_client import EmbeddingClient

from ..commands import line, paravec
from ..environments import environment
from ..servers import PATIENCE, Server, until

ROOT = Path(__file__).parents[2]
TEXTS = [f"fire number {i} in sydney {'australia ' * (i % 5)}" for i in range(400)]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A file with TEXTS, one a line."""
    path = tmp_path / "texts.txt"
    path.write_text("".join(text + "\n" for text in TEXTS))
    return path


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_become_an_npy_file(server: Server, client: EmbeddingClient, texts: Path, tmp_path: Path) -> None:
    """The vectors are the library's own, in a file that numpy can map; nothing else is left and nothing is printed."""
    ran = paravec(server, "embed", "--input", str(texts), "--output", str(tmp_path / "v.npy"))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    made = np.load(tmp_path / "v.npy", mmap_mode="r")
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, client.embed(TEXTS))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["texts.txt", "v.npy"]


def test_documents_come_from_jsonl_csv_and_standard_input(
    server: Server, client: EmbeddingClient, tmp_path: Path
) -> None:
    """JSONL with texts or tokens, CSV columns and standard input are read, and ids are kept."""
    documents = {"a": 'fire, in "Sydney"\nand caffè', "b": ["fire", "sydney"], "c": ""}
    jsonl = "".join(json.dumps({"id": name, "body": body}) + "\n\n" for name, body in documents.items())
    (tmp_path / "d.jsonl").write_text(jsonl)
    (tmp_path / "d.csv").write_text('\ufeffid,other,body\na,1,"fire, in ""Sydney""\nand caffè"\nc,2,\n')
    expected = dict(zip(documents, client.embed(list(documents.values())), strict=True))
    names = ("--field", "body", "--id-field", "id", "--output", str(tmp_path / "v.jsonl"), "--force")
    for flags, given, ids in (
        (("--input", str(tmp_path / "d.jsonl")), "", "abc"),
        (("--input", str(tmp_path / "d.csv")), "", "ac"),
        (("--input-format", "jsonl"), jsonl, "abc"),
    ):
        ran = paravec(server, "embed", *names, *flags, given=given)
        assert ran.returncode == 0, ran.stderr
        made = lines_of(tmp_path / "v.jsonl")
        assert [one["id"] for one in made] == list(ids)
        for one in made:
            np.testing.assert_array_equal(np.array(one["vector"], np.float32), expected[one["id"]])
    assert made[1] == made[1] | {"token_count": 2, "known_token_count": 2, "truncated": False}


def test_an_invalid_document_ends_the_run_or_is_skipped_or_null(server: Server, tmp_path: Path) -> None:
    """--on-error decides; the message gives the file and line, and not the text."""
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "fire"}\n{"text": 7}\n{"body": "secret"}\n' + json.dumps({"text": "secret " * 3000}))
    run = ("embed", "--input", str(path), "--output", str(tmp_path / "v.jsonl"))
    ran = paravec(server, *run)
    assert ran.returncode == 3
    assert f"paravec: {path}, line 2: must be a str or a list of str, not int" in ran.stderr
    for how, ids in (("skip", [0]), ("null", [0, 1, 2, 3])):
        ran = paravec(server, *run, "--on-error", how, "--force")
        assert ran.returncode == 0
        made = lines_of(tmp_path / "v.jsonl")
        assert [one["id"] for one in made] == ids
        assert "documents without a vector: 3\n" in ran.stderr
        assert f"{path}, line 4: has 3000 tokens, at most 2000" in ran.stderr
        assert "secret" not in ran.stderr
    assert made[2] == {"id": 2, "vector": None, "error": "has no such field, or null in it (--field names it)"}
    run = ("embed", "--input", str(path), "--output", str(tmp_path / "v.npy"))
    assert ".npy has no ids" in paravec(server, *run, "--on-error", "skip").stderr
    assert paravec(server, *run, "--on-error", "null").returncode == 0
    assert list(np.isnan(np.load(tmp_path / "v.npy")).any(axis=1)) == [False, True, True, True]
    ran = paravec(server, "embed", "--input", str(path), "--on-error", "null", "--format", "table")
    assert "has 3000 tokens" in ran.stdout


def unread_bytes(pipe: IO[bytes]) -> int:
    """What was written to a pipe and not read yet."""
    (count,) = array("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    return count


@contextmanager
def begun(
    server: Server, output: Path, python: str = sys.executable, **variables: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """A run that has embedded some of TEXTS and waits for more."""
    command = line(server, "embed", "--output", str(output), python=python)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | variables
    ) as process:
        state = output.with_name(output.name + ".state")
        sent = iter(TEXTS[:-1])

        def some_are_kept() -> bool:
            assert process.stdin
            # The next text only once the last one is read: the start of a process may take long.
            if unread_bytes(process.stdin) == 0:
                process.stdin.write(next(sent).encode() + b"\n")
                process.stdin.flush()
            return state.exists() and json.loads(state.read_text())["documents"] > 0

        try:
            until(some_are_kept)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("suffix", [".npy", ".jsonl"])
def test_a_killed_run_is_continued(server: Server, texts: Path, tmp_path: Path, suffix: str) -> None:
    """--resume embeds the documents not yet done, cuts off a partial record, and gives the file of an uninterrupted
    run."""
    whole, output = tmp_path / f"whole{suffix}", tmp_path / f"v{suffix}"
    run = ("embed", "--input", str(texts), "--output")
    assert paravec(server, *run, str(whole)).returncode == 0
    with begun(server, output) as process:
        process.kill()
    with output.with_name(output.name + ".partial").open("ab") as partial:
        partial.write(whole.read_bytes()[:77])
    assert not output.exists()
    for flags, problem in (
        ((), "is unfinished; --resume continues it"),
        (("--resume", "--epochs", "3"), "was started with options"),
        (("--resume", "--input-format", "csv", "--field", "x"), "line 1: has no column"),
    ):
        ran = paravec(server, *run, str(output), *flags)
        assert (ran.returncode, problem in ran.stderr) == (2, True), ran.stderr
    other = paravec(server, "embed", "--output", str(output), "--resume", given="another\n" * 400)
    assert (other.returncode, "started with another input" in other.stderr) == (2, True)
    state = output.with_name(output.name + ".state")
    kept = state.read_text()
    state.write_text(kept.replace('"model": "sha256:', '"model": "sha256:0'))
    ran = paravec(server, *run, str(output), "--resume")
    assert (ran.returncode, "was started with model sha256:0" in ran.stderr) == (2, True)
    state.write_text(kept)
    ran = paravec(server, *run, str(output), "--resume")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert output.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["texts.txt", whole.name, output.name])


def test_an_interrupted_run_says_how_to_continue(server: Server, tmp_path: Path) -> None:
    """Ctrl-C keeps what was done and names the flag that continues."""
    # A shell has its background jobs ignore Ctrl-C, and they what they start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with begun(server, tmp_path / "v.npy") as process:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.returncode == 130
    assert b"documents are done; --resume continues" in said
    assert b"Traceback" not in said


def test_an_existing_output_is_not_overwritten(server: Server, tmp_path: Path) -> None:
    """An existing output is kept unless --force is given, and a finished one needs no continuing."""
    output = tmp_path / "v.npy"
    run = ("embed", "fire", "sydney", "--output", str(output))
    assert paravec(server, *run).returncode == 0
    ran = paravec(server, *run)
    assert (ran.returncode, "--force overwrites it" in ran.stderr) == (2, True)
    assert paravec(server, *run, "--resume").returncode == 0
    assert paravec(server, *run, "--force").returncode == 0
    assert np.load(output).shape == (2, 50)


@pytest.mark.parametrize(
    ("flags", "given", "code", "problem"),
    [
        (["--input", "{}/none.txt"], "", 2, "none.txt: No such file or directory"),
        (["--input", "{}"], "", 2, "Is a directory"),
        (["fire", "--input", "{}/none.txt"], "", 2, "not both"),
        (["fire", "--resume"], "", 2, "are for --output"),
        (["fire", "--output", "{}/v.xyz"], "", 2, "--output-format does"),
        (["fire", "--output", "{}/none/v.npy"], "", 2, "No such file or directory"),
        (["--input-format", "jsonl"], '{"text": "fire"}\n{"text\n', 1, "standard input, line 2: is not JSON"),
        (["--input-format", "jsonl"], "[1]\n", 1, "line 1: must be a JSON object, not list"),
        (
            ["--input-format", "jsonl", "--id-field", "id"],
            '{"text": "a"}\n',
            1,
            "line 1: field 'id' must hold a string",
        ),
        (["--input-format", "csv"], "a,b\n1,2\n", 2, "line 1: has no column 'text'"),
        (["--input-format", "csv"], "text,b\n1\n", 1, "line 2: has 1 columns, the header has 2"),
        (["--input-format", "csv"], 'text\n"a\n', 1, "is not CSV"),
    ],
)
def test_a_file_problem_is_one_line_and_leaves_nothing(
    server: Server, tmp_path: Path, flags: list[str], given: str, code: int, problem: str
) -> None:
    """A file that cannot be read or written is named in one line, and no output is left."""
    ran = paravec(server, "embed", *(flag.format(tmp_path) for flag in flags), given=given)
    assert (ran.returncode, problem in ran.stderr) == (code, True), ran.stderr
    assert "Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_parquet_is_read_and_written(server: Server, client: EmbeddingClient, tmp_path: Path) -> None:
    """Ids, texts and tokens are read from columns and vectors and counts written to columns, also after an
    interruption."""
    python = str(environment("ray") / "bin/python")

    def arrow(program: str) -> Any:
        names = "import json, sys, pyarrow as pa; from pyarrow import parquet as pq; "
        ran = subprocess.run([python, "-c", names + program], cwd=tmp_path, check=True, capture_output=True, text=True)
        return json.loads(ran.stdout or "null")

    arrow(f"pq.write_table(pa.table({{'n': list(range(400)), 'body': {TEXTS}}}), 'd.parquet')")
    arrow("pq.write_table(pa.table({'n': ['x', 'y'], 'text': [['fire', 'sydney'], None]}), 'tokens.parquet')")
    paths = os.pathsep.join(str(ROOT / name) for name in ("client", "proto"))

    def embed(*flags: str) -> None:
        command = line(server, "embed", *flags, python=python)
        variables = os.environ | {"PYTHONPATH": paths}
        subprocess.run(command, cwd=tmp_path, env=variables, check=True, capture_output=True)

    with begun(server, tmp_path / "v.parquet", python, PYTHONPATH=paths) as process:
        process.kill()
    embed("--input", "d.parquet", "--field", "body", "--id-field", "n", "--output", "v.parquet", "--resume")
    made = arrow("print(json.dumps(pq.read_table('v.parquet').to_pydict()))")
    np.testing.assert_array_equal(np.array(made["vector"], np.float32), client.embed(TEXTS))
    assert (made["id"], made["token_count"][1], made["error"]) == (list(range(400)), 5, [None] * 400)
    embed("--input", "tokens.parquet", "--id-field", "n", "--on-error", "null", "--output", "tokens.jsonl")
    made = lines_of(tmp_path / "tokens.jsonl")
    assert [(one["id"], one["vector"] is None) for one in made] == [("x", False), ("y", True)]


@pytest.mark.parametrize(
    ("package", "arguments", "install"),
    [
        ("pyarrow", ("embed", "fire", "--output", "v.parquet"), "pip install pyarrow"),
        ("pyarrow", ("embed", "--input", "d.parquet"), "pip install pyarrow"),
        ("shtab", ("completion", "bash"), "pip install 'paravec[cli]'"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, package: str, arguments: tuple[str, ...], install: str
) -> None:
    """A missing optional package is one line with the pip command that installs it."""
    program = f"import sys; sys.modules[{package!r}] = None; from paravec_client.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, *arguments]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr.endswith(install + "\n")) == (2, True), ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("hidden", [False, True])
def test_a_terminal_shows_progress(server: Server, texts: Path, tmp_path: Path, hidden: bool) -> None:
    """On a terminal a bar shows documents done, in total and per second; without tqdm the command still works."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    command = line(server, "embed", "--input", str(texts), "--output", str(tmp_path / "v.npy"))
    if hidden:
        program = "import sys; sys.modules['tqdm'] = None; from paravec_client.cli import main; sys.exit(main())"
        command[1:3] = ["-c", program]
    try:
        assert subprocess.run(command, stderr=theirs, check=False).returncode == 0
        os.write(theirs, b"end")
        said = os.read(ours, 2**16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert ("400/400" in said and "documents/s" in said) != hidden
    assert "Error" not in said


def test_shell_completion_works(tmp_path: Path) -> None:
    """bash completes commands, flags, values and file names, and other shells get a script."""
    (tmp_path / "texts.txt").touch()
    script = paravec(None, "completion", "bash").stdout
    for words, found in (
        (["hea"], "health"),
        (["embed", "--on-e"], "--on-error"),
        (["embed", "--on-error", "n"], "null"),
        (["embed", "--input", "te"], "texts.txt"),
    ):
        typed = " ".join(["paravec", *words])
        asked = f'COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _shtab_paravec; echo "${{COMPREPLY[@]}}"'
        ran = subprocess.run(["bash", "-c", script + asked], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.stdout == found + "\n", ran.stderr
    for shell in ("zsh", "fish", "tcsh"):
        assert "on-error" in paravec(None, "completion", shell).stdout


def test_an_error_ends_the_command_while_its_input_stays_open(server: Server) -> None:
    """A problem in one line ends the command with its line and code, although the writer of the pipe goes on."""
    command = line(server, "embed", "--input-format", "jsonl")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(b"[1]\n")
        process.stdin.flush()
        try:
            assert process.wait(PATIENCE) == 1
            assert process.stderr.read().decode().count("\n") == 1
        finally:
            process.kill()


def test_a_pipe_that_does_not_block_is_read_to_its_end(server: Server) -> None:
    """The command waits for a slow writer whose pipe is non-blocking, as pipes of Node are."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with subprocess.Popen(line(server, "embed"), stdin=reader, stdout=subprocess.PIPE, text=True) as process:
        until(lambda: os.get_blocking(reader))
        os.write(writer, b"fire\n")
        os.close(writer)
        said, _ = process.communicate(timeout=PATIENCE)
    os.close(reader)
    assert (process.returncode, json.loads(said)["text"]) == (0, "fire")


def test_a_closed_standard_input_is_named() -> None:
    """Without a standard input, the command says so in one line."""
    command = f"exec {shlex.join(line(None, 'embed'))} <&-"
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (ran.returncode, ran.stderr) == (2, "paravec: standard input: Bad file descriptor\n")
