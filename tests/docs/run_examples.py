"""The examples of README and docs run, page by page, against a real server: `make docs`."""

import contextlib
import gzip
import json
import os
import pty
import random
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from gensim.models.doc2vec import Doc2Vec

from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact

from ..pages import ROOT, RUNNABLE, Block, blocks, pages
from ..servers import Server, until

TARGET = "localhost:50051"
"""The address that pages use; a free port takes its place."""

PROGRAMS = {
    "paravec": "paravec_client.cli.__main__",
    "paravec-model": "paravec_model.cli",
    "paravec-server": "paravec_server.cli",
}

WORDS = ("fire", "sydney", "rain", "cricket", "coast", "north", "wind", "cloud", "river", "stone")


def _read(terminal: int) -> Iterator[str]:
    """What was written to a terminal whose other side is closed."""
    with contextlib.suppress(OSError), open(terminal, "rb", buffering=0) as file:
        while chunk := file.read(4096):
            yield chunk.decode()


def _alike(expected: str, printed: str) -> bool:
    """Whether an output is as a page shows it: `...` is anything, and numbers may differ by 0.1."""
    number = r"-?\d+\.\d+"
    parts = re.split(rf"(\.\.\.|{number})", " ".join(expected.split()))
    patterns = {"...": ".*?"} | dict.fromkeys(re.findall(number, expected), f"({number})")
    pattern = "".join(patterns.get(part, re.escape(part).replace("\\ ", "\\s+")) for part in parts)
    found = re.fullmatch(pattern, printed.strip(), re.DOTALL)
    numbers = [float(n) for n in re.findall(number, expected)]
    return found is not None and all(abs(a - float(b)) <= 0.1 for a, b in zip(numbers, found.groups(), strict=True))


class Page:
    """A page that runs: its folder, its variables, and where the server is that its examples call."""

    def __init__(self, folder: Path, target: str) -> None:
        self.folder, self.target = folder, target
        self.variables = os.environ | {"PARAVEC_TARGET": target}
        self.variables["PATH"] = (
            f"{folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        )
        self.names: dict[str, Any] = {}
        self._servers: list[subprocess.Popen[str]] = []

    def run(self, block: Block) -> None:
        """Run a block, or do what its marker says."""
        code = block.code.replace(TARGET, self.target)
        match block.marker, block.language:
            case "not run", _:
                return
            case "run by", _:
                assert (ROOT / block.about).exists(), f"{block.about} does not exist"
            case "file", _:
                (self.folder / block.about).write_text(code)
            case "background", _:
                self._start(code)
            case _, "python":
                self._python(code, f"{block.page}:{block.line}")
            case _, "sh":
                self._shell(code)
            case _:
                self._console(code)

    def close(self) -> None:
        """End the servers that examples started."""
        for server in self._servers:
            server.terminate()
            server.wait(60)
        if isinstance(client := self.names.get("client"), EmbeddingClient):
            client.close()

    def _python(self, code: str, place: str) -> None:
        # Pages use a client that an example before, on this page or another, has made.
        client = self.names.get("client")
        if not isinstance(client, EmbeddingClient) or repr(client).endswith(" closed>"):
            self.names["client"] = EmbeddingClient(self.target)
        with contextlib.chdir(self.folder):
            exec(compile(code, place, "exec"), self.names)  # noqa: S102  our own page

    def _shell(self, code: str, output: int = subprocess.PIPE) -> None:
        """Run lines; those of make are only looked up, as .ci/run runs them."""
        for target in re.findall(r"^make ([a-z-]+)", code, re.MULTILINE):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"no target {target}"
        lines = "".join(line for line in code.splitlines(keepends=True) if not line.startswith("make "))
        ran = subprocess.run(["bash", "-euo", "pipefail", "-c", lines], cwd=self.folder, env=self.variables, text=True,
                             stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE,
                             check=False, timeout=300)  # fmt: skip
        assert ran.returncode == 0, f"{lines}{ran.stdout or ''}{ran.stderr}"

    def _console(self, code: str) -> None:
        """Run the commands on a terminal, and compare what they print."""
        for command, expected in re.findall(r"^\$ (.*\n)((?:(?!\$ ).*\n)*)", code, re.MULTILINE):
            ours, theirs = pty.openpty()
            try:
                self._shell(command, theirs)
            finally:
                os.close(theirs)
            printed = "".join(_read(ours)).replace("\r\n", "\n")
            assert command.startswith("make ") or _alike(expected, printed), f"{command}prints\n{printed}"

    def _start(self, code: str) -> None:
        log = self.folder / f"server-{len(self._servers)}.log"
        with log.open("w") as file:
            command = ["bash", "-c", f"exec {code}"]
            server = subprocess.Popen(command, cwd=self.folder, env=self.variables, stderr=file, text=True)
        self._servers.append(server)
        until(lambda: " serving" in log.read_text() or server.poll() is not None)
        assert server.poll() is None, log.read_text()


@pytest.fixture
def folder(tmp_path: Path, artifact: Artifact, gensim_model: Doc2Vec) -> Path:
    """A folder with the files that pages name."""
    lines = [" ".join(random.Random(i).choices(WORDS, k=18)) for i in range(200)]
    (tmp_path / "texts.txt").write_text("".join(f"{line}\n" for line in lines))
    records = [json.dumps({"url": f"u{i}", "body": line, "text": line, "id": i}) for i, line in enumerate(lines)]
    (tmp_path / "pages.jsonl").write_text("\n".join(records) + "\n")
    (tmp_path / "pages.csv.gz").write_bytes(gzip.compress(("text\n" + "\n".join(lines) + "\n").encode()))
    (tmp_path / "questions.tsv").write_text("".join(f"{line[:20]}\t{line}\n" for line in lines[:40]))
    (tmp_path / "articles").mkdir()
    for i, line in enumerate(lines[:20]):
        (tmp_path / "articles" / f"{i:02}.txt").write_text(line)
    (tmp_path / "models").mkdir()
    for name in ("old", "lee", "news-1", "news-2"):
        (tmp_path / "models" / name).symlink_to(artifact.path)
    (tmp_path / "build/models").mkdir(parents=True)
    (tmp_path / "build/models/lee").symlink_to(artifact.path)
    (tmp_path / "store").mkdir()
    (tmp_path / "client").symlink_to(ROOT / "client")
    (tmp_path / "model").symlink_to(ROOT / "model")
    gensim_model.save(str(tmp_path / "doc2vec.model"))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    for name in ("client", "tls"):
        issued = authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.crt")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    (tmp_path / "token").write_text("a-token\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in PROGRAMS.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    return tmp_path


@pytest.fixture
def page(folder: Path, server: Server, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that is about to run, against the tests' server unless it starts one of its own."""
    target = server.target
    if any(block.marker == "background" for block in blocks(request.getfixturevalue("name"))):
        with socket.create_server(("127.0.0.1", 0)) as free:
            target = f"localhost:{free.getsockname()[1]}"
    page = Page(folder, target)
    yield page
    page.close()


EXAMPLES = {name: found for name in pages() if (found := [b for b in blocks(name) if b.language in RUNNABLE])}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str, page: Page) -> None:
    """Every block of Python and shell runs, in the page's order, or says why not."""
    for block in EXAMPLES[name]:
        try:
            page.run(block)
        except Exception as error:
            raise AssertionError(f"{name}:{block.line}: {error}") from error
