"""Routes by the schema of the Gateway API, which is Node's package @kubernetes-models/gateway-api."""

import json
import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from ..npm import install
from .manifests import CANARY, KUSTOMIZE, ROOT, composed, only, render

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

Problems = Callable[[dict[str, Any]], str]


@pytest.fixture(scope="module")
def problems() -> Problems:
    """Tells what is wrong with a route; "" for a valid one."""
    folder = ROOT / "build/gateway-api"
    install(Path(__file__).parent / "gateway_api", folder)

    def problems(route: dict[str, Any]) -> str:
        command = ["node", str(folder / "validate.mjs")]
        ran = subprocess.run(command, input=json.dumps(route), capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        printed: str = ran.stdout
        return printed.strip()

    return problems


@pytest.fixture
def shadowed(tmp_path: Path) -> dict[str, Any]:
    """The route of a canary with a shadow, which has all that ours have: weights, headers, a mirror."""
    file = Path(shutil.copytree(KUSTOMIZE, tmp_path / "kustomize")) / "overlays" / CANARY / "kustomization.yaml"
    file.write_text(file.read_text().replace("components/canary\n", "components/canary\n  - ../../components/shadow\n"))
    return only(render(file.parent), "GRPCRoute")


def test_our_routes_are_valid(problems: Problems, shadowed: dict[str, Any], tmp_path: Path) -> None:
    """The route of a Gateway, of a canary and of a shadow pass."""
    (tmp_path / "gateway").mkdir()
    plain = only(render(composed(tmp_path / "gateway", "gateway")), "GRPCRoute")
    canary = only(render(KUSTOMIZE / "overlays" / CANARY), "GRPCRoute")
    assert [problems(route) for route in (plain, canary, shadowed)] == ["", "", ""]


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (("backendRefs", 0, "weight"), "95", "weight must be integer"),
        (("backendRefs", 0, "weight"), -1, "weight must be >= 0"),
        (("filters", 0, "type"), "Mirror", "type must be equal to one of the allowed values"),
        (("filters", 0, "requestMirror"), {}, "must have required property backendRef"),
        (("matches",), [{"headers": [{"name": "paravec-candidate", "value": ""}]}], "value must NOT be shorter"),
    ],
)
def test_what_the_schema_forbids_is_a_problem(
    place: tuple[str | int, ...], value: object, problem: str, problems: Problems, shadowed: dict[str, Any]
) -> None:
    """The validation notices a wrong type, value or name in what our routes use."""
    route = deepcopy(shadowed)
    found: Any = route["spec"]["rules"][0]
    for key in place[:-1]:
        found = found[key]
    found[place[-1]] = value
    assert problem in problems(route)
