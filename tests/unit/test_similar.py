"""The nearest training documents, against every cosine computed in float64."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gensim.models.doc2vec import Doc2Vec
from hypothesis import given
from hypothesis import strategies as st

from paravec_model.artifact import Artifact, read_manifest, verify
from paravec_model.artifact.manifest import MANIFEST
from paravec_model.encoder import Encoder
from paravec_model.errors import ArtifactError, StoppedError
from paravec_model.inference import similar as module
from paravec_model.inference.similar import DocumentIndex

from .. import parity
from .test_artifact import sign

Vectors = npt.NDArray[np.float32]


@pytest.fixture
def copy(artifact: Artifact, tmp_path: Path) -> Path:
    """A copy of the artifact that a test may change."""
    return shutil.copytree(artifact.path, tmp_path / "model")


def with_documents(artifact: Artifact, vectors: Vectors) -> DocumentIndex:
    """The neighbours of an artifact with other documents' vectors; each tag is a document's number."""
    arrays = {"doctag_vectors": vectors}
    same = replace(artifact, arrays=arrays)
    # The property is kept where it would be found.
    vars(same)["doctags"] = list(range(len(vectors)))
    return DocumentIndex(same)


def brute_force(vectors: Vectors, query: Vectors) -> npt.NDArray[np.float64]:
    """All cosines in float64; 0 for a document whose vector is zero."""
    rows, one = vectors.astype(np.float64), query.astype(np.float64)
    sizes = np.linalg.norm(rows, axis=1) * np.linalg.norm(one)
    cosines: npt.NDArray[np.float64] = np.divide(rows @ one, sizes, out=np.zeros(len(rows)), where=sizes > 0)
    return cosines


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 60),
    size=st.sampled_from([1, 3, 8, 16, 29]),
    queries=st.integers(1, 5),
    top_k=st.integers(1, 70),
    work=st.sampled_from([1, 64, 1000, 2**24]),
)
def test_neighbours_equal_brute_force(
    artifact: Artifact, seed: int, count: int, size: int, queries: int, top_k: int, work: int
) -> None:
    """For any sizes and blocks, the largest cosines come in order, to 1e-6, zero vectors included."""
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((count, size)).astype(np.float32) * (random.random((count, 1)) > 0.1)
    asked = random.standard_normal((queries, size)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PORTION_MULTIPLY_ADDS", work)
        found = with_documents(artifact, vectors.astype(np.float32)).find(asked, top_k)
    for query, (near, _) in zip(asked, found, strict=True):
        cosines = brute_force(vectors, query)
        assert len({tag for tag, *_ in near}) == len(near) == min(top_k, count)
        assert np.allclose([cosine for _, cosine, _ in near], np.sort(cosines)[::-1][: len(near)], atol=1e-6)
        assert np.allclose([cosine for _, cosine, _ in near], cosines[[int(tag) for tag, *_ in near]], atol=1e-6)


@given(seed=st.integers(0, 2**32), top_k=st.integers(1, 50), work=st.sampled_from([1, 7, 100]))
def test_ties_go_to_the_earlier_document(artifact: Artifact, seed: int, top_k: int, work: int) -> None:
    """Documents with equal cosines come in their order, wherever blocks end."""
    # Coordinates with exact lengths, so that equal cosines are equal bits.
    kinds = np.array([[3, 4], [4, 3], [-3, 4], [0, 0], [5, 0]], np.float32)
    vectors = kinds[np.random.default_rng(seed).integers(0, len(kinds), 40)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PORTION_MULTIPLY_ADDS", work)
        ((near, _),) = with_documents(artifact, vectors).find(np.array([[1, 0]]), top_k)
    cosines = brute_force(vectors, np.array([1, 0], np.float32))
    assert [tag for tag, *_ in near] == np.lexsort((np.arange(40), -cosines))[:top_k].tolist()


def test_a_query_does_not_depend_on_its_batch(artifact: Artifact) -> None:
    """A query has the same neighbours and bits alone and among others."""
    random = np.random.default_rng(3)
    neighbours = with_documents(artifact, random.standard_normal((500, 50)).astype(np.float32))
    queries = random.standard_normal((20, 50)).astype(np.float32)
    assert neighbours.find(queries, 7) == [neighbours.find([query], 7)[0] for query in queries]


def test_zero_and_nan_vectors_have_no_neighbours(artifact: Artifact) -> None:
    """A zero or NaN query has no neighbours, and a NaN document is nobody's neighbour."""
    vectors = np.array([[1, 0], [np.nan, 1], [0, 0], [np.inf, 0], [-1e-30, 0]], np.float32)
    neighbours = with_documents(artifact, vectors)
    (zero, _), (right, _), (infinite, _) = neighbours.find([[0, 0], [1e-30, 0], [np.inf, 1]], 9)
    assert (zero, infinite) == ([], [])
    assert [tag for tag, *_ in right] == [0, 2, 4]
    assert [cosine for _, cosine, _ in right] == [1, 0, -1]
    assert neighbours.find(np.empty((0, 2)), 9) == []


def test_a_search_can_be_stopped(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two blocks it asks whether anybody still waits."""
    monkeypatch.setattr(module, "_PORTION_MULTIPLY_ADDS", 500)
    answers = iter([False, False, True])
    with pytest.raises(StoppedError):
        DocumentIndex(artifact).find(artifact.arrays["doctag_vectors"][:1], 3, lambda: next(answers))
    assert list(answers) == []


@pytest.mark.parametrize("kind", [{"dm": 0}, {"dm": 1}, {"dm": 1, "dm_concat": 1}], ids=["dbow", "dm", "dm concat"])
def test_neighbours_match_gensims_most_similar(kind: dict[str, int], tmp_path: Path) -> None:
    """Tags and cosines are those of most_similar, to 1e-5."""
    model = parity.train(**kind)
    encoder = Encoder(parity.to_artifact(model, tmp_path / "model", doctags=True))
    assert encoder.document_index
    queries = encoder.encode([story[:50] for story in parity.lee()[::30]]).vectors
    for query, (near, _) in zip(queries, encoder.document_index.find(queries, 20), strict=True):
        theirs = model.dv.most_similar([query], topn=20)
        assert np.allclose([cosine for _, cosine, _ in near], [cosine for _, cosine in theirs], atol=1e-5)
        by_tag = dict(model.dv.most_similar([query], topn=len(model.dv)))
        assert all(abs(by_tag[tag] - cosine) < 1e-5 for tag, cosine, _ in near)


def test_an_artifact_without_norms_has_the_same_neighbours(artifact: Artifact, copy: Path) -> None:
    """An older artifact without norms and tag offsets is sound and gives the same neighbours."""
    manifest = read_manifest(copy)
    for name in ("doctag_norms.npy", "doctag_offsets.npy"):
        (copy / name).unlink()
        del manifest.files[name]
    (copy / MANIFEST).write_text(replace(manifest, digest="").to_json())
    assert verify(copy) == []
    old = Artifact.open(copy)
    assert list(old.doctags) == list(artifact.doctags)
    queries = artifact.arrays["doctag_vectors"][::50]
    assert DocumentIndex(old).find(queries, 9) == DocumentIndex(artifact).find(queries, 9)


def test_tags_are_read_one_by_one(copy: Path) -> None:
    """A tag is any string or integer, and found without a look at the others."""
    tags = ["a,", ",", "\n", '"', "é\ud800", "", -5, 10**30, *range(304)]
    write_tags(copy, tags)
    sign(copy)
    assert verify(copy) == []
    read = Artifact.open(copy).doctags
    assert list(read) == tags
    assert (read[-1], read[2:5], read.index(-5), len(read)) == (303, tags[2:5], 6, 312)


def write_tags(folder: Path, tags: list[Any]) -> None:
    """Put these in the place of an artifact's tags."""
    (folder / "doctags.json").write_text("[\n" + ",\n".join(map(json.dumps, tags)) + "\n]\n")
    lines = np.cumsum([2, *(len(json.dumps(tag)) + 2 for tag in tags)])
    lines[-1] -= 1
    np.save(folder / "doctag_offsets.npy", lines)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("doctag_norms", lambda a: a * 2),
        ("doctag_norms", lambda a: a * np.nan),
        ("doctag_offsets", lambda a: a + 1),
        ("doctag_offsets", lambda a: a * 0 - 2**62),
        ("doctag_offsets", lambda a: a[::-1] + 2**62),
        ("doctags", lambda tags: [*tags[:-1], None]),
        ("doctags", lambda tags: [*tags[:-1], [1]]),
        ("doctags", lambda tags: tags[:-1]),
    ],
)
def test_forged_doctag_arrays_are_harmless_and_verify_finds_them(copy: Path, name: str, change: Any) -> None:
    """Forged numbers lead to an error at most, and verify names the file."""
    if name == "doctags":
        tags = change(list(Artifact.open(copy).doctags))
        write_tags(copy, tags)
        if len(tags) < 312:
            np.save(copy / "doctag_offsets.npy", np.zeros(313, np.int64))
    else:
        np.save(copy / f"{name}.npy", change(np.load(copy / f"{name}.npy")))
    sign(copy)
    opened = Artifact.open(copy)
    neighbours = DocumentIndex(opened)
    try:
        found = neighbours.find(opened.arrays["doctag_vectors"][:2], 400)
        assert all(len(near) <= 312 for near, _ in found)
    except ArtifactError as error:
        assert "is not a tag" in str(error)
    assert f"{name}." in verify(copy)[0]


def test_norms_and_vectors_of_other_lengths_are_refused(copy: Path) -> None:
    """The kernel never reads beyond an array."""
    np.save(copy / "doctag_norms.npy", np.ones(311, np.float32))
    sign(copy)
    with pytest.raises(ArtifactError, match=r"doctag_norms\.npy: is <f4 of shape"):
        Artifact.open(copy)


def test_a_model_that_lost_its_document_vectors_is_refused(gensim_model: Doc2Vec, tmp_path: Path) -> None:
    """Fewer vectors than tags do not become an artifact."""
    vectors = gensim_model.dv.vectors
    gensim_model.dv.vectors = vectors[:-1]
    try:
        with pytest.raises(Exception, match="doctag"):
            parity.to_artifact(gensim_model, tmp_path / "model", doctags=True)
    finally:
        gensim_model.dv.vectors = vectors
