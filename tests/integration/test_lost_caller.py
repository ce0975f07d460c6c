"""A client's machine disappears: its link is cut in a network namespace."""

import subprocess
import sys

import pytest
from benchmarks.nodes import NodesError, nodes

from paravec_model.artifact import Artifact

from ..scrapes import Scrape, address_of
from ..servers import running, until

# A stream that is busy for hours, or one that waits for its next document.
CALLER = """
import sys, time
from paravec_client import EmbeddingClient, InferenceOptions
def documents():
    yield ["fire"]
    while sys.argv[2] == "busy":
        yield ["fire"] * 2000
    time.sleep(600)
options = InferenceOptions(epochs=1000)
for _ in EmbeddingClient(sys.argv[1], timeout=600).embed_stream(documents(), options):
    print("answered", flush=True)
"""

# What channel_args.py lets pass: 30 s of silence and 10 s for an answer; and some for this machine.
_NOTICED = 75.0


@pytest.mark.slow
def test_the_streams_of_a_lost_caller_are_ended_by_keepalive(artifact: Artifact) -> None:
    """After a caller's link is cut, its streams count as in flight until keepalive ends them."""
    flags = ("--listen", "0.0.0.0:0", "--operations-listen", "127.0.0.1:0", "--threads", "1")
    try:
        with nodes(1) as place, running(artifact.path, *flags) as server:
            address = address_of(server)
            target = place.addresses[0].rpartition(".")[0] + f".1:{server.port}"
            callers = [
                place.start(0, [sys.executable, "-c", CALLER, target, kind], stdout=subprocess.PIPE)
                for kind in ("busy", "silent")
            ]
            try:
                for caller in callers:
                    assert caller.stdout
                    assert caller.stdout.readline() == "answered\n"
                until(lambda: Scrape(address)("paravec_calls_in_flight") == 2)
                place.cut(0)
                until(lambda: Scrape(address)("paravec_calls_in_flight") == 0, _NOTICED)
            finally:
                for caller in callers:
                    caller.kill()
                    caller.communicate()
            assert server.stop() == 0
    except NodesError as error:
        pytest.skip(str(error))
