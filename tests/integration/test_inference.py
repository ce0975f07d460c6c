"""Inference is deterministic to the bit, and its vectors are useful."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from gensim.models.doc2vec import Doc2Vec

from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder, Vectors
from paravec_model.errors import StoppedError
from paravec_model.options import InferenceOptions

from .. import parity


@pytest.fixture(scope="module")
def texts() -> list[list[str]]:
    """Documents of all lengths."""
    return parity.documents(45)


@pytest.fixture(scope="module")
def vectors(encoder: Encoder, texts: list[list[str]]) -> Vectors:
    """Their vectors, made in one call."""
    return encoder.encode(texts).vectors


def test_repeated_inference_gives_the_same_bits(encoder: Encoder, texts: list[list[str]], vectors: Vectors) -> None:
    """Inferring again, after calls with other seeds, gives the same bits."""
    for seed in range(2, 9):
        encoder.encode(texts[:3], InferenceOptions(seed=seed))
    assert encoder.encode(texts).vectors.tobytes() == vectors.tobytes()


def test_a_vector_does_not_depend_on_its_batch(encoder: Encoder, texts: list[list[str]], vectors: Vectors) -> None:
    """A document has the same bits alone and anywhere in a batch."""
    for i, text in enumerate(texts):
        assert encoder.encode([text]).vectors.tobytes() == vectors[i].tobytes()
    backwards = encoder.encode(texts[::-1]).vectors
    assert backwards[::-1].tobytes() == vectors.tobytes()


def test_threads_give_the_same_bits(artifact: Artifact, texts: list[list[str]], vectors: Vectors) -> None:
    """Eight threads that share a new encoder, and so its tables, all get the same."""
    shared = Encoder(artifact)
    with ThreadPoolExecutor(8) as pool:
        for made in pool.map(lambda _: shared.encode(texts).vectors, range(16)):
            assert made.tobytes() == vectors.tobytes()


def test_processes_give_the_same_bits(artifact: Artifact, texts: list[list[str]], vectors: Vectors) -> None:
    """Another process, with another hash seed, gets the same."""
    code = (
        "import json, sys; from paravec_model.encoder import Encoder; from paravec_model.artifact import Artifact;"
        "vectors = Encoder(Artifact.open(sys.argv[1])).encode(json.load(sys.stdin)).vectors;"
        "sys.stdout.write(vectors.tobytes().hex())"
    )
    for seed in ("0", "1"):
        command = [sys.executable, "-c", code, str(artifact.path)]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        ran = subprocess.run(
            command, input=json.dumps(texts), capture_output=True, text=True, check=True, env=environment
        )
        assert ran.stdout == vectors.tobytes().hex()


def test_options_change_the_vector(encoder: Encoder, texts: list[list[str]], vectors: Vectors) -> None:
    """Each option of inference has an effect."""
    defaults = encoder.manifest.defaults
    for change in ({"epochs": 3}, {"alpha": 0.05}, {"min_alpha": 0.02}, {"seed": 2}, {"normalize": True}):
        other = encoder.encode([texts[7]], replace(defaults, **change)).vectors
        assert not np.array_equal(other[0], vectors[7]), change


def test_a_document_without_known_tokens_has_a_zero_vector(encoder: Encoder) -> None:
    """Such a document has a zero vector and a count of 0, where gensim returns its random start."""
    made = encoder.encode([[], ["qqqqq", "zzzzz"], ["the"]], InferenceOptions(normalize=True))
    assert made.known_token_counts == [0, 0, 1]
    assert not made.vectors[:2].any()
    assert np.linalg.norm(made.vectors[2]) == pytest.approx(1, abs=1e-6)


def test_normalized_vectors_point_the_same_way(encoder: Encoder, texts: list[list[str]], vectors: Vectors) -> None:
    """normalize scales to unit length, and does nothing else."""
    words = set(encoder.artifact.vocabulary)
    known = [i for i, text in enumerate(texts) if any(t in words for t in text)]
    units = encoder.encode([texts[i] for i in known], replace(encoder.manifest.defaults, normalize=True)).vectors
    lengths = np.linalg.norm(vectors[known], axis=1, keepdims=True)
    assert np.allclose(units * lengths, vectors[known], atol=1e-6)
    assert units.dtype == np.float32


def test_portions_of_random_draws_equal_one_table(encoder: Encoder) -> None:
    """A document longer than the cached tables, and many epochs, give what one large table gives."""
    words = [word for story in parity.lee() for word in story]
    long = words[:10_000]
    options = replace(encoder.manifest.defaults, epochs=60)
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return False

    whole = encoder.encode([long, words[:7]], options, stop).vectors
    assert calls > 2
    assert whole[1].tobytes() == encoder.encode([words[:7]], options).vectors[0].tobytes()
    assert whole[0].tobytes() == encoder.encode([long], options).vectors[0].tobytes()


def test_inference_ends_when_stop_returns_true(encoder: Encoder) -> None:
    """When `stop` returns True, encode raises StoppedError."""
    asked = threading.Event()
    documents = [["the"] * 2000] * 50

    def stop() -> bool:
        was = asked.is_set()
        asked.set()
        return was

    with pytest.raises(StoppedError):
        encoder.encode(documents, InferenceOptions(epochs=500), stop)


def test_a_training_document_finds_itself(encoder: Encoder, artifact: Artifact) -> None:
    """Most stories inferred anew are nearest to their own tag, and nearly all among the nearest three."""
    stories = [i for i, tag in enumerate(artifact.doctags) if isinstance(tag, int)]
    trained = artifact.arrays["doctag_vectors"][stories]
    trained = trained / np.linalg.norm(trained, axis=1, keepdims=True)
    made = encoder.encode(parity.lee(), InferenceOptions(epochs=100, normalize=True)).vectors
    ranks = np.argsort(-(made @ trained.T), axis=1)
    numbers = np.array([int(artifact.doctags[i]) for i in stories])[ranks]
    assert np.mean([row[0] == i for i, row in enumerate(numbers)]) > 0.9
    assert np.mean([i in row[:3] for i, row in enumerate(numbers)]) > 0.97


def test_a_word_is_nearer_to_itself_than_to_another(encoder: Encoder, gensim_model: Doc2Vec) -> None:
    """gensim's own check of inference: the same word gives a vector nearer than another word's."""
    options = InferenceOptions(epochs=100, normalize=True)
    fire, again, other = encoder.encode([["fire"], ["fire", "fire"], ["cricket"]], options).vectors
    assert fire @ again > fire @ other
    stories = parity.lee()
    halves = encoder.encode([stories[0][::2], stories[0][1::2], stories[150]], options).vectors
    assert halves[0] @ halves[1] > halves[0] @ halves[2]
    assert gensim_model.vector_size == len(fire)
