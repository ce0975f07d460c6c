"""Generates the contracts' Python code: `generate.py DIRECTORY`, or descriptors: `generate.py --descriptors FILE`, or
those that Envoy needs: `generate.py --transcoder FILE`."""

import sys
from pathlib import Path

import google.rpc.status_pb2 as installed
from grpc_tools import protoc

PROTO = Path(__file__).parent
PARAVEC = "paravec/v1/embedding.proto"
OPEN_INFERENCE = "paravec/inference/v2/open_inference.proto"
OPENAI = "paravec/openai/v1/openai.proto"


def generate(directory: Path) -> int:
    """Write the modules for messages, their stubs and our service to `directory`. Returns protoc's exit code."""
    messages = (f"--python_out={directory}", f"--pyi_out={directory}")
    failed = _protoc(*messages, f"--grpc_python_out={directory}", PARAVEC)
    failed = failed or _protoc(*messages, OPEN_INFERENCE, OPENAI)
    if not failed:
        _use_own_pool(directory / OPEN_INFERENCE.replace(".proto", "_pb2.py"))
    return failed


def descriptors(file: Path) -> int:
    """Write a descriptor set with all imports, for tools like buf. Returns protoc's exit code."""
    return _protoc(
        "--include_imports", "--include_source_info", f"--descriptor_set_out={file}", PARAVEC, OPEN_INFERENCE, OPENAI
    )


def transcoder(file: Path) -> int:
    """Write the descriptor set of Envoy's gRPC-JSON transcoder. Returns protoc's exit code.

    It has the details of errors, so that the transcoder can write them.
    """
    return _protoc(
        "--include_imports", f"--descriptor_set_out={file}", PARAVEC, OPENAI, "google/rpc/error_details.proto"
    )


def _use_own_pool(module: Path) -> None:
    """Make a generated module use a descriptor pool of its own.

    Other libraries of the same protocol register messages of the same names in the default pool, which accepts a name
    only once.
    """
    code = module.read_text()
    default, own = "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"
    if code.count(default) != 1:
        raise SystemExit(f"{module}: has {default} {code.count(default)} times, not once; adapt _use_own_pool")
    module.write_text(code.replace(default, own))


def _protoc(*arguments: str) -> int:
    google_rpc = Path(str(installed.__file__)).parents[2]
    google_protobuf = Path(protoc.__file__).parent / "_proto"
    includes = [f"-I{directory}" for directory in (PROTO, google_rpc, google_protobuf)]
    return int(protoc.main(["protoc", *includes, *arguments]))


if __name__ == "__main__":
    writers = {"--descriptors": descriptors, "--transcoder": transcoder}
    sys.exit(writers.get(sys.argv[1], generate)(Path(sys.argv[-1])))
