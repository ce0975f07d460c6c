"""Models for benchmarks: random ones of any size, and a trained one."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from client.examples import libreoffice_help
from gensim.models.doc2vec import Doc2Vec, TaggedDocument

from paravec_model.convert.export import write_artifact
from paravec_model.convert.gensim_model import GensimModel
from paravec_model.corpus.formats import named_corpus
from paravec_model.evaluation.map_lambda import default
from paravec_model.text.tokenizer import SimpleTokenizer, WhitespaceTokenizer


def random_model(path: Path, words: int, vector_size: int, *, with_map: bool = False, documents: int = 0) -> Path:
    """Write a random DBOW model with negative sampling to `path`. `with_map`: include λ, which method map needs.

    The frequencies of its words w0, w1, ... follow Zipf's law. It holds `documents` vectors, tagged from 0.
    """
    model, tokenizer = GensimModel(random_gensim(words, vector_size, documents)), WhitespaceTokenizer()
    choose = default if with_map else None
    write_artifact(path, model, name="random", version="1", tokenizer=tokenizer, choose=choose, doctags=documents > 0)
    return path


def random_gensim(words: int, vector_size: int, documents: int = 0) -> Doc2Vec:
    """The same random model as a gensim object."""
    model = Doc2Vec(dm=0, vector_size=vector_size, min_count=1, sample=1e-3, epochs=20)
    model.build_vocab_from_freq({f"w{n}": 10**7 // (n + 10) + 1 for n in range(words)}, corpus_count=1)
    model.syn1neg[:] = np.random.default_rng(1).standard_normal(model.syn1neg.shape, np.float32) / 10
    if documents:
        model.dv.index_to_key = range(documents)
        model.dv.vectors = np.random.default_rng(3).standard_normal((documents, vector_size), np.float32)
    return model


def random_words(words: int, count: int) -> list[str]:
    """`count` words, drawn by their frequencies in such a model."""
    weights = 1 / np.arange(10, words + 10)
    return [f"w{n}" for n in np.random.default_rng(2).choice(words, count, p=weights / weights.sum())]


@dataclass(frozen=True)
class Trained:
    """One model as gensim's file and as our artifact: DBOW, negative 5, 20 epochs."""

    corpus: str
    """Name of the training corpus."""
    gensim: Path
    """gensim's file."""
    artifact: Path
    """Our artifact."""
    vector_size: int
    """Numbers in a vector."""
    vocabulary_size: int
    """Words in the vocabulary."""
    epochs: int
    """Epochs of training, and the default of inference."""


def best_corpus() -> str:
    """The Italian help if its package is installed, else gensim's Lee corpus."""
    return "libreoffice-help-it" if (libreoffice_help.ROOT / "it").is_dir() else "lee"


def corpus_texts(corpus: str) -> list[str]:
    """The texts of gensim's Lee corpus ("lee"), or of a Debian package libreoffice-help-*."""
    if corpus == "lee":
        return [text for _, text in named_corpus(corpus)]
    return [text for _, text in libreoffice_help.pages(corpus.removeprefix("libreoffice-help-"))]


def trained_model(cache: Path, corpus: str, vector_size: int, artifact: Path) -> Trained:
    """Train a model, or load it from the folder `cache`, and write its artifact in the current format."""
    folder = cache / f"{corpus}-{vector_size}"
    file = folder / "doc2vec.model"
    if not file.exists():
        tokenize = SimpleTokenizer()
        documents = [TaggedDocument(tokenize(text), [n]) for n, text in enumerate(corpus_texts(corpus))]
        model = Doc2Vec(documents, dm=0, negative=5, vector_size=vector_size, min_count=2, epochs=20, seed=1, workers=1)
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache) as directory:
            # gensim writes large arrays to files of their own: rename the folder, so that it is complete.
            part = Path(directory) / "part"
            part.mkdir()
            model.save(str(part / file.name))
            part.rename(folder)
    model = Doc2Vec.load(str(file))
    write_artifact(artifact, GensimModel(model), name=corpus, version="1", tokenizer=SimpleTokenizer())
    return Trained(corpus, file, artifact, vector_size, len(model.wv), model.epochs)


def texts_of(trained: Trained, tokens: int, count: int) -> list[str]:
    """`count` different texts of `tokens` known tokens each, spread over the training corpus."""
    known = set(Doc2Vec.load(str(trained.gensim)).wv.index_to_key)
    words = [w for text in corpus_texts(trained.corpus) for w in SimpleTokenizer()(text) if w in known]
    step = max(len(words) // count, tokens)
    return [" ".join(words[i : i + tokens]) for i in range(step // 2, len(words) - tokens, step)][:count]
