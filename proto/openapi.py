"""Describes the HTTP side of the contract: `openapi.py FILE` writes OpenAPI 3.1 as JSON.

The paths are those of the google.api.http annotations, the schemas are protobuf's JSON mapping
(https://protobuf.dev/programming-guides/json), and the texts are the comments of the .proto files.
"""

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

import generate

Schema = dict[str, Any]

_INTEGER = {"type": "integer", "format": "int32"}
# Numbers of 64 bits are written as strings, which JSON's readers do not round; both are read.
_LONG = {"type": ["string", "integer"], "format": "int64"}
_SCALARS: dict[int, Schema] = {
    FieldDescriptorProto.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptorProto.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptorProto.TYPE_INT32: _INTEGER,
    FieldDescriptorProto.TYPE_UINT32: {"type": "integer", "format": "uint32", "minimum": 0},
    FieldDescriptorProto.TYPE_INT64: _LONG,
    FieldDescriptorProto.TYPE_UINT64: {"type": ["string", "integer"], "format": "uint64"},
    FieldDescriptorProto.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptorProto.TYPE_STRING: {"type": "string"},
    FieldDescriptorProto.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}
# Packages whose messages go by their short names.
_SHORT_NAMES = ("paravec.v1", "google.rpc")
_WELL_KNOWN: dict[str, Schema] = {
    ".google.protobuf.Value": {},
    ".google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string", "description": "The URL of the message's type."}},
        "required": ["@type"],
    },
}
# Google's comments are Google's.
_OWN_COMMENTS = {".google.rpc.Status": "An error: its gRPC code, a message, and details that say more."}
_ANSWERS = {
    "400": "The request is invalid; `details` name the field.",
    "401": "Credentials are missing or wrong.",
    "404": "What the request names does not exist.",
    "429": "The server is overloaded; `details` say when to try again.",
    "503": "The model is loading, or the server shuts down.",
}


class Contract:
    """The messages, enums and services of a descriptor set, with their comments."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self.messages: dict[str, DescriptorProto] = {}
        self.enums: dict[str, EnumDescriptorProto] = {}
        self.methods: list[tuple[str, MethodDescriptorProto]] = []
        self._comments: dict[int, str] = {}
        for file in files.file:
            self._read(file)

    def comment(self, element: Any) -> str:
        """The comment before an element of a .proto file, in one line."""
        return self._comments.get(id(element), "")

    def _read(self, file: FileDescriptorProto) -> None:
        places = file.source_code_info.location if file.package.startswith("paravec") else ()
        comments = {tuple(place.path): place.leading_comments for place in places}

        def note(element: Any, *path: int) -> None:
            self._comments[id(element)] = " ".join(comments.get(path, "").split())

        def walk(message: DescriptorProto, prefix: str, *path: int) -> None:
            self.messages[name := f"{prefix}.{message.name}"] = message
            note(message, *path)
            for i, field in enumerate(message.field):
                note(field, *path, 2, i)
            for i, nested in enumerate(message.nested_type):
                walk(nested, name, *path, 3, i)

        prefix = f".{file.package}"
        for i, message in enumerate(file.message_type):
            walk(message, prefix, 4, i)
        for i, enum in enumerate(file.enum_type):
            self.enums[f"{prefix}.{enum.name}"] = enum
            note(enum, 5, i)
        for i, service in enumerate(file.service):
            for j, method in enumerate(service.method):
                self.methods.append((service.name, method))
                note(method, 6, i, 2, j)


class Document:
    """An OpenAPI document: its operations, and the schemas that they use."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.paths: dict[str, dict[str, Any]] = {}
        self.schemas: dict[str, Schema] = {}
        for service, method in contract.methods:
            if method.options.HasExtension(annotations_pb2.http):
                self._add(service, method)

    def _add(self, service: str, method: MethodDescriptorProto) -> None:
        rule = method.options.Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        path = getattr(rule, verb)
        request, response = self._content(method.input_type), self._content(method.output_type)
        if method.client_streaming:
            request = {"type": "array", "items": request}
        answer = "The result." if not method.server_streaming else "One result a line, each as soon as it is there."
        operation: dict[str, Any] = {
            "operationId": method.name,
            "tags": [service],
            "description": self._contract.comment(method),
            "responses": {
                "200": {"description": answer, "content": {"application/json": {"schema": response}}},
                **{code: _error(self._content(".google.rpc.Status"), text) for code, text in _ANSWERS.items()},
            },
        }
        if rule.body:
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": request}}}
        if parameters := list(self._parameters(path, method.input_type)):
            operation["parameters"] = parameters
        self.paths.setdefault(path, {})[verb] = operation

    def _parameters(self, path: str, message: str) -> Iterator[dict[str, Any]]:
        fields = {field.name: field for field in self._contract.messages[message].field}
        for name in re.findall(r"{(\w+)", path):
            yield {"name": name, "in": "path", "required": True, "schema": self._field(fields[name])}

    def _content(self, type_name: str) -> Schema:
        """A reference to a type's schema, which is added if it is new; or the schema, if it is a well-known type."""
        if type_name in _WELL_KNOWN:
            return _WELL_KNOWN[type_name]
        package, name = type_name[1:].rsplit(".", 1)
        if package not in _SHORT_NAMES:
            name = f"{package}.{name}"
        if name not in self.schemas:
            self.schemas[name] = {}  # for types that contain themselves
            self.schemas[name] = (
                self._enum(type_name) if type_name in self._contract.enums else self._message(type_name)
            )
        return {"$ref": f"#/components/schemas/{name}"}

    def _message(self, type_name: str) -> Schema:
        message = self._contract.messages[type_name]
        fields = {field.name: self._field(field) for field in message.field}
        own = {"description": _OWN_COMMENTS[type_name]} if type_name in _OWN_COMMENTS else self._description(message)
        return {"type": "object", **own, "properties": fields}

    def _enum(self, type_name: str) -> Schema:
        enum = self._contract.enums[type_name]
        names = [value.name for value in enum.value]
        return {"type": "string", **self._description(enum), "enum": names}

    def _field(self, field: FieldDescriptorProto) -> Schema:
        schema = self._content(field.type_name) if field.type_name else _SCALARS[field.type]
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            schema = {"type": "array", "items": schema}
        return {**self._description(field), **schema}

    def _description(self, element: Any) -> Schema:
        comment = self._contract.comment(element)
        return {"description": comment} if comment else {}


def _error(status: Schema, text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": status}}}


def describe(file: Path) -> None:
    """Write the OpenAPI document of the contract."""
    with tempfile.NamedTemporaryFile() as made:
        if code := generate.descriptors(Path(made.name)):
            sys.exit(code)
        document = Document(Contract(FileDescriptorSet.FromString(Path(made.name).read_bytes())))
    content = {
        "openapi": "3.1.0",
        "info": {
            "title": "paravec",
            "version": "v1",
            "description": "Doc2Vec vectors of text, by HTTP and JSON. The same calls are there by gRPC.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://localhost:8080"}],
        # A bearer token, if the server requires one.
        "security": [{}, {"bearer": []}],
        "paths": document.paths,
        "components": {
            "schemas": dict(sorted(document.schemas.items())),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    describe(Path(sys.argv[1]))
