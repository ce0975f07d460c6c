"""The kernels' interface: arguments of another kind are a TypeError, numbers that lead astray a ValueError."""

import ctypes
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravec_model.kernels.interface import CONSTANTS, Structure, Workspace, address, kernel

WORDS, SIZE, NEGATIVE = 3, 16, 2
ROWS = np.full((WORDS, SIZE), 0.5, np.float32)
LINE = np.ones(SIZE, np.float32)


def output_layer(**changes: Any) -> Structure:
    """What kernels know of three words, with some members changed."""
    members: dict[str, Any] = {"words": WORDS, "negative": NEGATIVE, "hs": 0, "sample": 0, "longest_path": 0}
    members |= dict.fromkeys(("hs_offsets", "hs_points", "hs_codes", "sample_int"))
    return Structure("output_layer", **members | changes)


def sgd_model(**changes: Any) -> Structure:
    """A model of DBOW with negative sampling."""
    members: dict[str, Any] = {"output": output_layer(), "architecture": CONSTANTS["DBOW"], "columns": SIZE}
    members |= {"used_columns": SIZE, "window": 5, "mean": 0, "null_word": 0, "syn1neg": ROWS, "syn1": None}
    members |= {"sigmoid": np.full(1000, 0.5, np.float32), "word_vectors": None}
    return Structure("sgd_model", **members | changes)


def map_model(**changes: Any) -> Structure:
    """The same for method map."""
    members: dict[str, Any] = {"output": output_layer(), "columns": SIZE, "syn1neg": ROWS, "syn1": None}
    members |= {"mean": LINE, "curvature": LINE, "prior": LINE, "basis": np.eye(SIZE, dtype=np.float32)}
    return Structure("map_model", **members | changes)


def draws(epochs: int, tokens: int) -> Structure:
    """Draws for so many epochs of documents of so many tokens."""
    stream = np.zeros((epochs, tokens * (1 + NEGATIVE)), np.uint32)
    return Structure("draws", raw=stream, noise=stream, windows=np.zeros((epochs, tokens), np.uint32))


def infer(
    model: Structure,
    words: Sequence[int] = (0, 1, 2),
    offsets: Sequence[int] = (0, 3),
    drawn: tuple[int, int] = (4, 3),
    short: int = 0,
    shift: int = 0,
) -> npt.NDArray[np.float32]:
    """The vectors of documents, after four epochs of sgd or by map, in a workspace `short` bytes too small."""
    name = model.name.removesuffix("_model")
    workspace = Workspace(kernel(f"{name}_workspace_bytes")(model.address, 3) + shift)
    tokens, ends = np.array(words, np.uint32), np.array(offsets, np.int64)
    vectors = np.zeros((len(offsets) - 1, SIZE), np.float32)
    tables, alphas = draws(*drawn), np.full(4, 0.025, np.float32)
    options = (tables.address, address(alphas), len(alphas)) if name == "sgd" else ()
    documents = (address(tokens), len(tokens), address(ends), len(ends), address(vectors))
    room = (workspace.address + shift, workspace.size - shift - short)
    try:
        kernel(f"infer_{name}")(model.address, *options, *documents, *room)
    except ValueError:
        assert not vectors.any()
        raise
    return vectors


@pytest.mark.parametrize("model", [sgd_model, map_model])
@pytest.mark.parametrize(
    ("documents", "status"),
    [
        ({"words": (0, 1, 3)}, "BAD_DOCUMENTS"),
        ({"words": (2**32 - 1,), "offsets": (0, 1)}, "BAD_DOCUMENTS"),
        ({"offsets": (0, 2, 1)}, "BAD_DOCUMENTS"),
        ({"offsets": (0, 4)}, "BAD_DOCUMENTS"),
        ({"offsets": (-1, 3)}, "BAD_DOCUMENTS"),
        ({"offsets": (0, 2**62, 3)}, "BAD_DOCUMENTS"),
        ({"offsets": (-(2**63), 2**63 - 1)}, "BAD_DOCUMENTS"),
        ({"short": 1}, "BAD_WORKSPACE"),
        ({"shift": 4}, "BAD_WORKSPACE"),
        ({"words": (0,) * 3000, "offsets": (0, 3000), "drawn": (4, 3000)}, "BAD_WORKSPACE"),
    ],
)
def test_invalid_words_or_offsets_are_refused(
    model: Callable[[], Structure], documents: dict[str, Any], status: str
) -> None:
    """Word rows beyond the vocabulary, bad offsets and a small workspace are a ValueError, and no vector is written."""
    assert infer(model()).any()
    with pytest.raises(ValueError, match=f"infer_.* refuses its arguments: {status}"):
        infer(model(), **documents)


@pytest.mark.parametrize("drawn", [(3, 3), (4, 2), (0, 3)])
def test_draws_for_fewer_epochs_or_tokens_are_refused(drawn: tuple[int, int]) -> None:
    """Draws for fewer epochs or shorter documents than requested are a ValueError."""
    with pytest.raises(ValueError, match="BAD_DRAWS"):
        infer(sgd_model(), drawn=drawn)


def test_short_draws_of_one_kind_are_refused() -> None:
    """Short draws for sub-sampling alone, or for windows alone, are a ValueError."""
    sampled = output_layer(negative=0, sample=1, sample_int=np.full(WORDS, 2**31, np.uint32))
    windows = {"architecture": CONSTANTS["DM"], "word_vectors": ROWS}
    for model in (sgd_model(output=sampled), sgd_model(output=output_layer(negative=0), **windows)):
        infer(model)
        with pytest.raises(ValueError, match="BAD_DRAWS"):
            infer(model, drawn=(4, 0))


FAULTS: list[tuple[Callable[..., Structure], dict[str, Any]]] = [
    (sgd_model, {"columns": 12}),
    (sgd_model, {"columns": 32}),
    (sgd_model, {"used_columns": 24}),
    (sgd_model, {"architecture": 7}),
    (sgd_model, {"architecture": CONSTANTS["DM"]}),
    (sgd_model, {"architecture": CONSTANTS["DM_CONCAT"], "word_vectors": ROWS}),
    (sgd_model, {"window": 0}),
    (sgd_model, {"null_word": WORDS}),
    (sgd_model, {"syn1neg": ROWS[:2]}),
    (sgd_model, {"sigmoid": np.zeros(999, np.float32)}),
    (map_model, {"basis": None}),
    (map_model, {"prior": np.ones(24, np.float32)}),
    (map_model, {"mean": LINE[:8]}),
    (map_model, {"curvature": None}),
]
LAYERS: list[dict[str, Any]] = [
    {"words": 4},
    {"words": 0},
    {"negative": -1},
    {"sample": 1},
    {"sample": 1, "sample_int": np.ones(2, np.uint32)},
    {"longest_path": 1},
    {"hs": 1, "hs_offsets": np.zeros(WORDS, np.int64)},
    {"hs": 1, "hs_points": np.zeros(4, np.uint32), "hs_codes": np.zeros(3, np.uint8)},
]


@pytest.mark.parametrize(("kind", "changes"), FAULTS, ids=[f"{kind.__name__} {[*c]}" for kind, c in FAULTS])
def test_model_arrays_of_inconsistent_shapes_are_refused(
    kind: Callable[..., Structure], changes: dict[str, Any]
) -> None:
    """Each array must have the shape that the model's numbers imply."""
    with pytest.raises(ValueError, match="BAD_MODEL"):
        infer(kind(**changes))


@pytest.mark.parametrize("kind", [sgd_model, map_model])
@pytest.mark.parametrize("changes", LAYERS)
def test_output_layer_arrays_of_inconsistent_shapes_are_refused(
    kind: Callable[..., Structure], changes: dict[str, Any]
) -> None:
    """Each array of the output layer must have the shape that its numbers imply."""
    with pytest.raises(ValueError, match="BAD_MODEL"):
        infer(kind(output=output_layer(**changes)))


@pytest.mark.parametrize("kind", [sgd_model, map_model])
@pytest.mark.parametrize("offsets", [(0, 1, 2, 4), (0, 2, 3, 3), (1, 0, 3, 3), (-5, 0, 0, 0)])
def test_paths_that_leave_the_tree_are_refused(kind: Callable[..., Structure], offsets: tuple[int, ...]) -> None:
    """A path that falls, is longer than the longest or ends beyond all nodes."""
    tree = {"hs_points": np.zeros(3, np.uint32), "hs_codes": np.zeros(3, np.uint8)}
    for paths, sound in (((0, 1, 2, 3), True), (offsets, False)):
        tree["hs_offsets"] = np.array(paths, np.int64)
        model = kind(output=output_layer(hs=1, longest_path=1, **tree), syn1=ROWS)
        if sound:
            assert infer(model).any()
            continue
        with pytest.raises(ValueError, match="BAD_MODEL"):
            infer(model)


WILD = st.integers(-3, 40) | st.sampled_from([2**31, 2**32, 2**62, 2**63 - 1, -(2**63)])


@given(data=st.data(), kind=st.sampled_from([sgd_model, map_model]))
def test_any_numbers_give_vectors_or_a_value_error(data: st.DataObject, kind: Callable[..., Structure]) -> None:
    """Whatever the numbers, words and offsets, the kernel returns or raises ValueError."""
    numbers = ("words", "negative", "hs", "sample", "longest_path")
    layer = output_layer(**data.draw(st.dictionaries(st.sampled_from(numbers), WILD, max_size=2)))
    names = ("columns", *(("used_columns", "architecture", "window", "null_word") if kind is sgd_model else ()))
    changed = kind(output=layer, **data.draw(st.dictionaries(st.sampled_from(names), WILD, max_size=2)))
    words = data.draw(st.lists(st.integers(0, WORDS) | st.just(2**32 - 1), min_size=1, max_size=3))
    offsets = data.draw(st.lists(WILD, min_size=1, max_size=3))
    for model, given_ in ((kind(), offsets), (changed, [0, len(words)])):
        try:
            vectors = infer(model, words, given_)
        except (ValueError, MemoryError):
            continue
        assert np.isfinite(vectors).all()


def look_up(slots: int = 4, ends: Sequence[int] = (0, 2)) -> list[int]:
    """Where the documents' known tokens end, of two tokens."""
    members = {"text": np.array([97], np.uint8), "offsets": np.array([0, 1]), "slots": np.zeros(slots, np.uint64)}
    words = Structure("vocabulary", **members)
    tokens, bounds, text = array("I", [1, 1]), array("q", ends), array("B", b"ab")
    kernel("tokens_to_ids")(words.address, *text.buffer_info(), *tokens.buffer_info(), *bounds.buffer_info())
    return list(bounds)


def test_invalid_token_offsets_or_hash_tables_are_refused() -> None:
    """Token ends that fall or pass the end, and an invalid hash table, are a ValueError."""
    assert look_up() == [0, 0]
    for ends in ((0, 3), (1, 2), (0, 2, 1), (), (0, -1)):
        with pytest.raises(ValueError, match="tokens_to_ids refuses its arguments: BAD_DOCUMENTS"):
            look_up(ends=ends)
    for slots in (0, 3):
        with pytest.raises(ValueError, match="BAD_TABLE"):
            look_up(slots=slots)


def test_invalid_tables_and_ranges_are_refused() -> None:
    """Invalid tables of words or characters, noise distributions and row ranges are a ValueError."""
    out, seeds = np.zeros(64, np.uint32), np.ones(4, np.uint64)
    words = Structure("vocabulary", text=np.zeros(2, np.uint8), offsets=np.array([0, 1, 2]), slots=None)
    for slots in (np.zeros(2, np.uint64), np.zeros(5, np.uint64)):
        with pytest.raises(ValueError, match="fill_hash_table refuses its arguments: BAD_TABLE"):
            kernel("fill_hash_table")(words.address, address(slots), len(slots))
    few = Structure("character_rules", table=np.zeros(128, np.uint32), min_len=1, max_len=9, not_first=-1)
    places = (address(out), 0, address(seeds), address(seeds), 0, 0, 0, 0, 0, 0)
    with pytest.raises(ValueError, match="texts_to_ids refuses its arguments: BAD_TABLE"):
        kernel("texts_to_ids")(few.address, words.address, *places)
    cum_table = np.array([10, 2**31 - 1], np.uint32)
    short = Structure("noise", cum_table=cum_table, guide=np.zeros(3, np.uint32), shift=4)
    with pytest.raises(ValueError, match="fill_draws refuses its arguments: BAD_TABLE"):
        kernel("fill_draws")(short.address, address(seeds), 4, 4, address(out), address(out))
    with pytest.raises(ValueError, match="fill_windows refuses its arguments: BAD_DRAWS"):
        kernel("fill_windows")(0, address(seeds), 4, 4, address(out))
    cosines = np.zeros(4, np.float32)
    for norms, begin, end, status in ((2, 0, 3, "BAD_TABLE"), (3, 0, 4, "BAD_RANGE"), (3, -1, 2, "BAD_RANGE")):
        documents = Structure("document_vectors", vectors=ROWS, norms=np.ones(norms, np.float32))
        with pytest.raises(ValueError, match=f"find_nearest refuses its arguments: {status}"):
            kernel("find_nearest")(documents.address, begin, end, address(LINE), 1, address(cosines), address(out), 4)
    for norms, row, status in ((2, 0, "BAD_TABLE"), (3, 3, "BAD_RANGE")):
        documents = Structure("document_vectors", vectors=ROWS, norms=np.ones(norms, np.float32))
        with pytest.raises(ValueError, match=f"find_among refuses its arguments: {status}"):
            kernel("find_among")(
                documents.address, address(np.array([row], np.uint32)), 1, *[address(LINE)] * 3, address(cosines),
                address(out), 4
            )  # fmt: skip


def test_invalid_words_terms_and_rooms_of_lists_are_refused() -> None:
    """Unknown words or terms, lists without room and missing arrays are a ValueError; what fits is listed."""
    tokens = Structure("tokens", ids=np.array([0, 1, 0, 1], np.uint32), ends=np.array([0, 2, 4]))
    empty = Structure("tokens", ids=np.zeros(0, np.uint32), ends=np.array([1]))
    hashes, pairs, numbers, found = (np.zeros(4, kind) for kind in (np.uint64, np.uint64, np.uint32, np.int64))

    def pairs_of(of: int = tokens.address, words: int = 2, bits: int = 1, room: int = 4) -> None:
        for prefix in (0, 1):
            out = (address(pairs), address(numbers), room, address(found))
            kernel("hash_pairs")(of, address(hashes), words, bits, prefix, *out)

    pairs_of()
    for arguments, status in (
        ({"of": 0}, "BAD_DOCUMENTS"), ({"of": empty.address}, "BAD_DOCUMENTS"), ({"words": 1}, "BAD_DOCUMENTS"),
        ({"bits": 0}, "BAD_RANGE"), ({"bits": 64}, "BAD_RANGE"), ({"room": 1}, "BAD_RANGE"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"hash_pairs refuses its arguments: {status}"):
            pairs_of(**arguments)

    words = Structure("word_terms", starts=np.array([0, 1, 2]), terms=np.array([0, 0], np.uint32))
    far = Structure("word_terms", starts=np.array([0, 1, 2]), terms=np.array([0, 2], np.uint32))
    one = Structure("word_terms", starts=np.array([0, 1]), terms=np.array([0], np.uint32))
    more = Structure("document_terms", documents=np.array([0, 1], np.uint32), terms=np.array([0, 1], np.uint32))
    odd = Structure("document_terms", documents=None, terms=np.array([0, 1], np.uint32))
    starts, sizes, last = np.array([0, 5, 6]), np.zeros(2, np.int64), np.zeros(2, np.uint32)
    room, counts, none = np.zeros(6, np.uint32), np.zeros(6, np.uint8), 0

    def listed(
        of: int = tokens.address, words: int = words.address, more: int = more.address, terms: int = 2,
        last: int = address(last), counts: int = address(counts), first: int = 5, length: int = 6,
    ) -> None:  # fmt: skip
        starts[1] = first
        places = (address(starts), address(sizes), last, address(room), counts, length)
        kernel("list_documents")(of, words, more, terms, *places)

    listed()
    assert (room[:3].tolist(), counts[:3].tolist(), sizes.tolist()) == ([0, 1, 1], [3, 2, 1], [2, 1])
    for wrong, status in (
        ({"of": none}, "BAD_DOCUMENTS"), ({"words": one.address}, "BAD_DOCUMENTS"), ({"words": none}, "BAD_TABLE"),
        ({"more": odd.address}, "BAD_TABLE"), ({"words": far.address}, "BAD_TABLE"), ({"terms": -1}, "BAD_RANGE"),
        ({"last": none}, "BAD_RANGE"), ({"counts": none}, "BAD_RANGE"), ({"first": 1}, "BAD_RANGE"),
        ({"length": 5}, "BAD_RANGE"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"list_documents refuses its arguments: {status}"):
            listed(**wrong)


@pytest.mark.parametrize(
    "rows",
    [
        ROWS.astype(np.float64),
        ROWS.astype(np.uint32),
        ROWS.astype(">f4"),
        ROWS[0],
        ROWS[None],
        ROWS[:, ::2],
        np.asfortranarray(ROWS),
        np.frombuffer(b"\0" * (4 * ROWS.size + 1), np.uint8)[1:].view(np.float32).reshape(ROWS.shape),
        ROWS.tolist(),
        address(ROWS),
    ],
    ids=["float64", "uint32", "big-endian", "one dimension", "three", "every other column", "column by column",
         "not aligned", "list", "address"],
)  # fmt: skip
def test_arrays_of_another_dtype_or_layout_are_refused(rows: Any) -> None:
    """An array of another dtype, rank or layout is a TypeError."""
    with pytest.raises(TypeError, match=r"sgd_model\.syn1neg is a float_matrix, not"):
        sgd_model(syn1neg=rows)


def test_wrong_structure_members_are_refused() -> None:
    """A member of another type, an unknown member and a missing one are a TypeError."""
    with pytest.raises(TypeError, match=r"sgd_model\.columns is a int64_t, not float"):
        sgd_model(columns=16.0)
    with pytest.raises(TypeError, match=r"sgd_model\.output is a output_layer, not Structure"):
        sgd_model(output=draws(1, 1))
    with pytest.raises(TypeError, match=r"sgd_model\.output is a output_layer, not NoneType"):
        sgd_model(output=None)
    with pytest.raises(TypeError, match="draws has the members raw, noise, windows, not raw"):
        Structure("draws", raw=None)
    with pytest.raises(TypeError, match="document_vectors has the members vectors, norms, not vectors, norms, more"):
        Structure("document_vectors", vectors=ROWS, norms=LINE, more=1)


def test_a_kernel_checks_its_argument_types() -> None:
    """An array in place of an address, or too few arguments, is a ctypes error."""
    with pytest.raises(ctypes.ArgumentError):
        kernel("fill_windows")(5, np.ones(1, np.uint64), 1, 1, 0)
    with pytest.raises(TypeError):
        kernel("fill_windows")(5, 0, 1)
