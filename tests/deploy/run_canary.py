"""A canary, run for real: two pods behind HAProxy, which the rendered GRPCRoute configures."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from paravec_model.artifact import Artifact

from .canary import Callers, Canary, steps
from .containers import answers
from .pods import podman


@pytest.fixture
def canary(models: dict[str, Artifact], tmp_path: Path) -> Iterator[Canary]:
    """Stable and candidate behind a proxy."""
    made = Canary(tmp_path)
    yield made
    made.remove()


def test_a_canary_rolls_forward_back_and_to_its_promotion(canary: Canary, models: dict[str, Artifact]) -> None:
    """Shares follow the weights, the header decides, each step is a line of the page, and no call fails."""
    tag, few, more_pods, half, back, everything, promote, home, no_pods = steps()
    canary.step(tag)
    free, candidate_only, stable_only = (Callers(canary.target, header) for header in (None, "true", "false"))

    def share() -> int:
        """How many of the next 400 calls without the header the candidate answers."""
        assert candidate_only.next(20) == {"1.1.0": 20}
        assert stable_only.next(20) == {"1.0.0": 20}
        return free.next(400)["1.1.0"]

    assert share() == 0
    for line in (few, more_pods):
        canary.step(line)
        assert 15 <= share() <= 25
    canary.step(half)
    assert 190 <= share() <= 210
    canary.step(back)
    assert share() == 0
    canary.step(everything)
    assert share() == 400
    # The lab has one pod of the stable, which restarts.
    stable_only.stop()
    canary.step(promote)
    answers(canary.stable, models["1.1.0"])
    canary.step(home)
    candidate_only.stop()
    canary.step(no_pods)
    assert free.next(400) == {"1.1.0": 400}
    free.stop()
    assert canary.candidate.pod not in podman("pod", "ps", "--format", "{{.Name}}").split()
    assert len(canary.stable.run("ls", "/models")[1].split()) == 2
