"""A model in this process: `paravec_model.load`, against the encoder and gensim's own answers."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models.doc2vec import Doc2Vec

import paravec_model
from paravec_model.artifact import Artifact
from paravec_model.artifact.doctags import DOCTAGS, Doctags
from paravec_model.artifact.writer import write_json
from paravec_model.encoder import Encoder
from paravec_model.errors import ArtifactError, ModelError, OptionError
from paravec_model.inference.document_vectors import DocumentVectors
from paravec_model.inference.similar import DocumentIndex
from paravec_model.model import Model

from .. import parity

TEXTS = ["fires burn near Sydney", "the prime minister spoke to reporters", "xyzzy"] * 50


@pytest.fixture(scope="module")
def model(artifact: Artifact) -> Model:
    """The session's model, opened by a user."""
    return paravec_model.load(artifact.path, threads=2)


def test_vectors_are_the_encoders(model: Model, encoder: Encoder) -> None:
    """A list of many documents gives what one call of the encoder gives, and a text gives one row of it."""
    expected = encoder.encode([encoder.tokenize(text) for text in TEXTS]).vectors
    np.testing.assert_array_equal(model.embed(TEXTS), expected)
    np.testing.assert_array_equal(model.embed(TEXTS[1]), expected[1])
    np.testing.assert_array_equal(model.embed(iter(TEXTS)), expected)
    np.testing.assert_array_equal(model.embed(np.array(TEXTS)), expected)
    tokens: Any = [np.array(encoder.tokenize(text), dtype=object) for text in TEXTS]
    np.testing.assert_array_equal(model.embed(tokens), expected)
    assert model.embed([]).shape == (0, model.vector_size)
    scalar: Any = np.array(TEXTS[1])
    np.testing.assert_array_equal(model.embed(scalar), expected[1])
    assert repr(model) == f"<Model {model.manifest.name} {model.manifest.version}, {model.vector_size} dimensions>"


class _Column:
    """A column of another library: it iterates over objects of its own, and has a method that gives plain values."""

    def __init__(self, method: str) -> None:
        setattr(self, method, lambda: TEXTS[:2])

    def __iter__(self) -> Iterator[object]:
        return iter([object(), object()])


@pytest.mark.parametrize("method", ["to_pylist", "to_list", "tolist"])
def test_a_column_is_converted_by_its_own_method(model: Model, method: str) -> None:
    """PyArrow, Polars and NumPy name it differently."""
    column: Any = _Column(method)
    np.testing.assert_array_equal(model.embed(column), model.embed(TEXTS[:2]))


def test_a_table_is_refused(model: Model) -> None:
    """Its columns would be embedded by their names."""
    table: Any = type("Table", (list,), {"columns": ["text"]})(["text"])
    with pytest.raises(TypeError, match="must be a text, or a list or column of documents, not Table"):
        model.embed(table)


def test_a_model_is_read_whole_if_told_to(artifact: Artifact, tmp_path: Path) -> None:
    """`verify` finds a changed byte, which is not looked for otherwise."""
    changed = shutil.copytree(artifact.path, tmp_path / "changed")
    array = np.load(changed / "doctag_vectors.npy", "r+")
    array[0, 0] += 1
    array.flush()
    assert paravec_model.load(changed).vector_size == array.shape[1]
    with pytest.raises(ArtifactError, match=r"doctag_vectors.npy: its SHA-256 differs"):
        paravec_model.load(changed, verify=True)


def test_options_replace_the_models_defaults(model: Model, encoder: Encoder) -> None:
    """An option that is given counts; the others stay the model's."""
    normalized = model.embed(TEXTS[:2], normalize=True)
    np.testing.assert_allclose(np.linalg.norm(normalized, axis=1), 1, rtol=1e-6)
    vectors = model.embed(TEXTS[:2])
    np.testing.assert_allclose(normalized, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), rtol=1e-5)
    assert not np.array_equal(model.embed(TEXTS[:2], seed=9), vectors)


@pytest.mark.parametrize(
    ("documents", "problem"),
    [
        ([TEXTS[0], None], r"documents\[1\]: must be a text or a list of tokens, not NoneType"),
        ([[1, 2]], r"documents\[0\]: must be a text or a list of tokens, not list"),
        ([b""], r"documents\[0\]: must be a text or a list of tokens, not bytes"),
        (np.array(7), "documents: must be a text, or a list or column of documents, not int"),
        ({"a": 1}, "documents: must be a text, or a list or column of documents, not dict"),
        (7, "documents: must be a text, or a list or column of documents, not int"),
    ],
)
def test_a_wrong_type_is_named(model: Model, documents: Any, problem: str) -> None:
    """The error names the document and what it should be."""
    with pytest.raises(TypeError, match=problem):
        model.embed(documents)


def test_a_wrong_option_is_named(model: Model) -> None:
    """The error names the option."""
    with pytest.raises(OptionError, match="epochs: must be 1 to 100000, not 0"):
        model.embed("fire", epochs=0)
    misspelt: Any = {"normalise": True}
    with pytest.raises(TypeError, match="normalise: is no option of inference; they are method, epochs, alpha"):
        model.embed("fire", **misspelt)


def test_a_number_below_one_is_named(model: Model) -> None:
    """Threads and neighbours are at least one; gensim's `most_similar` gives none for a topn of zero."""
    with pytest.raises(OptionError, match="threads: must be at least 1, not -1"):
        paravec_model.load(model.encoder.artifact.path, threads=-1)
    for top_k in (0, -1):
        with pytest.raises(OptionError, match=f"top_k: must be at least 1, not {top_k}"):
            model.find_similar("fire", top_k)
    assert model.dv.most_similar(model.dv.vectors[0], topn=0) == []


def test_nothing_is_inferred_if_a_later_document_is_wrong(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of a generator reaches the caller before any document is inferred."""

    def infer(*_: Any) -> Any:
        pytest.fail("inferred")

    def documents() -> Iterator[str]:
        yield from TEXTS
        raise LookupError("of the generator")

    monkeypatch.setattr(Encoder, "encode", infer)
    with pytest.raises(LookupError, match="of the generator"):
        model.embed(documents())


def test_infer_vector_is_gensims(model: Model, gensim_model: Doc2Vec) -> None:
    """`infer_vector` gives vectors as near to gensim's as two of gensim's with other seeds."""
    words = gensim_model.wv.index_to_key[:40]
    ours, theirs = model.infer_vector(words, epochs=200), gensim_model.infer_vector(words, epochs=200)
    assert ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs) > 0.9
    np.testing.assert_array_equal(ours, model.embed([words], method="sgd", epochs=200)[0])
    given = model.infer_vector(words, 0.2, 0.1, 3)
    np.testing.assert_array_equal(given, model.embed([words], method="sgd", alpha=0.2, min_alpha=0.1, epochs=3)[0])
    assert not np.array_equal(given, model.embed([words], method="sgd", epochs=3)[0])
    text: Any = "a text"
    with pytest.raises(TypeError, match=r"embed\(\) takes a text"):
        model.infer_vector(text)


def test_dv_is_gensims(model: Model, gensim_model: Doc2Vec) -> None:
    """Tags, vectors and nearest documents are those of gensim's `dv`."""
    ours, theirs = model.dv, gensim_model.dv
    assert len(ours) == len(theirs)
    tag = ours.index_to_key[7]
    np.testing.assert_array_equal(ours.vectors, theirs.vectors)
    np.testing.assert_array_equal(ours[tag], theirs[tag])
    np.testing.assert_array_equal(ours[list(ours.index_to_key[2:5])], theirs.vectors[2:5])
    assert [ours.get_index(key) for key in ours.index_to_key] == list(range(len(ours)))
    assert ours.key_to_index == {key: position for position, key in enumerate(ours.index_to_key)}
    assert all(ours.similarity(key, key) <= 1 for key in ours.index_to_key)
    ours[tag][:] = 0
    np.testing.assert_array_equal(ours[tag], theirs[tag])
    assert tag in ours
    assert "no such tag" not in ours
    for positive in (tag, ours[tag], list(ours.index_to_key[3:5])):
        found, expected = ours.most_similar(positive, topn=5), theirs.most_similar(positive, topn=5)
        assert [key for key, _ in found] == [key for key, _ in expected]
        np.testing.assert_allclose([cosine for _, cosine in found], [cosine for _, cosine in expected], atol=1e-5)
    other = ours.index_to_key[8]
    assert ours.similarity(tag, other) == pytest.approx(theirs.similarity(tag, other), abs=1e-6)
    with pytest.raises(KeyError, match="no training document has the tag 'no such tag'"):
        _ = ours["no such tag"]
    with pytest.raises(ValueError, match="positive: must hold at least one"):
        ours.most_similar([])


@pytest.mark.parametrize("shape", [(3,), (2, 3), (5000,), (), (1, 2, 60)])
def test_a_vector_of_another_size_is_refused(model: Model, shape: tuple[int, ...]) -> None:
    """The search never reads past a vector that is too short."""
    vector = np.ones(shape)
    with pytest.raises(ValueError, match=r"positive: a vector must have shape \(\d+,\), not \("):
        model.dv.most_similar(vector)
    with pytest.raises(ValueError, match=r"positive: a vector must have shape"):
        model.dv.most_similar([model.dv.index_to_key[0], vector])
    with pytest.raises(ValueError, match=r"vectors: must have shape \(n, \d+\), not \("):
        model.dv.nearest(np.atleast_1d(vector), 2)


def test_keys_of_other_types(model: Model) -> None:
    """Numbers of NumPy are numbers, True is 1, and what can be no tag is a KeyError."""
    numbers: list[Any] = [np.int64(3), True]
    for number in numbers:
        assert number in model.dv
        np.testing.assert_array_equal(model.dv[number], model.dv[int(number)])
    others: list[Any] = [None, 1.0, slice(0, 2), (1, 2), b"a"]
    for other in others:
        assert other not in model.dv
        with pytest.raises(KeyError, match="no training document has the tag"):
            _ = model.dv[other]


def test_a_number_is_a_tag_before_it_is_a_position(artifact: Artifact, tmp_path: Path) -> None:
    """As in gensim. Here the tags count down, but for a text in place of one; the second vector is zero."""
    vectors = artifact.arrays["doctag_vectors"].copy()
    vectors[1] = 0
    count = len(vectors)
    tags: list[str | int] = [*reversed(range(count))]
    tags[5] = "a text"
    write_json(tmp_path / DOCTAGS, tags)
    other = replace(artifact, arrays=artifact.arrays | {"doctag_vectors": vectors})
    # The cached property looks here first.
    vars(other)["doctags"] = Doctags(tmp_path / DOCTAGS, count)
    dv = DocumentVectors(other, DocumentIndex(other))
    assert [dv.get_index(number) for number in (0, count - 1, count - 6)] == [count - 1, 0, count - 6]
    for number in (-1, count):
        with pytest.raises(KeyError, match=f"no training document has the tag {number}"):
            dv.get_index(number)
    assert dv.similarity(0, count - 2) == 0
    assert dv.most_similar(count - 2) == []


def test_similar_documents_of_texts(model: Model, encoder: Encoder) -> None:
    """The nearest documents of a text are those of its vector, one list for each text of a list."""
    assert encoder.document_index
    expected = encoder.document_index.find(model.embed(TEXTS[:2]), 3)
    assert model.find_similar(TEXTS[:2], 3) == [found.neighbours for found in expected]
    assert model.find_similar(TEXTS[0], 3) == expected[0].neighbours
    assert len(model.find_similar(TEXTS[0])) == 10
    other = model.embed(TEXTS[:1], method="sgd", seed=9)
    assert model.find_similar(TEXTS[0], 3, method="sgd", seed=9) == encoder.document_index.find(other, 3)[0].neighbours


def test_a_model_that_cannot_do_it_says_so(gensim_model: Doc2Vec, tmp_path: Path) -> None:
    """Without doctags there is no `dv`, without an artifact no model, and an unsupported method is refused."""
    bare = parity.to_artifact(gensim_model, tmp_path / "bare").path
    with pytest.raises(ModelError, match="holds no documents; make it with --doctags"):
        _ = paravec_model.load(bare).dv
    with pytest.raises(ModelError, match="holds no documents"):
        paravec_model.load(bare).find_similar("fire")
    with pytest.raises(ArtifactError, match="none"):
        paravec_model.load(tmp_path / "none")
    unknown: Any = "median"
    with pytest.raises(OptionError, match="method: 'median' is not one of sgd, map"):
        paravec_model.load(bare, method=unknown)
