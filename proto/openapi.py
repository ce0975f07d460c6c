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
    """The messages, enums and methods of a descriptor set by full name, and all comments."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self.messages: dict[str, DescriptorProto] = {}
        self.enums: dict[str, EnumDescriptorProto] = {}
        self.methods: dict[str, MethodDescriptorProto] = {}
        self.comments = dict(_OWN_COMMENTS)
        """The comment before an element, in one line, by the element's full name."""
        for file in files.file:
            self._read(file)

    def _read(self, file: FileDescriptorProto) -> None:
        places = file.source_code_info.location if file.package.startswith("paravec") else ()
        comments = {tuple(place.path): place.leading_comments for place in places}

        def note(name: str, *path: int) -> str:
            if comment := " ".join(comments.get(path, "").split()):
                self.comments[name] = comment
            return name

        def walk(message: DescriptorProto, prefix: str, *path: int) -> None:
            self.messages[name := note(f"{prefix}.{message.name}", *path)] = message
            for i, field in enumerate(message.field):
                note(f"{name}.{field.name}", *path, 2, i)
            for i, nested in enumerate(message.nested_type):
                walk(nested, name, *path, 3, i)

        prefix = f".{file.package}"
        for i, message in enumerate(file.message_type):
            walk(message, prefix, 4, i)
        for i, enum in enumerate(file.enum_type):
            self.enums[note(f"{prefix}.{enum.name}", 5, i)] = enum
        for i, service in enumerate(file.service):
            for j, method in enumerate(service.method):
                self.methods[note(f"{prefix}.{service.name}.{method.name}", 6, i, 2, j)] = method


class Document:
    """An OpenAPI document: its operations, and the schemas that they use."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.paths: dict[str, dict[str, Any]] = {}
        self.schemas: dict[str, Schema] = {}
        for name, method in contract.methods.items():
            if method.options.HasExtension(annotations_pb2.http):
                self._add(name, method)

    def _add(self, full_name: str, method: MethodDescriptorProto) -> None:
        rule = method.options.Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        path = getattr(rule, verb)
        request, response = self._content(method.input_type), self._content(method.output_type)
        if method.client_streaming:
            request = {"type": "array", "items": request}
        answer = "The result." if not method.server_streaming else "One result a line, each as soon as it is there."
        operation: dict[str, Any] = {
            "operationId": method.name,
            "tags": [full_name.split(".")[-2]],
            **self._description(full_name),
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
            yield {"name": name, "in": "path", "required": True, "schema": self._field(message, fields[name])}

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
        fields = {field.name: self._field(type_name, field) for field in message.field}
        return {"type": "object", **self._description(type_name), "properties": fields}

    def _enum(self, type_name: str) -> Schema:
        enum = self._contract.enums[type_name]
        names = [value.name for value in enum.value]
        return {"type": "string", **self._description(type_name), "enum": names}

    def _field(self, message: str, field: FieldDescriptorProto) -> Schema:
        schema = self._content(field.type_name) if field.type_name else _SCALARS[field.type]
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            schema = {"type": "array", "items": schema}
        return {**self._description(f"{message}.{field.name}"), **schema}

    def _description(self, full_name: str) -> Schema:
        comment = self._contract.comments.get(full_name)
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
