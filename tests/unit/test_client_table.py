"""The table of clients in docs/reference/clients.md."""

import ast
from pathlib import Path

import pytest
from docs.clients import CLIENTS, Client, version

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_client_has_a_version_and_a_test(client: Client) -> None:
    """The lock names the package, and the test exists."""
    assert version(client)
    file, name = client.test.split("::")
    tests = {node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)}
    assert name in tests
