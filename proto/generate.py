"""Generates the code of the contracts: `generate.py FOLDER`, or their descriptors: `generate.py --descriptors FILE`."""

import sys
from pathlib import Path

import google.rpc.status_pb2 as installed
from grpc_tools import protoc

PROTO = Path(__file__).parent
OURS = "paravec/v1/embedding.proto"
OPEN = "paravec/inference/v2/open_inference.proto"


def generate(folder: Path) -> int:
    """Write the modules for messages, their types and our service below `folder`; 0 if all went well."""
    messages = (f"--python_out={folder}", f"--pyi_out={folder}")
    failed = _protoc(*messages, f"--grpc_python_out={folder}", OURS) or _protoc(*messages, OPEN)
    if not failed:
        _make_private(folder / OPEN.replace(".proto", "_pb2.py"))
    return failed


def descriptors(file: Path) -> int:
    """Write what protoc parsed, with all that it imports, for tools like buf."""
    return _protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={file}", OURS, OPEN)


def _make_private(module: Path) -> None:
    """Have messages in a pool of the module's own: other libraries of the protocol put theirs, which bear the same
    names, in the default one, and a pool takes a name once."""
    code = module.read_text()
    shared, own = "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"
    if code.count(shared) != 1:
        raise SystemExit(f"{module}: names {shared} {code.count(shared)} times, not once; adapt _make_private")
    module.write_text(code.replace(shared, own))


def _protoc(*arguments: str) -> int:
    google_rpc = Path(str(installed.__file__)).parents[2]
    google_protobuf = Path(protoc.__file__).parent / "_proto"
    includes = [f"-I{folder}" for folder in (PROTO, google_rpc, google_protobuf)]
    return int(protoc.main(["protoc", *includes, *arguments]))


if __name__ == "__main__":
    made = descriptors(Path(sys.argv[2])) if sys.argv[1] == "--descriptors" else generate(Path(sys.argv[1]))
    sys.exit(made)
