"""A server's durations and deadlines do not depend on the wall clock."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paravec_client import DeadlineError, EmbeddingClient, InferenceOptions
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder

from ..servers import PATIENCE, Server, command, until

COMPILER = shutil.which("cc")
TEXT = "The fire in Sydney spread"
DAYS = 40 * 86400


class Clock:
    """A wall clock of its own for a process that is started with `environment`."""

    def __init__(self, folder: Path) -> None:
        library, self._file = folder / "wall_clock.so", folder / "clock"
        source = Path(__file__).with_name("wall_clock.c")
        subprocess.run([str(COMPILER), "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        self.jump(0)
        self.environment = (f"LD_PRELOAD={library}", f"WALL_CLOCK={self._file}")

    def jump(self, seconds: int) -> None:
        """Set the clock's distance from the machine's."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))


@pytest.mark.skipif(not COMPILER, reason="no clock to turn: apt-get install gcc libc6-dev")
@pytest.mark.parametrize("jump", [-DAYS, 90])
def test_a_jumping_wall_clock_changes_nothing(artifact: Artifact, encoder: Encoder, tmp_path: Path, jump: int) -> None:
    """While the wall clock jumps, streams go on, deadlines are kept, health is well and the stop is clean."""
    clock = Clock(tmp_path)
    flags = ("--hang-seconds", "1", "--log-level", "debug")
    expected = encoder.encode([encoder.tokenize(TEXT)]).vectors[0]

    def texts() -> Iterator[str]:
        for number in range(40):
            if number == 10:
                clock.jump(jump)
            time.sleep(0.02)
            yield TEXT

    arguments = ["env", *clock.environment, *command(artifact.path, *flags)]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        server = Server(process)
        try:
            with EmbeddingClient(server.target) as client, EmbeddingClient(server.target, timeout=0.5) as hurried:
                client.wait_until_ready(PATIENCE)
                outcomes: list[Any] = list(client.embed_stream(texts()))
                assert len(outcomes) == 40
                assert all(np.array_equal(made.vector, expected) for made in outcomes)
                with pytest.raises(DeadlineError):
                    hurried.embed(["fire " * 2000] * 64, InferenceOptions(epochs=1000))
                assert np.array_equal(client.embed(TEXT), expected)
                time.sleep(1.5)
                # Two looks for hangs have passed; on a busy machine a look may come late.
                until(lambda: client.health("") == client.health() == "SERVING")
            assert server.stop() == 0, server.log
            assert "Traceback" not in server.log
        finally:
            process.kill()
            server.wait()
    calls = [event for event in server.events if event["event"] == "call"]
    ahead = datetime.fromisoformat(calls[-1]["time"]) - datetime.fromisoformat(server.events[0]["time"])
    # It did jump, and no call took that long.
    assert abs(ahead - timedelta(seconds=jump)) < timedelta(seconds=80)
    assert all(0 <= call["seconds"] < 60 for call in calls)
    assert "DEADLINE_EXCEEDED" in {call["code"] for call in calls}
