"""Starts a server, embeds texts through the client, shows each text's nearest neighbour, and stops the server."""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from paravec_client import EmbeddingClient, InferenceOptions

# In pairs: both texts of a pair are about the same event, in different words.
TEXTS = (
    "Australian batsmen built a big lead against South Africa on the second day of the cricket test",
    "The bowlers took early wickets and the cricket test in Adelaide is now in Australia's hands",
    "Strong winds drove the bushfires towards homes near Sydney and firefighters worked all night",
    "Fire crews hope that cooler weather will help them to control the blaze in New South Wales",
    "Israeli troops moved into the West Bank after a suicide bomber killed people in Jerusalem",
    "Palestinian leader Yasser Arafat was asked to arrest militants after attacks on Israel",
    "The Reserve Bank cut interest rates as economic growth slowed and unemployment rose",
    "Economists expect the bank to lower rates again because the world economy is weak",
)


def main() -> int:
    """Run the demonstration; returns 0 if every text was embedded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="directory of an artifact")
    arguments = parser.parse_args()
    with server(arguments.model) as port, EmbeddingClient(f"127.0.0.1:{port}") as client:
        client.wait_until_ready(60)
        model = client.model()
        print(
            f"model {model.name} {model.version} ({model.algorithm}, {model.vocabulary_size} words × "
            f"{model.vector_size}, {model.digest[:19]})\n"
        )
        vectors = client.embed(TEXTS, InferenceOptions(normalize=True))
        cosines = vectors @ vectors.T - 2 * np.eye(len(TEXTS))
        for i, text in enumerate(TEXTS):
            nearest = int(cosines[i].argmax())
            print(f"{i + 1}. {text}\n   nearest: {nearest + 1}. {TEXTS[nearest]} (cosine {cosines[i, nearest]:.2f})")
        times = []
        for text in TEXTS * 25:
            began = time.perf_counter()
            client.embed(text)
            times.append(time.perf_counter() - began)
        print(f"\nround trip of one text: {np.median(times) * 1000:.2f} ms (median of {len(times)})")
    return 0


@contextmanager
def server(model: Path) -> Iterator[int]:
    """Start a paravec-server on a free port, yield the port, and stop the server at the end of the block."""
    command = [sys.executable, "-m", "paravec_server.cli", "--model", str(model)]
    command += ["--listen", "127.0.0.1:0", "--log-format", "json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603  our own command
        assert process.stderr is not None  # noqa: S101  it is a pipe
        try:
            for line in process.stderr:
                try:
                    event = json.loads(line)
                except ValueError:
                    sys.exit(line.strip())
                if event["event"] == "listening":
                    break
            else:
                sys.exit("the server exited before it listened")
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield event["port"]
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
