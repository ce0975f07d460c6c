"""How many of our functions, in how many files, a short Embed, a conversion and a training run through.

    python benchmarks/hops.py --model build/models/lee

A hop is a call of a Python function of ours, counted with sys.setprofile. Comprehensions and generators count too.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import paravec_model
import paravec_server

FOLDERS = tuple(str(Path(package.__path__[0])) for package in (paravec_model, paravec_server))

# How long a server gets to start, and to finish what follows a call.
_START_SECONDS, _END_SECONDS = 2.0, 0.1


class Hops:
    """Counts calls of our functions, on all threads that start later."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.counting = False
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        if self.counting and event == "call" and frame.f_code.co_filename.startswith(FOLDERS):
            self.files[frame.f_code.co_filename] += 1

    @contextmanager
    def count(self) -> Iterator[None]:
        """Count what happens meanwhile."""
        self.files.clear()
        self.counting = True
        yield
        self.counting = False

    def __str__(self) -> str:
        return f"{self.files.total():8,} hops in {len(self.files):3} files"


def embed(hops: Hops, model: Path) -> None:
    """One short call, after others."""
    from grpc import insecure_channel

    from paravec.v1 import embedding_pb2 as pb
    from paravec.v1 import embedding_pb2_grpc
    from paravec_server.app import App
    from paravec_server.settings import read_settings

    with tempfile.TemporaryDirectory() as folder:
        target = f"unix:{folder}/socket"
        app = App(read_settings(["--model", str(model), "--listen", target, "--log-level", "error"]))
        serving = threading.Thread(target=app.run)
        serving.start()
        time.sleep(_START_SECONDS)
        with insecure_channel(target) as channel:
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            request = pb.EmbedRequest(documents=[pb.Document(text="the president of the united states said")])
            for _ in range(20):
                stub.Embed(request)
            time.sleep(_END_SECONDS)
            counts = []
            for _ in range(5):
                with hops.count():
                    stub.Embed(request)
                    time.sleep(_END_SECONDS)
                counts.append((hops.files.total(), str(hops)))
            # The others have the server's heartbeat in them.
            print("Embed  ", min(counts)[1])
        app.stop("measured")
        serving.join()


def convert_and_train(hops: Hops) -> None:
    """A model of a hundred documents."""
    from gensim.models.doc2vec import Doc2Vec, TaggedDocument

    from paravec_model.cli.main import main

    words = [a + b for a in "abcdefghij" for b in "klmnopqrst"]
    texts = [" ".join(words[i : i + 3]) for i in range(len(words))]
    model = Doc2Vec([TaggedDocument(text.split(), [i]) for i, text in enumerate(texts)], min_count=1, vector_size=20)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/gensim")
        Path(folder, "lines").write_text("\n".join(texts))
        with hops.count():
            main(["convert", f"{folder}/gensim", f"{folder}/converted"])
        print("convert", hops)
        with hops.count():
            main(["train", "--lines", f"{folder}/lines", "--output", f"{folder}/trained", "--min-count", "1"])
        print("train  ", hops)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("build/models/lee"), help="artifact to serve")
    arguments = parser.parse_args()
    counted = Hops()
    embed(counted, arguments.model)
    convert_and_train(counted)
