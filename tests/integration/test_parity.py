"""Our vectors against gensim's with the same random draws, and our kernels against the Python reference."""

from pathlib import Path

import numpy as np
import pytest

from paravec_model.encoder import Encoder
from paravec_model.inference import reference
from paravec_model.options import InferenceOptions

from .. import parity


@pytest.mark.parametrize("kind", parity.KINDS)
def test_vectors_match_gensims(kind: str, tmp_path: Path) -> None:
    """With the same random draws, no number of 120 documents differs from gensim's by more than 1e-4."""
    model = parity.train(**parity.KINDS[kind])
    texts = parity.documents()
    assert len(texts) >= 100
    assert {len(t) for t in texts} >= {0, 1, 2000}
    artifact = parity.to_artifact(model, tmp_path / "model")
    assert parity.largest_difference(model, artifact, texts) <= parity.LIMIT


@pytest.mark.parametrize("architecture", parity.ARCHITECTURES)
def test_kernels_match_the_reference(architecture: str, tmp_path: Path) -> None:
    """The C kernels and the slow Python reference give the same vectors, also with other options."""
    kind = parity.ARCHITECTURES[architecture] | parity.OUTPUTS["both"] | {"negative": 8}
    artifact = parity.to_artifact(parity.train(vector_size=20, epochs=3, **kind), tmp_path / "model")
    options = InferenceOptions(epochs=4, alpha=0.05, min_alpha=0.01, seed=2**64 - 1)
    texts = [t for t in parity.documents(14) if len(t) < 300]
    ours = Encoder(artifact).encode(texts, options).vectors
    slow = np.stack([reference.infer(artifact, text, options) for text in texts])
    assert np.abs(ours - slow).max() <= parity.LIMIT


def test_other_random_draws_give_other_vectors(tmp_path: Path) -> None:
    """With another seed for gensim the vectors differ, so the agreement above is not trivial."""
    model = parity.train(dm=0, negative=5)
    texts = parity.documents(20)
    ours = Encoder(parity.to_artifact(model, tmp_path / "model")).encode(texts).vectors
    assert np.abs(parity.gensim_vectors(model, texts, seed=2) - ours).max() > 100 * parity.LIMIT
