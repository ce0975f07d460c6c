"""The lines of our page for Go, generated, compiled and run with Debian's packages: `make languages-test`."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import google.rpc
import numpy as np
import pytest

from paravec_client import EmbeddingClient
from paravec_client.testing import fake_server

from ..pages import ROOT, blocks, commands
from ..servers import Server

PAGE = "docs/how-to/call-from-other-languages.md"
PACKAGES = Path("/usr/share/gocode/src/google.golang.org/grpc")
MODULE = "example.com/you"

PROGRAM = """package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"time"

	"%(module)s/paravecpb"
	"google.golang.org/grpc"
)

func run(ctx context.Context) error {
%(example)s
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(response.Embeddings[0].Vector)
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documented example, compiled; its target is the variable TARGET's."""
    missing = [name for name in ("go", "protoc", "protoc-gen-go", "protoc-gen-go-grpc") if not shutil.which(name)]
    if missing or not PACKAGES.exists():
        pytest.skip("no gRPC for Go: apt-get install golang-go golang-google-grpc-dev protobuf-compiler"
                    " golang-github-golang-protobuf-1-5-dev protoc-gen-go protoc-gen-go-grpc")  # fmt: skip
    path = tmp_path_factory.mktemp("go")
    source = path / "src" / MODULE
    (source / "embed").mkdir(parents=True)
    (line,) = commands(PAGE, "protoc")
    protos = f"-I {ROOT / 'proto'} -I {Path(next(iter(google.rpc.__path__))).parents[1]}"
    line = line.replace("-I proto -I googleapis", protos)
    line = re.sub(r"--go(-grpc)?_out=\.", lambda found: f"--go{found[1] or ''}_out={path / 'src'}", line)
    subprocess.run(line, shell=True, check=True, capture_output=True)  # noqa: S602  our own page
    (example,) = (block.code for block in blocks(PAGE, "go"))
    for ours, debians in (
        ("grpc.NewClient(", "grpc.Dial("),
        ("grpc.WithTransportCredentials(insecure.NewCredentials())", "grpc.WithInsecure()"),
        ('"dns:///paravec-server:50051"', 'os.Getenv("TARGET")'),
    ):
        assert ours in example
        example = example.replace(ours, debians)
    (source / "embed/main.go").write_text(PROGRAM % {"module": MODULE, "example": example})
    variables = os.environ | {"GO111MODULE": "off", "GOPATH": f"{path}:/usr/share/gocode", "GOFLAGS": "-p=2"}
    build = ["go", "build", "-o", str(path / "embed"), f"{MODULE}/embed"]
    ran = subprocess.run(build, env=variables, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return path / "embed"


def run(program: Path, target: str) -> "subprocess.CompletedProcess[str]":
    """What the program did."""
    variables = os.environ | {"TARGET": f"dns:///{target}", "GRPC_GO_RETRY": "on"}
    return subprocess.run([program], env=variables, capture_output=True, text=True, check=False)


def test_the_go_example_embeds(program: Path, server: Server, client: EmbeddingClient) -> None:
    """The Go example gets the vector that our client gets."""
    ran = run(program, server.target)
    assert ran.returncode == 0, ran.stderr
    np.testing.assert_array_equal(np.array(json.loads(ran.stdout), np.float32), client.embed("bushfires near Sydney"))


def test_the_go_example_retries(program: Path) -> None:
    """Two refusals are retried, and the fifth is returned."""
    with fake_server() as server:
        server.fail("UNAVAILABLE", times=2)
        ran = run(program, server.target)
        assert ran.returncode == 0, ran.stderr
        server.fail("UNAVAILABLE", times=5)
        ran = run(program, server.target)
        assert ran.returncode == 1
        assert "Unavailable" in ran.stderr


def test_the_grpcurl_commands_run(server: Server) -> None:
    """The grpcurl commands of the page run where grpcurl is installed."""
    if not shutil.which("grpcurl"):
        pytest.skip("no grpcurl: Debian has none; Go's own tools install it")
    lines = commands(PAGE, "grpcurl")
    assert len(lines) == 4
    for line in lines:
        subprocess.run(line.replace("localhost:50051", server.target), shell=True, check=True)  # noqa: S602  our own page
