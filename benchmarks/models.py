"""Models of any size for benchmarks: random numbers in the shape of what training makes."""

from pathlib import Path

import numpy as np
from gensim.models.doc2vec import Doc2Vec

from paravec_model.export import GensimModel, write_artifact
from paravec_model.tokenizer import SimpleTokenizer


def random_model(path: Path, words: int, vector_size: int) -> Path:
    """Write a DBOW model with negative sampling to `path`, without what method map takes.

    Its words w0, w1, ... are Zipf's in frequency.
    """
    model = Doc2Vec(dm=0, vector_size=vector_size, min_count=1, sample=1e-3)
    model.build_vocab_from_freq({f"w{n}": 10**7 // (n + 10) + 1 for n in range(words)}, corpus_count=1)
    model.syn1neg[:] = np.random.default_rng(1).standard_normal(model.syn1neg.shape, np.float32) / 10
    write_artifact(path, GensimModel(model), name="random", version="1", tokenizer=SimpleTokenizer(), choose=None)
    return path
