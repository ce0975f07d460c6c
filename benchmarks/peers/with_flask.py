"""gensim behind Flask, for gunicorn: the kind of service that paravec replaces."""

import os
from typing import Any

from flask import Flask, request
from gensim.models.doc2vec import Doc2Vec
from gensim.utils import simple_preprocess

app = Flask(__name__)
model = Doc2Vec.load(os.environ["BENCH_MODEL"])


@app.post("/embed")
def embed() -> dict[str, Any]:
    """The vectors of the texts in a JSON object."""
    texts = request.get_json()["texts"]
    return {"vectors": [model.infer_vector(simple_preprocess(text), epochs=20).tolist() for text in texts]}
