"""gensim behind MLServer: a runtime for `mlserver start`."""

import os

import numpy as np
from gensim.models.doc2vec import Doc2Vec
from gensim.utils import simple_preprocess
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Embedder(MLModel):
    """Texts in one tensor of bytes, vectors in one of float32."""

    async def load(self) -> bool:
        """Load the model."""
        self.model = Doc2Vec.load(os.environ["BENCH_MODEL"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The vectors of texts."""
        texts = StringCodec.decode_input(payload.inputs[0])
        vectors = np.array([self.model.infer_vector(simple_preprocess(text), epochs=20) for text in texts])
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("vectors", vectors)])
