"""How far our vectors are from gensim's when both make the same draws; `make parity` prints it for each kind of model.

gensim draws from a shared generator and starts from a hash of the text. Both are replaced here, in gensim, by the
draws that paravec makes for the same seed; nothing else of either is touched.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
from gensim.models.doc2vec import Doc2Vec, TaggedDocument

from paravec_model.artifact import Artifact
from paravec_model.convert.export import write_artifact
from paravec_model.convert.gensim_model import GensimModel
from paravec_model.corpus.formats import named_corpus
from paravec_model.encoder import Encoder
from paravec_model.inference.random_tables import epoch_seeds, start_vector, window_seeds
from paravec_model.text.tokenizer import SimpleTokenizer

LIMIT = 1e-4

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "DBOW": {"dm": 0},
    "DBOW, words too": {"dm": 0, "dbow_words": 1},
    "DM mean": {"dm": 1},
    "DM mean, fixed windows": {"dm": 1, "shrink_windows": False},
    "DM sum": {"dm": 1, "cbow_mean": 0},
    "DM concat": {"dm": 1, "dm_concat": 1, "window": 3},
}

OUTPUTS: dict[str, dict[str, Any]] = {
    "negative sampling": {"negative": 5, "hs": 0},
    "hierarchical softmax": {"negative": 0, "hs": 1},
    "both": {"negative": 5, "hs": 1},
    "no sub-sampling": {"negative": 7, "hs": 0, "sample": 0},
}

KINDS = {f"{a}; {o}": ARCHITECTURES[a] | OUTPUTS[o] for a in ARCHITECTURES for o in OUTPUTS}


def lee() -> list[list[str]]:
    """The tokens of gensim's Lee background corpus, 300 news stories."""
    tokenize = SimpleTokenizer()
    return [tokenize(text) for _tags, text in named_corpus("lee")]


def documents(count: int = 120) -> list[list[str]]:
    """Real documents of 0 to 2,000 tokens: pieces of the corpus of all lengths, many short and some long."""
    words = [word for story in lee() for word in story]
    lengths = [0, 1, 2, 3, 5, 8, 13, 20, 34, 55, 100, 150, 250, 400, 2000]
    return [words[61 * i : 61 * i + lengths[i % len(lengths)]] for i in range(count)]


def train(vector_size: int = 50, epochs: int = 5, **parameters: Any) -> Doc2Vec:
    """A gensim model of the Lee corpus, each story with a tag of its own and one that it shares."""
    cbow_mean = parameters.pop("cbow_mean", 1)
    model = Doc2Vec(vector_size=vector_size, epochs=epochs, min_count=2, workers=1, seed=1, **parameters)
    # gensim 4 ignores dm_mean=0, so a model of the sum is made by its attribute.
    model.cbow_mean = cbow_mean
    tags = [[i] if parameters.get("dm_concat") else [i, f"month {i // 25}"] for i in range(300)]
    tagged = [TaggedDocument(story, tag) for story, tag in zip(lee(), tags, strict=True)]
    model.build_vocab(tagged)
    model.train(tagged, total_examples=len(tagged), epochs=epochs)
    return model


def to_artifact(model: Doc2Vec, folder: Path, **options: Any) -> Artifact:
    """The artifact of a live gensim model, in the new folder."""
    write_artifact(folder, GensimModel(model), name="test", version="1", tokenizer=SimpleTokenizer(), **options)
    return Artifact.open(folder)


class Draws:
    """In place of gensim's `model.random`: what paravec draws for a seed, in the order in which gensim asks."""

    def __init__(self, seed: int, epochs: int) -> None:
        # gensim puts an epoch's 48-bit state together from two draws of 24 bits.
        self._states = (half for s in epoch_seeds(seed, epochs).tolist() for half in (s >> 24, s % 2**24))
        self._windows = iter(window_seeds(seed, epochs).tolist())

    def randint(self, low: int, high: int, size: int | None = None) -> Any:
        """A half of an epoch's state, or the reductions of an epoch's windows."""
        assert low == 0
        if size is None:
            return next(self._states)
        state, drawn = next(self._windows), []
        for _ in range(size):
            drawn.append((state >> 16) % high)
            state = (state * 25214903917 + 11) % 2**48
        return drawn


@contextmanager
def same_draws(model: Doc2Vec, seed: int, epochs: int) -> Iterator[None]:
    """Have gensim's infer_vector make paravec's draws once."""
    start = start_vector(seed, model.vector_size)
    # gensim moves the vector it is given, so it gets one of its own.
    weak = mock.patch("gensim.models.doc2vec.pseudorandom_weak_vector", return_value=start.copy())
    with weak, mock.patch.object(model, "random", Draws(seed, epochs)):
        yield


def gensim_vectors(model: Doc2Vec, texts: Sequence[list[str]], seed: int = 1) -> npt.NDArray[np.float32]:
    """gensim's vectors of texts with paravec's draws; zero where gensim knows no word and returns its start."""
    vectors = np.zeros((len(texts), model.vector_size), np.float32)
    for row, tokens in zip(vectors, texts, strict=True):
        if any(token in model.wv for token in tokens):
            with same_draws(model, seed, model.epochs):
                row[:] = model.infer_vector(tokens)
    return vectors


def largest_difference(model: Doc2Vec, artifact: Artifact, texts: Sequence[list[str]]) -> float:
    """The largest absolute difference between any two numbers of gensim's vectors and ours."""
    ours = Encoder(artifact).encode(texts).vectors
    return float(np.abs(gensim_vectors(model, texts) - ours).max())


def main() -> None:
    """Print the table."""
    texts = documents()
    print(f"largest absolute difference from gensim over {len(texts)} documents of 0 to 2,000 tokens")
    for kind, parameters in KINDS.items():
        model = train(**parameters)
        with tempfile.TemporaryDirectory() as folder:
            difference = largest_difference(model, to_artifact(model, Path(folder) / "model"), texts)
        print(f"{kind:45} {difference:.1e} {'' if difference <= LIMIT else f'over {LIMIT:g}'}", flush=True)


if __name__ == "__main__":
    main()
