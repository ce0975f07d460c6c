"""gensim behind BentoML."""

import os

import bentoml
from gensim.models.doc2vec import Doc2Vec
from gensim.utils import simple_preprocess


@bentoml.service(workers=1)
class Embedder:
    """The model in one worker."""

    def __init__(self) -> None:
        self.model = Doc2Vec.load(os.environ["BENCH_MODEL"])

    @bentoml.api
    def embed(self, texts: list[str]) -> dict[str, list[list[float]]]:
        """The vectors of texts."""
        infer = self.model.infer_vector
        return {"vectors": [infer(simple_preprocess(text), epochs=20).tolist() for text in texts]}
