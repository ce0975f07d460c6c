"""Artifacts with any numbers and bytes in their files, and a manifest that fits: refused, or vectors come out."""

import io
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gensim.models.doc2vec import Doc2Vec, TaggedDocument
from hypothesis import given
from hypothesis import strategies as st

from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder
from paravec_model.errors import ArtifactError, NotFiniteError
from paravec_model.evaluation.map_lambda import DEFAULT_LAMBDA, Choice
from paravec_model.options import InferenceOptions

from .. import parity
from .test_artifact import sign

KINDS: dict[str, dict[str, int]] = {
    "DBOW": {"dm": 0, "hs": 1, "negative": 5},
    "DM": {"dm": 1, "hs": 0, "negative": 5},
    "DM concat": {"dm": 1, "dm_concat": 1, "hs": 1, "negative": 0, "window": 2},
}
STORIES = 12
TEXTS = [story[:length] for story, length in zip(parity.lee()[:STORIES], [0, 1, 2, 40] * 3, strict=True)]
DOCUMENTS = [*TEXTS, *map(" ".join, TEXTS), "no such words: \0 ￿ 😀"]
EXTREME_INTEGERS = (0, 1, 7, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
EXTREME_FLOATS = (0.0, -1.0, 1e18, 3e38, 1e-45, np.inf, -np.inf, np.nan)


def centered(artifact: Artifact, _: object) -> Choice:
    """A choice of method map with a center, so that there is every array."""
    return Choice(DEFAULT_LAMBDA, "sgd", center={"map_center": artifact.arrays["map_mean"]})


@pytest.fixture(scope="module", params=KINDS)
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small artifact of a kind, with the documents' vectors."""
    tagged = [TaggedDocument(story, [n]) for n, story in enumerate(parity.lee()[:STORIES])]
    model = Doc2Vec(tagged, vector_size=8, epochs=1, min_count=2, workers=1, seed=1, **KINDS[request.param])
    return parity.to_artifact(model, tmp_path_factory.mktemp("sound") / "model", doctags=True, choose=centered).path


def forged(numbers: npt.NDArray[Any], draw: Callable[[st.SearchStrategy[Any]], Any]) -> npt.NDArray[Any]:
    """The numbers with others in some places or in all, or in another order."""
    how = draw(st.sampled_from(["places", "all", "backwards", "shifted", "sorted"]))
    if how in ("places", "all"):
        extremes = EXTREME_FLOATS if numbers.dtype.kind == "f" else EXTREME_INTEGERS
        numbers = numbers.copy()
        for _ in range(draw(st.integers(1, 4)) if how == "places" else 1):
            place = draw(st.integers(0, numbers.size - 1)) if how == "places" else slice(None)
            with np.errstate(over="ignore"):
                numbers.flat[place] = np.array(draw(st.sampled_from(extremes))).astype(numbers.dtype)
        return numbers
    if how == "shifted":
        return np.roll(numbers.ravel(), draw(st.integers(1, 9))).reshape(numbers.shape)
    return numbers[::-1].copy() if how == "backwards" else np.sort(numbers.ravel()).reshape(numbers.shape)


def use(folder: Path) -> None:
    """All that a server does with an artifact."""
    artifact = Artifact.open(folder)
    encoder = Encoder(artifact)
    encoder.warm_up()
    for method in encoder.methods:
        encoding = encoder.encode(DOCUMENTS, InferenceOptions(epochs=2, method=method))
        assert np.isfinite(encoding.vectors).all()
        if encoder.document_index:
            encoder.document_index.find(encoding.vectors, 20)


@given(st.data())
def test_any_file_content_is_refused_or_gives_vectors(sound: Path, data: st.DataObject) -> None:
    """Whatever an artifact's files hold, it is an ArtifactError or gives vectors."""
    files = {file.name: file.read_bytes() for file in sound.iterdir()}
    arrays = sorted(name for name in files if name.endswith(".npy"))
    for name in data.draw(st.lists(st.sampled_from(arrays), min_size=1, max_size=3, unique=True)):
        if data.draw(st.integers(0, 4)):
            made = io.BytesIO()
            np.save(made, forged(np.load(sound / name), data.draw))
            files[name] = made.getvalue()
        else:
            damaged = bytearray(files[name])
            places = st.dictionaries(st.integers(0, len(damaged) - 1), st.integers(0, 255))
            for place, byte in data.draw(places).items():
                damaged[place] = byte
            files[name] = bytes(damaged[: data.draw(st.sampled_from([None] * 4 + [-1, -64, 60, 0]))])
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        sign(Path(folder))
        with suppress(ArtifactError, NotFiniteError):
            use(Path(folder))


def test_the_unforged_artifacts_give_vectors(sound: Path) -> None:
    """Each artifact that the tests forge gives vectors as it was made."""
    use(sound)
