"""Generates the code of the contract: `generate.py FOLDER`, or its descriptors: `generate.py --descriptors FILE`."""

import sys
from pathlib import Path

import google.rpc.status_pb2 as installed
from grpc_tools import protoc

PROTO = Path(__file__).parent
SOURCE = "paravec/v1/embedding.proto"


def generate(folder: Path) -> int:
    """Write the modules for messages, their types and the service below `folder`; 0 if all went well."""
    return _protoc(f"--python_out={folder}", f"--pyi_out={folder}", f"--grpc_python_out={folder}")


def descriptors(file: Path) -> int:
    """Write what protoc parsed, with all that it imports, for tools like buf."""
    return _protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={file}")


def _protoc(*arguments: str) -> int:
    google_rpc = Path(str(installed.__file__)).parents[2]
    google_protobuf = Path(protoc.__file__).parent / "_proto"
    includes = [f"-I{folder}" for folder in (PROTO, google_rpc, google_protobuf)]
    return int(protoc.main(["protoc", *includes, *arguments, SOURCE]))


if __name__ == "__main__":
    made = descriptors(Path(sys.argv[2])) if sys.argv[1] == "--descriptors" else generate(Path(sys.argv[1]))
    sys.exit(made)
