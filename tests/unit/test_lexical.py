"""The lexical index: BM25 scores against a plain reference, hybrid search against all scores, damaged arrays."""

import itertools
import json
import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gensim.models.doc2vec import Doc2Vec
from hypothesis import example, given
from hypothesis import strategies as st

from paravec_model import load
from paravec_model.artifact import Artifact, verify
from paravec_model.artifact.manifest import FORMAT_VERSION, MANIFEST, FileEntry
from paravec_model.artifact.writer import file_sha256
from paravec_model.encoder import Encoder
from paravec_model.errors import ArtifactError, ModelError, OptionError
from paravec_model.inference import similar
from paravec_model.inference.similar import DocumentIndex
from paravec_model.lexical import LexicalBuilder, LexicalIndex, Postings, default_weight, lists, merged, postings
from paravec_model.lexical.terms import hashes_of, pair_hashes, pieces_of

from .. import parity

WORDS = ["a", "to", "print", "printer", "printing", "größe", "\ud800", "_", "_a_", "北京"]
TOKENS = st.lists(st.sampled_from(WORDS), max_size=9)


def built(documents: Sequence[Sequence[str]]) -> LexicalBuilder:
    """A builder with tokenized documents."""
    made = LexicalBuilder(len(documents))
    for number, tokens in enumerate(documents):
        made.add(number, tokens)
    return made


def content(of: Postings) -> dict[str, tuple[str, bytes]]:
    """The type and the bytes of each array."""
    return {name: (array.dtype.str, array.tobytes()) for name, array in of.arrays().items()}


def index_of(documents: Sequence[Sequence[str]]) -> LexicalIndex:
    """An index of tokenized documents."""
    return LexicalIndex(built(documents).postings())


def shares_of(index: LexicalIndex, query: Sequence[str], documents: int) -> npt.NDArray[np.float32]:
    """The lexical score of each document for a query."""
    part = index.query(query)
    return index.shares(part) if part else np.zeros(documents, np.float32)


def terms(tokens: Sequence[str], *, asked: bool = False) -> dict[Any, float]:
    """The terms of a document and how often it has each, or how much each counts in a query."""
    counts: dict[Any, float] = defaultdict(float)
    for token in tokens:
        pieces = [f"_{token}_"[i : i + 5] for i in range(max(1, len(token) - 2))]
        counts["word", token] += 2 if asked else 1
        for piece in pieces:
            counts["piece", piece] += 1
    for first, second in itertools.pairwise(tokens):
        counts["pair", first, second] += 0.5 if asked else 1
    return counts


def bm25(documents: Sequence[Sequence[str]], query: Sequence[str]) -> list[float]:
    """BM25 with k1 = 1.5, b = 0.75 and squares of idf, for words BM25+ with δ = 1 as Lv and Zhai write it, divided by
    what the query could get if there were documents with all of its words."""
    counts, wanted = [terms(tokens) for tokens in documents], terms(query, asked=True)
    lengths = [sum(count.values()) for count in counts]
    idf = {}
    for term in wanted:
        having = sum(term in count for count in counts)
        if having or term[0] != "pair":
            idf[term] = math.log(1 + (len(counts) - having + 0.5) / (having + 0.5)) ** 2
    most = sum(value * wanted[term] for term, value in idf.items())
    scores = []
    for count, length in zip(counts, lengths, strict=True):
        norm = 1.5 * (0.25 + 0.75 * length * len(counts) / sum(lengths))
        got = 0.0
        for term, value in idf.items():
            if term in count:
                saturation, delta = count[term] * 2.5 / (count[term] + norm), term[0] == "word"
                got += value * wanted[term] * (saturation + delta) / (2.5 + delta)
        scores.append(got / most if most else 0.0)
    return scores


@given(st.lists(TOKENS, min_size=1, max_size=7).filter(any), TOKENS)
@example([[], [], ["a"]], ["a"])
def test_scores_are_those_of_plain_bm25(documents: list[list[str]], query: list[str]) -> None:
    """For any documents and query, to the rounding of float32."""
    found = shares_of(index_of(documents), query, len(documents))
    assert np.allclose(found, bm25(documents, query), atol=1e-6)


def sorted_postings(documents: Sequence[Sequence[str]]) -> Postings:
    """What an index of documents holds, by counting one hash after the other."""
    counted: Counter[tuple[int, int]] = Counter()
    lengths = []
    for number, tokens in enumerate(documents):
        words = hashes_of(tokens)
        pieces = hashes_of(piece for token in tokens for piece in pieces_of(token))
        found = [*words.tolist(), *pieces.tolist(), *pair_hashes(words[:-1], words[1:]).tolist()]
        counted.update((term, number) for term in found)
        lengths.append(len(found))
    sizes = Counter(term for term, _ in counted)
    return Postings(
        np.array(sorted(sizes), np.uint64),
        np.cumsum([0, *(sizes[term] for term in sorted(sizes))]),
        np.array([number for _, number in sorted(counted)], np.uint32),
        np.array([min(counted[key], 255) for key in sorted(counted)], np.uint8),
        np.array(lengths, np.uint32),
    )


@given(st.lists(TOKENS | st.just(["a"] * 300), max_size=7), st.sampled_from([1, 5, 2**20]), st.sampled_from([1, 2**20]))
def test_an_index_holds_the_terms_of_its_documents(documents: list[list[str]], span: int, block: int) -> None:
    """To the byte, whatever documents and ranges of hashes are handled at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "_RANGE_TOKENS", span)
        patch.setattr(lists, "_BLOCK_TOKENS", block)
        assert content(built(documents).postings()) == content(sorted_postings(documents))


def test_an_index_does_not_depend_on_how_it_is_built() -> None:
    """Documents in any order of adding, and tokens in parts, give the same bytes."""
    whole, parts = LexicalBuilder(2), LexicalBuilder(3)
    whole.add(0, ["one", "two"])
    whole.add(1, ["three"])
    parts.add(2, ["three"])
    parts.add(0, ["one"])
    parts.add(1, ["never"])
    parts.add(0, ["two"])
    parts.select([0, 2])
    assert content(parts.postings()) == content(whole.postings())


CHANGES = st.lists(st.tuples(st.lists(st.booleans(), min_size=9, max_size=9), st.lists(TOKENS, max_size=4)), max_size=4)


@given(CHANGES, st.sampled_from([1, 4, 2**20]))
def test_changed_postings_are_those_of_all_documents(
    changes: list[tuple[list[bool], list[list[str]]]], cut: int
) -> None:
    """Documents taken out and put behind the others, several times, give the bytes of those that are left."""
    documents, changed = list[list[str]](), LexicalBuilder().postings()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "_PIECE_POSTINGS", cut)
        for kept, added in changes:
            keep = np.resize(np.array(kept, bool), len(documents))
            left, more = changed.selected(keep), built(added).postings()
            changed = Postings.of_lists(merged(left, more), np.concatenate([left.lengths, more.lengths]))
            documents = [tokens for tokens, stays in zip(documents, keep, strict=True) if stays] + added
            assert changed.outline_problem(len(documents)) is None
            assert changed.content_problem() is None
    assert content(changed) == content(built(documents).postings())


def test_scores_are_those_of_bm25s() -> None:
    """Each term of a query gives the Lee stories what the library bm25s says, once more by its weight there."""
    bm25s = pytest.importorskip("bm25s", reason="bm25s is not installed")
    stories = parity.lee()[:60]
    library, counts = bm25s.BM25(), [terms(tokens) for tokens in stories]
    library.index([[str(term) for term, n in of.items() for _ in range(int(n))] for of in counts], show_progress=False)
    ours = index_of(stories)
    for story in stories[:20]:
        expected = np.zeros(len(stories))
        for term, weight in terms(story[5:9], asked=True).items():
            theirs = library.get_scores_from_ids(library.get_tokens_ids([str(term)])).astype(np.float64)
            having = np.array([term in of for of in counts])
            idf = math.log(1 + (len(stories) - having.sum() + 0.5) / (having.sum() + 0.5))
            plus = (2.5 * theirs + idf * having) / 3.5 if term[0] == "word" else theirs
            expected += weight * idf * plus
        found = shares_of(ours, story[5:9], len(stories))
        assert np.allclose(found, expected * float(found @ expected) / float(expected @ expected), atol=1e-6)
        assert float(found @ expected) > 0


def test_a_term_counts_at_most_255_times() -> None:
    """A document that repeats a word more often is found by it, and as long as it is."""
    index = index_of([["a"] * 300, ["b"]])
    assert shares_of(index, ["a"], 2)[0] > 0
    found = built([["a"] * 300, ["b"]]).postings()
    assert found.counts.max() == 255
    assert found.lengths.tolist() == [899, 2]


def test_documents_without_tokens_are_found_by_nothing() -> None:
    """An index of them is sound, and has no terms."""
    empty = built([[], []]).postings()
    assert not len(empty.terms)
    assert empty.outline_problem(2) is None
    assert empty.content_problem() is None
    assert not shares_of(LexicalIndex(empty), ["a"], 2).any()


def test_parts_of_words_and_phrases_are_found() -> None:
    """A document with another form of the word is found, and one with both words side by side before one without."""
    index = index_of([["printers", "fail"], ["paper", "jams"], ["page", "new", "break"], ["page", "break", "new"]])
    assert np.flatnonzero(shares_of(index, ["printing"], 4)).tolist() == [0]
    assert np.argmax(shares_of(index, ["page", "break"], 4)) == 3
    assert index.query(["xyzzy"], 1) is None
    assert index.query([], 1) is None


def test_the_default_weight_is_that_of_the_side_that_stands_out() -> None:
    """Of vectors if their best document stands out more, of words if theirs does; of words for one or two of them."""
    assert default_weight(8, 9, 10) < 0.01 < 0.99 < default_weight(3, 25, 10)
    assert default_weight(5, 16, 100) < 0.5 < default_weight(5, 16, 2)
    assert default_weight(0, 3, 1) == 1
    assert default_weight(3, 0, 1) == 0
    assert default_weight(0, 0, 1) == 0.5


@given(
    st.integers(0, 2**32),
    st.none() | st.floats(0.01, 1),
    st.integers(1, 50) | st.just(400),
    st.sampled_from([1, 300, 2**24]),
)
@example(1, 1.0, 3, 2**24)
def test_hybrid_neighbours_equal_all_scores(
    lexical: Artifact, seed: int, weight: float | None, top_k: int, work: int
) -> None:
    """Whatever the weight and the blocks, the largest of all scores come in order, with their cosines."""
    encoder = Encoder(lexical)
    index = encoder.document_index
    assert index
    assert index.lexical
    random = np.random.default_rng(seed)
    stories = parity.lee()
    queries = [stories[i][j : j + n] for i, j, n in random.integers([0, 0, 1], [40, 40, 9], (3, 3)).tolist()]
    vectors = encoder.encode(queries).vectors
    parts = encoder.lexical_queries(queries, weight)
    parts[2] = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similar, "_PORTION_MULTIPLY_ADDS", work)
        found = index.find(vectors, top_k, lexical=parts)
    documents = lexical.arrays["doctag_vectors"].astype(np.float64)
    for query, vector, part, (near, used) in zip(queries, vectors.astype(np.float64), parts, found, strict=True):
        cosines = documents @ vector / np.linalg.norm(documents, axis=1) / max(float(np.linalg.norm(vector)), 1e-30)
        shares = shares_of(index.lexical, query, len(documents)) if part else 0 * cosines
        if part and weight is None:
            best = [float((side.max() - side.mean()) / max(side.std(), 1e-9)) for side in (cosines, shares)]
            assert used == pytest.approx(default_weight(best[0], best[1], len(query)), abs=1e-3)
        else:
            assert used == (weight if part else 0)
        scores = (1 - used) * cosines + used * shares
        rows = [list(lexical.doctags).index(one.tag) for one in near]
        # A query without known tokens finds documents that share a term.
        possible = len(documents) if vector.any() else np.count_nonzero(scores > 0)
        assert len(rows) == min(top_k, possible) == len(set(rows))
        assert np.allclose([one.score for one in near], np.sort(scores)[::-1][: len(near)], atol=1e-5)
        assert np.allclose([one.score for one in near], scores[rows], atol=1e-5)
        assert np.allclose([one.cosine for one in near], cosines[rows], atol=1e-5)


@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.sampled_from([3, 40, 700]))
def test_equal_documents_come_in_their_order(artifact: Artifact, seed: int, weight: float, count: int) -> None:
    """The best few are the first of the best of all, and of equal scores the earlier document comes first."""
    random = np.random.default_rng(seed)
    vectors = np.eye(4, dtype=np.float32)[random.integers(0, 4, count)]
    texts = [[("cat", "dog", "cow")[n]] for n in random.integers(0, 3, count)]
    same = replace(artifact, arrays={"doctag_vectors": vectors} | built(texts).postings().arrays())
    vars(same)["doctags"] = list(range(count))
    index = DocumentIndex(same)
    assert index.lexical
    part = index.lexical.query(["cat"], weight)
    ((every, _),) = index.find(vectors[:1], count, lexical=[part])
    scores, tags = [one.score for one in every], [int(one.tag) for one in every]
    pairs = list(zip(np.negative(scores).tolist(), tags, strict=True))
    assert pairs == sorted(pairs)
    assert sorted(tags) == list(range(count))
    for top_k in (1, 2, 7):
        ((few, _),) = index.find(vectors[:1], top_k, lexical=[part])
        assert few == every[:top_k]


def test_words_of_long_texts_are_weighed_if_asked(lexical: Artifact) -> None:
    """Of 256 tokens they are by default, of more only with a weight."""
    index = DocumentIndex(lexical).lexical
    assert index
    assert index.query(["fire"] * 256)
    assert index.query(["fire"] * 257) is None
    assert index.query(["fire"] * 257, 0.5)


def test_vectors_that_are_all_alike_leave_it_to_words(artifact: Artifact) -> None:
    """Rounding alone tells their cosines apart."""
    vectors = np.ones((40, 9), np.float32) * np.linspace(1, 2, 40, dtype=np.float32)[:, None]
    texts = [["cat", f"number{n}"] for n in range(40)]
    same = replace(artifact, arrays={"doctag_vectors": vectors} | built(texts).postings().arrays())
    vars(same)["doctags"] = list(range(40))
    index = DocumentIndex(same)
    assert index.lexical
    ((near, weight),) = index.find(vectors[:1], 3, lexical=[index.lexical.query(["number7"])])
    assert weight == 1
    assert near[0].tag == 7


def test_no_weight_is_the_search_by_vectors_to_the_bit(lexical: Artifact, artifact: Artifact) -> None:
    """With weight 0, neighbours are those of the same model without an index."""
    model, bare = load(lexical.path), load(artifact.path)
    assert model.find_similar("fire in Sydney", 20, lexical_weight=0) == bare.find_similar("fire in Sydney", 20)
    assert model.find_similar("fire in Sydney", 20) != bare.find_similar("fire in Sydney", 20)


def test_words_that_the_vocabulary_lacks_are_found(lexical: Artifact, gensim_model: Doc2Vec) -> None:
    """A word of one story has no vector, and finds that story by its letters; no other story is named."""
    rare = next(word for word, n in Counter(w for s in parity.lee() for w in s).items() if n == 1 and len(word) > 9)
    (story,) = [number for number, tokens in enumerate(parity.lee()) if rare in tokens]
    assert rare not in gensim_model.wv
    found = load(lexical.path).find_similar(rare, 300)
    assert found[0].tag == story
    assert all(one.cosine == 0 < one.score for one in found)
    assert len(found) < 300
    assert load(lexical.path).find_similar(rare, lexical_weight=0) == []


def test_a_weight_that_cannot_be_is_refused(lexical: Artifact, artifact: Artifact) -> None:
    """Out of range, or above 0 for a model without an index; 0 is every model's."""
    for weight in (-0.1, 1.1, math.nan):
        with pytest.raises(OptionError, match="lexical_weight: must be 0 to 1"):
            load(lexical.path).find_similar("fire", lexical_weight=weight)
    with pytest.raises(ModelError, match="has no lexical index; make one, or leave"):
        load(artifact.path).find_similar("fire", lexical_weight=0.5)
    assert load(artifact.path).find_similar("fire", lexical_weight=0)


def test_words_that_no_document_has_count_as_missing() -> None:
    """A question most of whose words are strange finds what it shares a word with, and scores low."""
    index = index_of([["printer", "paper", "tray"], ["screen", "colour"], ["mouse", "pad"]])
    known, strange = (
        float(shares_of(index, query, 3)[0]) for query in (["paper", "tray"], ["paper", "xyzzy", "plugh", "frobnicate"])
    )
    assert 0 < strange < known / 3


def test_a_rare_word_counts_more_than_common_ones() -> None:
    """A document with the one telling word is found before those with all others."""
    index = index_of(
        [["zebra", *[f"filler{n}" for n in range(20)]], *[["how", "do", "you", f"x{n}"] for n in range(9)]]
    )
    assert np.argmax(shares_of(index, ["how", "do", "you", "feed", "zebra"], 10)) == 0


def test_an_older_paravec_refuses_an_index(lexical: Artifact, artifact: Artifact) -> None:
    """Its format has another version, and no manifest without an index has anything new."""
    manifests = [json.loads((one.path / MANIFEST).read_text()) for one in (lexical, artifact)]
    assert manifests[0]["format_version"] > FORMAT_VERSION == manifests[1]["format_version"]
    assert "lexical_index" not in manifests[1]


@pytest.mark.parametrize(
    ("name", "damage", "problem"),
    [
        ("starts", lambda a: a[::-1], "lexical_starts.npy: does not split"),
        ("starts", lambda a: a[:-1], "lexical_starts.npy: does not split"),
        ("starts", lambda a: np.concatenate([a[:1], a[2:3], a[1:2], a[3:]]), "lexical_starts.npy: does not split"),
        ("starts", lambda a: np.concatenate([a[:1], a[2:3], a[2:]]), "lexical_starts.npy: does not split"),
        ("counts", lambda a: a[1:], "lexical_counts.npy: does not have a count"),
        ("counts", lambda a: a * np.uint8(0), "lexical_counts.npy: says that a document"),
        ("lengths", lambda a: a[1:], "lexical_lengths.npy: does not have a length"),
        ("terms", lambda a: a[::-1], "lexical_terms.npy: does not ascend"),
        ("documents", lambda a: a[::-1], "lexical_documents.npy: does not ascend"),
        ("documents", lambda a: a + np.uint32(10**6), "lexical_documents.npy: does not ascend"),
    ],
)
def test_damaged_arrays_are_named(
    lexical: Artifact, tmp_path: Path, name: str, damage: Callable[[Any], Any], problem: str
) -> None:
    """Verification names the file, and no search with it ends the process."""
    copy = shutil.copytree(lexical.path, tmp_path / "model")
    file = copy / f"lexical_{name}.npy"
    np.save(file, np.ascontiguousarray(damage(lexical.arrays[file.stem])))
    entry = FileEntry(file.stat().st_size, file_sha256(file))
    manifest = replace(lexical.manifest, files=lexical.manifest.files | {file.name: entry}, digest="")
    (copy / MANIFEST).write_text(manifest.to_json())
    (found,) = verify(copy)
    assert problem in found
    try:
        model = load(copy)
        for text in ("fire in Sydney", "the", "cricket"):
            model.find_similar(text, lexical_weight=1)
    except (ArtifactError, ValueError):
        pass
