"""gensim behind LitServe: python with_litserve.py PORT"""

import os
import sys
from typing import Any

import litserve
from gensim.models.doc2vec import Doc2Vec
from gensim.utils import simple_preprocess


class Embedder(litserve.LitAPI):
    """The model in one worker."""

    def setup(self, device: str) -> None:  # noqa: ARG002  # gensim has none
        """Load the model."""
        self.model = Doc2Vec.load(os.environ["BENCH_MODEL"])

    def predict(self, x: dict[str, Any]) -> dict[str, Any]:
        """The vectors of the texts in a JSON object."""
        infer = self.model.infer_vector
        return {"vectors": [infer(simple_preprocess(text), epochs=20).tolist() for text in x["texts"]]}


if __name__ == "__main__":
    server = litserve.LitServer(Embedder(api_path="/embed"), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="warning"
    )
