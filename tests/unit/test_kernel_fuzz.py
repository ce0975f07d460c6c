"""Every kernel with arguments that nobody means: each gives a result or refuses, and writes nothing outside its arrays.

What a kernel is told of its arrays' lengths is true here, as it cannot know better. All else may be anything, but for
the nodes on paths, which are checked where an artifact is opened. `make sanitize` sees that nothing outside is read.
"""

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paravec_model.kernels.interface import CONSTANTS, LANES, Structure, Workspace, address, kernel
from paravec_model.text.vocabulary import slot_count, utf8, vocabulary_arrays

Floats = npt.NDArray[np.float32]
Draw = Callable[[st.SearchStrategy[Any]], Any]

EXTREMES = [-(2**63), -(2**32), -1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**61, 2**62, 2**63 - 1]
WILD = st.integers(-3, 40) | st.sampled_from(EXTREMES)
WORDS32 = st.integers(0, 40) | st.sampled_from([2**31 - 1, 2**31, 2**32 - 1])
ODD_FLOATS = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0, 1e18], np.float32)
MOST_BYTES = 2**24
GUARD = 64


class Forger:
    """Draws arguments, most of them sound, so that those that are not get far."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw: Draw = data.draw
        self.random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
        self._rate = data.draw(st.sampled_from([0, 0.01, 0.05]))

    def rarely(self) -> bool:
        """Seldom enough that many examples are not refused at once."""
        return bool(self.random.random() < self._rate)

    def fewest(self, words: int) -> int:
        """Rows that the matrices of so many words have at least."""
        return max(1, words - 1)

    def number(self, right: int) -> int:
        """This one, or any."""
        return int(self.draw(WILD)) if self.rarely() else right

    def items(self, right: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """This array, or with other numbers in places, or of another length."""
        while len(right) and self.rarely():
            right = right.copy()
            wild = WORDS32 if right.dtype == np.uint32 else WILD
            right[self.random.integers(len(right))] = self.draw(wild)
        return self.length(right)

    def length(self, right: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """This array, or one shorter or longer."""
        if self.rarely():
            return right[:-1].copy()
        return np.concatenate([right, right[:1]]) if self.rarely() else right

    def floats(self, *shape: int) -> Floats:
        """Numbers of any size, some of them none."""
        scale = self.random.choice([0, 1e-3, 1, 1e3, 1e30])
        numbers: Floats = (self.random.standard_normal(shape) * scale).astype(np.float32)
        if numbers.size and self.random.random() < 0.2:
            numbers.flat[self.random.integers(numbers.size)] = self.random.choice(ODD_FLOATS)
        return numbers

    def matrix(self, rows: int, columns: int) -> Floats | None:
        """A matrix of this shape, or of another, or none."""
        if self.rarely():
            return None
        return self.floats(max(0, rows - self.rarely()), max(0, columns + 8 * self.rarely() - 8 * self.rarely()))

    def place(self, right: int) -> int:
        """This address, or none."""
        return 0 if self.rarely() else right


def call(name: str, *arguments: int | bytes) -> int | None:
    """What the kernel says; None if it refuses."""
    try:
        return kernel(name)(*arguments)
    except ValueError as error:
        assert "refuses its arguments: BAD_" in str(error)
        return None


def output_layer(forge: Forger, words: int, negative: int, hs: int) -> Structure:
    """The output layer of a model of so many words, with a forged tree and sub-sampling."""
    lengths = forge.random.integers(0, 4, words) if hs else np.zeros(words, np.int64)
    nodes = int(lengths.sum())
    return Structure(
        "output_layer",
        words=forge.number(words),
        negative=forge.number(negative),
        hs=forge.number(hs),
        sample=forge.number(int(forge.random.integers(2))),
        longest_path=forge.number(int(lengths.max())),
        hs_offsets=forge.items(np.cumsum([0, *lengths])),
        hs_points=forge.length(forge.random.integers(0, forge.fewest(words), nodes).astype(np.uint32)),
        hs_codes=forge.length(forge.random.integers(0, 2, nodes).astype(np.uint8)),
        sample_int=forge.items(forge.random.integers(0, 2**32, words).astype(np.uint32)),
    )


class Documents:
    """Documents of words, with their offsets; and room for their vectors and to work in."""

    def __init__(self, forge: Forger, words: int) -> None:
        lengths = forge.random.integers(0, 12, forge.random.integers(0, 4))
        self.words = forge.items(forge.random.integers(0, words, lengths.sum() + 1).astype(np.uint32))
        self.offsets = forge.items(np.cumsum([0, *lengths]))
        self.longest = int(lengths.max(initial=0))

    def infer(self, forge: Forger, model: Structure, columns: int, *options: int) -> None:
        """Call the kernel of a model."""
        name = model.name.removesuffix("_model")
        bytes_needed = kernel(f"{name}_workspace_bytes")
        assert bytes_needed(forge.place(model.address), forge.draw(WILD)) >= 0
        size = bytes_needed(model.address, self.longest)
        assume(0 <= size <= MOST_BYTES)
        workspace = Workspace(size + GUARD)
        memory = np.frombuffer(workspace._memory, np.uint8)
        end = workspace.address - memory.ctypes.data + size
        memory[end:] = GUARD
        vectors = forge.floats(len(self.offsets), max(0, min(columns, 2**18)))
        call(
            f"infer_{name}",
            forge.place(model.address),
            *options,
            forge.place(address(self.words)),
            len(self.words),
            forge.place(address(self.offsets)),
            len(self.offsets),
            forge.place(address(vectors)),
            forge.place(workspace.address + 4 * forge.rarely()),
            min(size, forge.number(size)),
        )
        assert (memory[end:] == GUARD).all()


@given(st.data())
def test_sgd_is_safe_with_any_arguments(data: st.DataObject) -> None:
    """Whatever the model, draws, words and offsets, the kernel returns a result or an error."""
    forge = Forger(data)
    random = forge.random
    words, negative, hs = int(random.integers(1, 9)), int(random.integers(0, 12)), int(random.integers(2))
    architecture, window = int(random.integers(3)), int(random.integers(1, 9))
    columns = int(random.choice([8, 16, 24, 48]))
    row = columns * (1 + 2 * window) if architecture == CONSTANTS["DM_CONCAT"] else columns
    forged = forge.number(columns)
    model = Structure(
        "sgd_model",
        output=output_layer(forge, words, negative, hs),
        architecture=forge.number(architecture),
        columns=forged,
        used_columns=forge.number(int(random.integers(1, columns // LANES + 1)) * LANES),
        window=forge.number(window),
        mean=forge.number(int(random.integers(2))),
        null_word=forge.number(int(random.integers(words))),
        sigmoid=forge.length(forge.floats(1000)),
        syn1neg=forge.matrix(words, row),
        syn1=forge.matrix(words, row),
        word_vectors=forge.matrix(words, columns),
    )
    documents = Documents(forge, words)
    epochs, tokens = int(random.integers(0, 4)), documents.longest
    shape = (epochs, max(0, tokens * (1 + negative) - forge.rarely()))
    noise = random.integers(0, forge.fewest(words), shape).astype(np.uint32)
    tables = Structure(
        "draws",
        raw=random.integers(0, 2**32, noise.shape).astype(np.uint32),
        noise=noise,
        windows=random.integers(0, 2**32 if forge.rarely() else window, (epochs, tokens)).astype(np.uint32),
    )
    alphas = forge.floats(epochs)
    options = (forge.place(tables.address), forge.place(address(alphas)), min(epochs, forge.number(epochs)))
    documents.infer(forge, model, forged, *options)


@given(st.data())
def test_map_is_safe_with_any_arguments(data: st.DataObject) -> None:
    """Whatever the model, words and offsets, the kernel returns a result or an error."""
    forge = Forger(data)
    random = forge.random
    words, negative, hs = int(random.integers(1, 9)), int(random.integers(0, 6)), int(random.integers(2))
    columns = int(random.choice([8, 16, 24, 48]))
    forged = forge.number(columns)
    model = Structure(
        "map_model",
        output=output_layer(forge, words, negative, hs),
        columns=forged,
        syn1neg=forge.matrix(words, columns),
        syn1=forge.matrix(words, columns),
        mean=forge.length(forge.floats(columns)),
        curvature=forge.length(np.abs(forge.floats(columns))),
        prior=forge.length(forge.floats(int(random.integers(1, columns // LANES + 1)) * LANES)),
        basis=forge.matrix(columns, columns),
    )
    Documents(forge, words).infer(forge, model, forged)


@given(st.data())
def test_draws_are_safe_with_any_arguments(data: st.DataObject) -> None:
    """Whatever the distribution, noise words are rows of it."""
    forge = Forger(data)
    count, shift = int(forge.random.integers(1, 9)), int(forge.random.integers(20, 31))
    cum_table = forge.items(np.sort(forge.random.integers(1, 2**31, count)).astype(np.uint32))
    guide = forge.items(forge.random.integers(0, count + 2, (2**31 >> shift) + 1).astype(np.uint32))
    noise = Structure("noise", cum_table=cum_table, guide=guide, shift=forge.number(shift))
    epochs = int(forge.random.integers(0, 4))
    shape = (epochs, int(forge.random.integers(0, 9)))
    # No array has so many items as the last ones ask for, and a kernel can tell.
    sizes = data.draw(st.sampled_from([shape] * 8 + [(-1, 1), (1, -1), (2**40, 2**40), (2**62, 4), (0, 2**62)]))
    seeds = forge.random.integers(0, 2**63, epochs).astype(np.uint64)
    raw, words, windows = np.empty(shape, np.uint32), np.empty(shape, np.uint32), np.empty(shape, np.uint32)
    places = [forge.place(address(items)) for items in (seeds, raw, words, seeds, windows)]
    if call("fill_draws", forge.place(noise.address), places[0], *sizes, *places[1:3]) is not None and sizes == shape:
        assert (words < len(cum_table)).all()
    window = forge.number(5)
    if call("fill_windows", window, places[3], *sizes, places[4]) is not None and sizes == shape:
        assert (windows < window).all()


def vocabulary(forge: Forger) -> tuple[list[str], Structure]:
    """Some words, and their vocabulary, forged in places."""
    texts: list[str] = forge.draw(st.lists(st.text("ab é😀\0", max_size=3), max_size=9, unique=True))
    made = vocabulary_arrays(texts)
    slots = made["vocabulary_slots"]
    for place in np.flatnonzero(slots):
        if forge.rarely():
            slots[place] = slots[place] & np.uint64(0xFFFFFFFF00000000) | np.uint64(forge.draw(WORDS32))
    if forge.rarely():
        slots = slots | np.uint64(1)
    offsets = made["vocabulary_offsets"] + (forge.draw(WILD) if forge.rarely() else 0)
    structure = Structure(
        "vocabulary",
        text=forge.length(made["vocabulary_text"].copy()),
        offsets=forge.items(offsets),
        slots=None if forge.rarely() else forge.length(slots),
    )
    return texts, structure


BYTES = st.text("ab é中😀\ud800\0", max_size=12).map(utf8) | st.binary(max_size=12)


@given(st.data())
def test_token_lookup_is_safe_with_any_arguments(data: st.DataObject) -> None:
    """Any bytes cut anywhere are looked up in any hash table."""
    forge = Forger(data)
    known, words = vocabulary(forge)
    asked = data.draw(st.lists(st.sampled_from([*known, "a", "é", "中\ud800"]), max_size=6))
    text = data.draw(BYTES) if forge.rarely() else utf8("".join(asked))
    tokens = array("I", forge.items(np.array([len(token) for token in asked], np.uint32)).tolist())
    ends = array("q", forge.items(np.array([0, len(tokens) // 2, len(tokens)])).tolist())
    count = len(words._members["offsets"]) - 1  # type: ignore[arg-type]
    bytes_ = min(len(text), forge.number(len(text)))
    arguments = (bytes_, *tokens.buffer_info(), *ends.buffer_info())
    if call("tokens_to_ids", forge.place(words.address), text, *arguments) is not None:
        assert ends[0] <= ends[-1] <= len(tokens)
        assert all(row < count for row in tokens[: ends[-1]])


@given(st.data())
def test_filling_a_hash_table_is_safe_with_any_arguments(data: st.DataObject) -> None:
    """Words at any offsets fill a table in memory that was used before."""
    forge = Forger(data)
    _, words = vocabulary(forge)
    count = len(words._members["offsets"]) - 1  # type: ignore[arg-type]
    slots = forge.random.integers(0, 2**63, forge.random.choice([0, 1, 3, 8, slot_count(count + 1)])).astype(np.uint64)
    size = len(slots) if forge.random.random() < 0.9 else min(len(slots), forge.draw(WILD))
    if call("fill_hash_table", forge.place(words.address), forge.place(address(slots)), size) is not None:
        assert np.count_nonzero(slots[:size]) == count


TABLE = np.zeros(0x110000, np.uint32)
ENTRIES = st.sampled_from(
    [CONSTANTS[name] for name in ("UNKNOWN", "SEPARATOR", "CONTEXTUAL", "FIRST_MAPPED")]
) | st.builds(
    lambda symbol: min(2**32 - 1, symbol + CONSTANTS["FIRST_MAPPED"]),
    st.sampled_from([*map(ord, "ab é中😀"), 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF, 2**32 - 1]),
)


@given(st.data())
def test_reading_text_is_safe_with_any_arguments(data: st.DataObject) -> None:
    """With any bytes and any table of characters, nothing is written past the end of the output."""
    forge = Forger(data)
    known, words = vocabulary(forge)
    asked = data.draw(st.lists(st.sampled_from([*known, "a", "é", "中"]), max_size=6))
    text = array("B", data.draw(BYTES) if forge.rarely() else utf8(" ".join(asked)))
    letters = {ord(character) for character in bytes(text).decode("utf-8", "replace")}
    TABLE[[*letters]] = [
        data.draw(ENTRIES) if forge.random.random() < 0.3 else CONSTANTS["FIRST_MAPPED"] + letter for letter in letters
    ]
    TABLE[ord(" ")] = CONSTANTS["SEPARATOR"]
    characters = Structure(
        "character_rules",
        table=TABLE[: forge.number(len(TABLE))] if forge.rarely() else TABLE,
        min_len=forge.number(1),
        max_len=forge.number(9),
        not_first=forge.number(ord("b")),
    )
    ends = array("q", forge.items(np.array([0, len(text) // 2, len(text)])).tolist())
    texts = len(ends) - 1
    counts, rows = array("q", bytes(8 * texts)), array("I", bytes(4 * data.draw(st.integers(0, 9))))
    unknown, collects = array("q", bytes(8 * data.draw(st.integers(1, 9)))), data.draw(st.booleans())
    outcome = call(
        "texts_to_ids",
        forge.place(characters.address),
        forge.place(words.address),
        text.buffer_info()[0],
        min(len(text), forge.number(len(text))),
        ends.buffer_info()[0],
        counts.buffer_info()[0],
        texts if forge.random.random() < 0.95 else data.draw(st.sampled_from([-1, 2**63 - 1, -(2**63)])),
        *rows.buffer_info(),
        forge.number(5),
        unknown.buffer_info()[0] if collects else 0,
        len(unknown) if forge.random.random() < 0.95 else -1,
    )
    if outcome == CONSTANTS["DONE"]:
        count = len(words._members["offsets"]) - 1  # type: ignore[arg-type]
        assert all(0 <= end <= len(rows) for end in ends[1:])
        assert all(row < count + (len(unknown) // 2 if collects else 0) for row in rows[: ends[-1]])
        assert all(0 <= place <= len(text) for place in unknown)
    TABLE[[*letters]] = CONSTANTS["UNKNOWN"]


@given(st.data())
def test_reading_forms_is_safe_with_any_arguments(data: st.DataObject) -> None:
    """With any numbers and codes of forms, nothing is read or written outside the arrays."""
    forge = Forger(data)
    codes, more, forms = (
        forge.items(forge.random.integers(0, top, size).astype(np.uint32))
        for top, size in ((9, 5), (9, 3), (8, data.draw(st.integers(0, 9))))
    )
    rows = array("I", forms.tolist())
    ends = array("q", forge.items(np.array([0, len(rows) // 2, len(rows)])).tolist())
    texts = len(ends) - 1
    counts = array("q", bytes(8 * max(0, texts)))
    outcome = call(
        "forms_to_ids",
        forge.place(address(codes)),
        min(len(codes), forge.number(len(codes))),
        forge.place(address(more)),
        min(len(more), forge.number(len(more))),
        *rows.buffer_info(),
        ends.buffer_info()[0],
        counts.buffer_info()[0],
        texts if forge.random.random() < 0.95 else data.draw(st.sampled_from([-1, 2**63 - 1, -(2**63)])),
        forge.number(5),
    )
    if outcome == CONSTANTS["OK"]:
        assert all(0 <= end <= len(rows) for end in ends[1:])


@given(st.data())
def test_search_is_safe_with_any_arguments(data: st.DataObject) -> None:
    """Vectors of any numbers and any range of rows are searched."""
    forge = Forger(data)
    count, columns, queries, top_k = map(int, forge.random.integers((0, 1, 0, 1), (9, 70, 4, 12)))
    vectors, units = forge.floats(count, columns), forge.floats(queries, columns)
    norms = forge.length(np.abs(forge.floats(count)))
    added, limits = forge.floats(count), forge.floats(2)
    candidates = forge.items(forge.random.integers(0, max(1, count), 9).astype(np.uint32))
    documents = Structure("document_vectors", vectors=None if forge.rarely() else vectors, norms=norms)
    cosines, rows = np.full((queries, top_k), -np.inf, np.float32), np.full((queries, top_k), count, np.uint32)
    # No array has so many items as the last ones ask for, and a kernel can tell.
    begin, end = forge.number(0), forge.number(count)
    sizes = data.draw(st.sampled_from([(queries, top_k)] * 8 + [(-1, 1), (2**32, 2**32), (2**61, 8), (1, -(2**63))]))
    call(
        "find_nearest",
        forge.place(documents.address),
        begin,
        end,
        forge.place(address(units)),
        sizes[0],
        forge.place(address(cosines)),
        forge.place(address(rows)),
        sizes[1],
    )
    if queries:
        call(
            "find_among",
            forge.place(documents.address),
            forge.place(address(candidates)),
            len(candidates) if forge.random.random() < 0.95 else data.draw(st.sampled_from([-1, -(2**63)])),
            forge.place(address(units)),
            forge.place(address(added)),
            forge.place(address(limits)),
            forge.place(address(cosines)),
            forge.place(address(rows)),
            top_k if forge.random.random() < 0.95 else data.draw(st.sampled_from([-1, 2**62, -(2**63)])),
        )
    assert (rows <= count).all()


@given(st.data())
def test_shares_are_safe_with_any_arguments(data: st.DataObject) -> None:
    """Lists of any documents and any places in them are read, or refused."""
    forge = Forger(data)
    terms, postings, count, asked = map(int, forge.random.integers((1, 0, 1, 0), (6, 20, 9, 4)))
    starts = np.sort(forge.random.integers(0, postings + 1, terms + 1))
    lists = Structure(
        "posting_lists",
        starts=forge.items(starts.astype(np.int64)),
        documents=forge.items(forge.random.integers(0, count, postings).astype(np.uint32)),
        counts=forge.length(forge.random.integers(0, 256, postings).astype(np.uint8)),
        lengths=forge.length(forge.random.integers(0, 2**32, count).astype(np.uint32)),
        saturation=forge.length(np.ones(2, np.float32)),
    )
    which = forge.random.integers(0, terms, asked)
    positions = starts[which].astype(np.int64)
    chosen, floors, factors = which.astype(np.uint32), forge.floats(asked), forge.floats(asked)
    shares = np.zeros(count + GUARD, np.float32)
    if asked and forge.rarely():
        chosen[0], positions[0] = data.draw(WORDS32), data.draw(WILD)
    begin, end = data.draw(st.sampled_from([(0, count)] * 4 + [(-1, count), (count, 0), (0, -1), (1, count)]))
    call(
        "add_shares",
        forge.place(lists.address),
        forge.place(address(chosen)),
        forge.place(address(floors)),
        forge.place(address(factors)),
        forge.place(address(positions)),
        asked if forge.random.random() < 0.95 else data.draw(st.sampled_from([-1, -(2**63)])),
        begin,
        end,
        forge.place(address(shares)),
    )
    assert not shares[count:].any()


@given(st.data())
def test_lists_of_terms_are_safe_with_any_arguments(data: st.DataObject) -> None:
    """Documents of any words give pairs and lists within the room for them, or are refused."""
    forge = Forger(data)
    words, terms, size = map(int, forge.random.integers((1, 1, 0), (6, 9, 20)))
    ids = forge.length(forge.random.integers(0, words, size).astype(np.uint32))
    ends = np.sort(forge.random.integers(0, size + 1, forge.random.integers(0, 5)))
    tokens = Structure("tokens", ids=ids, ends=forge.items(np.array([0, *ends, size], np.int64)))
    hashes, room = forge.random.integers(0, 2**64, words, np.uint64), size - int(forge.rarely() and size > 0)
    pairs, owners = np.zeros(room + GUARD, np.uint64), np.zeros(room + GUARD, np.uint32)
    found = np.zeros(1, np.int64)
    call(
        "hash_pairs",
        forge.place(tokens.address),
        forge.place(address(hashes)),
        words - int(forge.rarely()),
        forge.number(1),
        forge.number(data.draw(st.sampled_from([0, 1]))),
        forge.place(address(pairs)),
        forge.place(address(owners)),
        room,
        forge.place(address(found)),
    )
    assert not pairs[room:].any()
    assert not owners[room:].any()
    sizes = forge.random.integers(0, 3, words)
    word_terms = Structure(
        "word_terms",
        starts=forge.items(np.cumsum([0, *sizes])),
        terms=forge.items(forge.random.integers(0, terms, sizes.sum()).astype(np.uint32)),
    )
    document_terms = Structure(
        "document_terms",
        documents=forge.items(np.sort(forge.random.integers(0, 6, 4)).astype(np.uint32)),
        terms=forge.items(forge.random.integers(0, terms, 4).astype(np.uint32)),
    )
    last, filled = np.zeros(terms + GUARD, np.uint32), np.zeros(terms + GUARD, np.int64)
    starts = forge.items(np.cumsum([0, *forge.random.integers(0, 2 * size + 1, terms)]))
    terms, room = len(starts) - 1, max(0, min(int(starts[-1]), 999)) if len(starts) else 0
    listed, counts = np.zeros(room + GUARD, np.uint32), np.zeros(room + GUARD, np.uint8)
    call(
        "list_documents",
        forge.place(tokens.address),
        forge.place(word_terms.address),
        forge.place(document_terms.address),
        terms if forge.random.random() < 0.95 else -1,
        forge.place(address(starts)),
        forge.place(address(filled)),
        forge.place(address(last)),
        forge.place(address(listed)),
        forge.place(address(counts)),
        room,
    )
    assert not listed[room:].any()
    assert not counts[room:].any()
    assert not last[max(0, terms) :].any()
    assert not filled[max(0, terms) :].any()


@pytest.mark.parametrize("symbol", [0x80, 0x800, 0x10000, 2**32 - 4])
def test_a_character_table_that_makes_text_longer_is_refused(symbol: int) -> None:
    """A table whose characters are longer than their source is refused before anything is written."""
    table = np.full(0x110000, symbol + CONSTANTS["FIRST_MAPPED"], np.uint32)
    characters = Structure("character_rules", table=table, min_len=0, max_len=9, not_first=-1)
    words = Structure("vocabulary", **{name.partition("_")[2]: made for name, made in vocabulary_arrays(["a"]).items()})
    text, ends, counts, rows = array("B", b"aaaa"), array("q", [0, 2, 4]), array("q", [0, 0]), array("I", [0, 0])
    places = (*text.buffer_info(), ends.buffer_info()[0], *counts.buffer_info(), *rows.buffer_info(), 9, 0, 0)
    with pytest.raises(ValueError, match="BAD_TABLE"):
        kernel("texts_to_ids")(characters.address, words.address, *places)
    assert bytes(text) == b"aaaa"
