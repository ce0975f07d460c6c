"""Writes the parts of reference/ that are made from the code: settings, metrics, statuses, the contract, help pages.

`python docs/make_reference.py` writes them to docs/reference/generated; `make docs` does so for every build.
"""

import inspect
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from docs.clients import CLIENTS, version
from google.protobuf import descriptor_pb2
from google.rpc import code_pb2

from paravec_client.config import ClientConfig, Tls
from paravec_server.rpc import errors
from paravec_server.settings import Settings
from paravec_server.telemetry.counters import SharedCounters
from paravec_server.telemetry.metrics import ServerInfo, in_flight_limits, metrics_page

ROOT = Path(__file__).parents[1]

COMMANDS = {
    "paravec": ("embed", "similar", "vectors", "model", "health", "completion"),
    "paravec-model": ("train", "convert", "inspect", "verify", "export", "package", "evaluate", "compare"),
    "paravec-server": (),
}
"""Each command with its subcommands."""

_FIELD = descriptor_pb2.FieldDescriptorProto


def write(folder: Path) -> None:
    """Write all parts to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        "settings.md": server_settings(),
        "client-settings.md": client_settings(),
        "metrics.md": metrics(),
        "statuses.md": statuses(),
        "contract.md": contract("paravec/v1/embedding.proto"),
        "open-inference.md": contract("paravec/inference/v2/open_inference.proto"),
        "clients.md": clients(),
        **{f"{command}.md": help_pages(command, *names) for command, names in COMMANDS.items()},
    }
    for name, lines in parts.items():
        (folder / name).write_text("\n".join(lines) + "\n")


def server_settings() -> Iterator[str]:
    """A section for each setting of paravec-server."""
    for item in fields(Settings):
        flag = "--" + item.name.replace("_", "-")
        yield from ("", f"## {flag}", "")
        yield _sentence(re.sub(r" \[.*\]$", "", item.metadata["help"]))
        yield ""
        yield f"- Variable: `PARAVEC_{item.name.upper()}`"
        if "choices" in item.metadata:
            yield f"- One of: {', '.join(f'`{choice}`' for choice in item.metadata['choices'])}"
        if "least" in item.metadata:
            yield f"- Range: {item.metadata['least']:,} to {item.metadata['most']:,}"
        if item.name != "model":
            yield f"- Default: {f'`{item.default}`' if item.default not in (None, '') else 'none'}"


def client_settings() -> Iterator[str]:
    """A table of the client's settings and their variables."""
    yield from ("| field | variable | default | meaning |", "| --- | --- | --- | --- |")
    meanings = _attributes(ClientConfig)
    for item in fields(ClientConfig):
        part = Tls() if item.name == "tls" else item.default
        if is_dataclass(part):
            for name, meaning in _attributes(type(part)).items():
                variable = f"PARAVEC_{item.name}_{name}".upper()
                yield f"| `{item.name}.{name}` | `{variable}` | `{getattr(part, name)}` | {meaning} |"
        else:
            yield f"| `{item.name}` | `PARAVEC_{item.name.upper()}` | `{item.default}` | {meanings[item.name]} |"


def _attributes(kind: type) -> dict[str, str]:
    """What the docstring of a dataclass says of each field."""
    _, _, text = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", text, re.MULTILINE | re.DOTALL)
    return {name: " ".join(meaning.split()) for name, meaning in found}


def metrics() -> Iterator[str]:
    """A table of the metrics, as a server of one worker serves them."""
    labels = dict.fromkeys(("name", "version", "digest", "algorithm", "method"), "")
    counters = SharedCounters(1)
    counters.workers[0]["pid"] = os.getpid()
    _, page = metrics_page(counters, ServerInfo(labels, in_flight_limits(Settings(model=ROOT))))("")
    text = page.decode()
    yield from ("| metric | type | labels | meaning |", "| --- | --- | --- | --- |")
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        (meaning,) = re.findall(rf"^# HELP {name} (.*)$", text, re.MULTILINE)
        sample = re.search(rf"^{name}(?:_bucket)?{{(.*)}} ", text, re.MULTILINE)
        shown = re.findall(r'(\w+)="', sample[1]) if sample else []
        names = ", ".join(f"`{label}`" for label in shown if label != "le")
        yield f"| `{name}` | {kind} | {names} | {meaning} |"


def statuses() -> Iterator[str]:
    """A table of the errors that a handler raises, with the gRPC status that each becomes."""
    yield from ("| status | error | when | details |", "| --- | --- | --- | --- |")
    for kind in _leaves(errors.RequestError):
        parameters = list(inspect.signature(kind).parameters.values())
        given = {p.name: 0 if p.annotation is int else "text" for p in parameters}
        error = kind(**given | ({"what": "calls"} if kind is errors.OverloadedError else {}))
        details = ", ".join(f"`{detail.type_url.rpartition('.')[2]}`" for detail in error.status.details)
        meaning = " ".join((inspect.getdoc(kind) or "").split())
        yield f"| `{code_pb2.Code.Name(error.status.code)}` | `{kind.__name__}` | {meaning} | {details} |"
    yield "| `INTERNAL` | any other exception | A fault of the server; the log has its place. | `RequestInfo` |"


def _leaves(kind: Any) -> Iterator[Any]:
    for below in kind.__subclasses__():
        yield below
        yield from _leaves(below)


def clients() -> Iterator[str]:
    """A table of clients that others wrote."""
    yield from ("| client | speaks | version | how | test |", "| --- | --- | --- | --- | --- |")
    for client in CLIENTS:
        yield f"| {client.name} | {client.speaks} | {version(client)} | {client.how} | `{client.test}` |"


def help_pages(command: str, *subcommands: str) -> Iterator[str]:
    """What `--help` of a command and its subcommands says."""
    environment = os.environ | {"COLUMNS": "100"}
    for name in ("", *subcommands):
        line = [command, name] if name else [command]
        ran = subprocess.run([Path(sys.executable).parent / command, *line[1:], "--help"], env=environment,
                             capture_output=True, text=True, check=True)  # fmt: skip
        yield from ("", f"### {' '.join(line)}", "", "```text", ran.stdout.rstrip(), "```")


def contract(file: str) -> Iterator[str]:
    """Services, messages and enums of a .proto, with its comments."""
    with tempfile.TemporaryDirectory() as folder:
        descriptors = Path(folder) / "descriptors"
        command = [sys.executable, "proto/generate.py", "--descriptors", str(descriptors)]
        subprocess.run(command, cwd=ROOT, check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes())
    (proto,) = (item for item in files.file if item.name == file)
    comments = {tuple(at.path): " ".join(at.leading_comments.split()) for at in proto.source_code_info.location}
    for s, service in enumerate(proto.service):
        yield from ("", f"## service {service.name}", "", comments[6, s], "")
        yield from ("| method | request | response | |", "| --- | --- | --- | --- |")
        for m, method in enumerate(service.method):
            request = ("stream " if method.client_streaming else "") + _short(method.input_type)
            response = ("stream " if method.server_streaming else "") + _short(method.output_type)
            yield f"| `{method.name}` | `{request}` | `{response}` | {comments[6, s, 2, m]} |"
    for m, message in enumerate(proto.message_type):
        yield from _message(message, (4, m), comments)
    for e, enum in enumerate(proto.enum_type):
        yield from ("", f"## enum {enum.name}", "", comments[5, e], "")
        yield from ("| value | number | |", "| --- | --- | --- |")
        for v, value in enumerate(enum.value):
            yield f"| `{value.name}` | {value.number} | {comments[5, e, 2, v]} |"


def _message(message: Any, path: tuple[int, ...], comments: dict[tuple[int, ...], str]) -> Iterable[str]:
    yield from ("", f"## {message.name}", "", comments.get(path, ""))
    if message.field:
        yield from ("", "| field | type | number | |", "| --- | --- | --- | --- |")
    for f, field in enumerate(message.field):
        kind = (
            _short(field.type_name) if field.type_name else _FIELD.Type.Name(field.type).removeprefix("TYPE_").lower()
        )
        repeated = "repeated " if field.label == _FIELD.LABEL_REPEATED else "optional " if field.proto3_optional else ""
        about = comments.get((*path, 2, f), "")
        if field.HasField("oneof_index") and not field.proto3_optional:
            about += f" One of `{message.oneof_decl[field.oneof_index].name}`."
        yield f"| `{field.name}` | `{repeated}{kind}` | {field.number} | {about} |"
    for n, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from _message(nested, (*path, 3, n), comments)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


if __name__ == "__main__":
    write(ROOT / "docs/reference/generated")
