"""Reading gensim's pickles without running them."""

import builtins
import codecs
import gzip
import os
import pickle
import pickletools
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from gensim.models.doc2vec import Doc2Vec
from hypothesis import given, settings
from hypothesis import strategies as st

from paravec_model.cli.main import main
from paravec_model.convert.gensim_file import load
from paravec_model.errors import ConversionError, UnsafePickleError

from .. import old_models, parity


class Calls:
    """Pickles to a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {}",), "system"),
        (subprocess.Popen, (["touch", "{}"],), "Popen"),
        (builtins.eval, ("open('{}', 'w')",), "eval"),
        (builtins.getattr, (1, "real"), "getattr"),
        (np.fromfile, ("{}",), "fromfile"),
        (np.load, ("{}",), "load"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_hostile_pickle_is_refused_and_not_run(
    function: Any, arguments: Any, name: str, protocol: int, tmp_path: Path
) -> None:
    """A call to a function that is not allowed is refused with its name and has no effect."""
    trace = tmp_path / "was-here"
    filled = [a.format(trace) if isinstance(a, str) else a for a in arguments]
    filled = [[part.format(trace) for part in a] if isinstance(a, list) else a for a in filled]
    file = tmp_path / "hostile.model"
    file.write_bytes(pickle.dumps({"model": Calls(function, *filled)}, protocol=protocol))
    with pytest.raises(UnsafePickleError) as refused:
        load.load(file)
    assert str(refused.value).startswith(f"{file}: asks for ")
    assert f".{name}," in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not trace.exists()


def test_allowed_names_resolve_to_inert_stubs(tmp_path: Path) -> None:
    """Allowed names resolve to stubs, and no class or function of gensim or numpy is reached."""
    file = tmp_path / "model"
    file.write_bytes(pickle.dumps(Calls(builtins.hash, "x"), protocol=4))
    with pytest.raises(ConversionError, match="holds no gensim model"):
        load.load(file)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_gensim_model_is_read_in_full(protocol: int, tmp_path: Path) -> None:
    """The attributes that inference needs come out as gensim put them in."""
    model = parity.train(vector_size=8, epochs=1, dm=1, hs=1)
    file = tmp_path / "model"
    model.save(str(file), pickle_protocol=protocol)
    read = load.load(file)
    assert read.wv.index_to_key == model.wv.index_to_key
    assert (read.syn1neg.array() == model.syn1neg).all()
    assert (read.wv.expandos["count"].array() == model.wv.expandos["count"]).all()
    paths = zip(read.wv.expandos["point"].array(), model.wv.expandos["point"], strict=True)
    assert all((a.array() == b).all() for a, b in paths)


def test_missing_and_foreign_files_are_one_clear_line(tmp_path: Path) -> None:
    """A file that is no pickle, or ends early, or is not there, is named with the reason."""
    whole = old_models.NAMED[0].read_bytes()
    for name, content, problem in (
        ("text", b"not a pickle at all", "no gensim model needs|is not a gensim model file"),
        ("empty", b"", "is empty"),
        ("cut", whole[:-100], "damaged"),
        ("compressed badly", b"\x1f\x8b\x08\x00 and no more", "damaged|gzip"),
        ("compressed and cut", gzip.compress(whole)[:-100], "ends early"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConversionError, match=problem) as refused:
            load.load(tmp_path / name)
        assert str(refused.value).startswith(f"{tmp_path / name}: ")
        assert "\n" not in str(refused.value)
    with pytest.raises(ConversionError, match="No such file"):
        load.load(tmp_path / "nowhere")


# What a hostile file might want to be carried out, as bytes.
HOSTILE = {
    "a number of the memory that is far away": b"r\xff\xff\xff\x7f",
    "8 EiB of bytes": b"\x8e" + b"\xff" * 7 + b"\x7f",
    "8 EiB of a bytearray": b"\x96" + b"\xff" * 7 + b"\x7f",
    "4 GiB of bytes": b"B\xff\xff\xff\xff",
    "4 GiB of text": b"X\xff\xff\xff\xff",
    "2 GiB of text of Python 2": b"T\xff\xff\xff\x7f",
    "a frame of 8 EiB": b"\x95" + b"\xff" * 7 + b"\x7f",
    "a number of many digits": b"I" + b"9" * 900 + b"\n",
    "a number of many bits": b"\x8a\xff" + b"\x7f" * 255,
    "a function": b"cos\nsystem\n",
    "a function, by the stack": b"X\x02\0\0\0osX\x06\0\0\0system\x93",
    "a call": b"cos\nsystem\nX\x04\0\0\0true\x85R",
    "a call of Python 2": b"c__builtin__\neval\nX\x01\0\0\0" + b"1\x85R",
    "an old instance": b"(ios\nsystem\n",
    "an extension": b"\x82\x01",
    "an object of elsewhere": b"Pelsewhere\n",
    "a set": b"\x8f",
    "a call of what is there": b"R",
    "an instance of what is there": b"\x81",
    "a state for what is there": b"b",
    "an attribute of a name": b"cnumpy\ndtype\nN}X\x08\0\0\0__call__Ns\x86b",
}


@contextmanager
def watched(file: Path) -> Iterator[None]:
    """Fails if anything is imported, run or opened but the file itself."""
    seen: list[tuple[str, Any]] = []
    _watchers.append(seen)
    try:
        yield
    finally:
        _watchers.pop()
    assert [event for event in seen if event[0] != "open" or event[1][0] not in (file, str(file))] == []


_watchers: list[list[tuple[str, Any]]] = []

_PREFIXES = ("code.", "compile", "ctypes.", "exec", "import", "marshal.", "open", "os.", "pickle.", "shutil.",
             "socket.", "subprocess.", "sys.")  # fmt: skip


def _watch(event: str, arguments: Any) -> None:
    # A hook cannot be taken away again, so this one costs little while nobody watches.
    if _watchers and event.startswith(_PREFIXES):
        _watchers[-1].append((event, arguments))


sys.addaudithook(_watch)

# pickletools decodes an argument before we refuse its instruction, and Python loads this codec when it is first used.
codecs.lookup("raw_unicode_escape")


def test_the_audit_hook_sees_pythons_own_unpickler(tmp_path: Path) -> None:
    """Python's unpickler calling os.system is caught by the hook that the tests below use."""
    file = tmp_path / "hostile"
    file.write_bytes(pickle.dumps(Calls(os.system, "true")))
    with pytest.raises(AssertionError, match="find_class"), watched(file), file.open("rb") as opened:
        pickle.load(opened)


@pytest.fixture(scope="module")
def pickled(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Small models of real gensims, and the installed one's."""
    files = [old_models.NAMED[0], old_models.NAMED[12], old_models.NAMED[-1]]
    folder = tmp_path_factory.mktemp("pickled")
    for protocol in (2, 4, 5):
        model = Doc2Vec(vector_size=4, min_count=1, epochs=1, dm=1, hs=protocol == 4)
        model.build_vocab_from_freq({"one": 1, "two": 2, "three": 3}, corpus_count=1)
        files.append(folder / f"{protocol}")
        model.save(str(files[-1]), pickle_protocol=protocol)
    for file in files:
        load.load(file)
    return [file.read_bytes() for file in files]


def instructions(data: bytes) -> list[bytes]:
    """A pickle cut into its instructions."""
    starts = [position for _opcode, _argument, position in pickletools.genops(data) if position is not None]
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]


def damaged(pickled: list[bytes], random: Random) -> bytes:
    """A real file with some bytes changed, or cut off."""
    changed = bytearray(random.choice(pickled))
    for _ in range(random.randint(0, 4)):
        changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed[: random.choice((len(changed), random.randrange(len(changed))))])


def rewritten(pickled: list[bytes], random: Random) -> bytes:
    """A real file with instructions left out, repeated, exchanged, taken from another file, or hostile ones put in."""
    parts = instructions(random.choice(pickled))
    for _ in range(random.randint(1, 4)):
        place, other = random.randrange(len(parts)), random.randrange(len(parts))
        foreign = random.choice(random.choice(([*HOSTILE.values()], parts, instructions(random.choice(pickled)))))
        match random.choice(("leave out", "repeat", "exchange", "replace", "put in", "put in")):
            case "leave out":
                del parts[place]
            case "repeat":
                parts[place:place] = parts[place : other + 1] * random.randint(1, 5)
            case "exchange":
                parts[place], parts[other] = parts[other], parts[place]
            case "replace":
                parts[place] = foreign
            case _:
                parts.insert(place, foreign)
    return b"".join(parts)


# Drawn as one number: drawn one by one, thousands of choices among thousands slow hypothesis down, and confuse it.
SEEDS = st.integers(0, 2**64 - 1)


@settings(max_examples=400)
@given(SEEDS)
def test_no_changed_file_runs_anything(
    pickled: list[bytes], tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """A real file changed at random gives a model or one line; nothing is imported, run or opened."""
    file, random = tmp_path_factory.getbasetemp() / "changed", Random(seed)
    file.write_bytes(random.choice((damaged, rewritten))(pickled, random))
    with watched(file):
        try:
            load.load(file)
        except ConversionError as refused:
            assert "\n" not in str(refused)
            assert len(str(refused)) < 1000


@settings(max_examples=60)
@given(SEEDS)
def test_converting_a_changed_file_exits_with_0_or_1(
    pickled: list[bytes], tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """convert of a real file changed at random ends with status 0 or 1 and no traceback."""
    folder, random = tmp_path_factory.mktemp("fuzz"), Random(seed)
    (folder / "changed").write_bytes(random.choice((damaged, rewritten))(pickled, random))
    status = main(["convert", str(folder / "changed"), str(folder / "out"), "--name", "a", "--doctags"])
    assert status in (0, 1)
    assert (folder / "out").exists() == (status == 0)


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_instruction_takes_no_memory(what: str, pickled: list[bytes], tmp_path: Path) -> None:
    """A hostile instruction in the middle of a real file is refused or harmless, within the bound of memory."""
    parts = instructions(pickled[0])
    file = tmp_path / "hostile"
    file.write_bytes(b"".join([*parts[:20], HOSTILE[what], *parts[20:]]))
    with bounded(file), watched(file), suppress(ConversionError):
        load.load(file)


@contextmanager
def bounded(file: Path, free: int = 2**20) -> Iterator[None]:
    """Fails if more memory is taken than the page on conversion says: 100 bytes for each of the file's, and some."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] <= free + 100 * file.stat().st_size
    finally:
        tracemalloc.stop()


MANY = 2**17
MEGABYTE = 2**20
MODEL = b"\x80\x02cgensim.models.doc2vec\nDoc2Vec\n)\x81}"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n)R"
BYTES = b"B" + MEGABYTE.to_bytes(4, "little") + bytes(MEGABYTE)
TEXT = b"X" + MEGABYTE.to_bytes(4, "little") + bytes(MEGABYTE)
FLOATS = b"cnumpy\ndtype\nU\x02f4\x85R"


@pytest.mark.parametrize(
    "content",
    {
        "dicts": MODEL + b"}" * MANY,
        "lists, each in the memory": b"\x80\x04" + b"]\x94" * MANY,
        "dicts, each in the memory": b"\x80\x04" + b"}\x94" * MANY,
        "marks": MODEL + b"(" * MANY,
        "instances": MODEL + b"cgensim.models.doc2vec\nDocvecsArray\nq\1" + b"h\1)\x81" * MANY,
        "tuples in tuples": MODEL + b")" + b"\x85" * MANY + b".",
        "a key that takes for ever to hash": MODEL + b")q\1" + b"h\1\x86q\1" * 1000 + b"Ns.",
        "many keys of one hash": MODEL + b"(" + b"".join(
            b"\x8a\x08" + (n * (2**61 - 1) % 2**63).to_bytes(8, "little") + b"N" for n in range(100_000)
        ) + b"u.",
        "the same bytes in many arrays": MODEL + FLOATS + b"q\2" + BYTES + b"q\1" + (
            ARRAY + b"(K\1MC\0\x85h\2\x89h\1tb"
        ) * 10_000,
        "the same text as bytes, many times": MODEL + b"c_codecs\nencode\nq\2" + TEXT + b"q\1U\6latin1q\3" + (
            b"h\2h\1h\3\x86R"
        ) * 50_000,
        "the same state for many objects": MODEL + b"(" + b"".join(
            b"J" + n.to_bytes(4, "little") + b"N" for n in range(100_000)
        ) + b"uq\1cgensim.models.doc2vec\nDocvecsArray\nq\2" + b"h\2)\x81h\1b" * 50_000,
    }.items(),
    ids=lambda content: content[0],
)  # fmt: skip
def test_memory_is_bounded_by_the_files_size(content: tuple[str, bytes], tmp_path: Path) -> None:
    """A small file that repeats itself or is slow to compare takes no more memory than its size allows."""
    file = tmp_path / "hostile"
    file.write_bytes(content[1])
    with bounded(file), pytest.raises(ConversionError):
        load.load(file)


def test_many_arguments_are_refused_at_the_first_call(tmp_path: Path) -> None:
    """Each call would copy them, so a file of a megabyte could take minutes, and one of ten hours."""
    file = tmp_path / "hostile"
    arguments = b"(" + b"N" * MANY + b"tq\1"
    file.write_bytes(MODEL + b"cbuiltins\nhash\nq\2" + arguments + b"h\2h\1R" * 1000 + b".")
    with pytest.raises(ConversionError, match="more arguments than gensim does"):
        load.load(file)


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    """A compressed file that unpacks to more than 20 times its size is refused."""
    file = tmp_path / "bomb.gz"
    size = 200 * MEGABYTE
    file.write_bytes(gzip.compress(MODEL + b"B" + size.to_bytes(4, "little") + bytes(size)))
    assert file.stat().st_size < MEGABYTE
    with bounded(file), pytest.raises(ConversionError, match="made to fill the memory"):
        load.load(file)


def test_a_side_array_decompression_bomb_is_refused(tmp_path: Path) -> None:
    """A compressed side array is refused by its unpacked size before it is read."""
    model = parity.train(vector_size=10, epochs=1, dm=0)
    model.save(str(tmp_path / "model.gz"), sep_limit=100)
    beside = tmp_path / "model.gz.syn1neg.npz"
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("val.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10**7, 10)})
        for _ in range(100):
            file.write(bytes(4 * 10**6))
    read = load.load(tmp_path / "model.gz")
    with bounded(beside), pytest.raises(ConversionError, match="would grow to"):
        read.syn1neg.array()


@pytest.mark.parametrize("shape", [(2**40, 2**20), (2**62, 2**62), (-1, 4), (0, 2**50), (3,) * 70, (10**15, 0)])
def test_an_array_whose_shape_does_not_fit_its_data_is_refused(
    shape: tuple[int, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No memory is allocated for a shape that the data does not fill."""
    model = Doc2Vec(vector_size=4, min_count=1, dm=0)
    model.build_vocab_from_freq({"one": 1, "two": 2}, corpus_count=1)
    reconstruct, arguments, state = model.syn1neg.__reduce__()
    assert state[1] == (2, 4)
    data = state[4] if np.prod([float(n) for n in shape]) else b""
    model.syn1neg = Calls(reconstruct, *arguments)
    model.syn1neg.call = (reconstruct, arguments, (state[0], shape, state[2], state[3], data))
    file = tmp_path / "model"
    # Not saved by gensim, which would look at the array.
    file.write_bytes(pickle.dumps(model, protocol=4))
    with bounded(file), suppress(ConversionError):
        load.load(file).syn1neg.array()
    assert main(["convert", str(file), str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "shape" in error or "array" in error
    assert error.count("\n") == 1
