"""Reading gensim's pickles without running them."""

import builtins
import os
import pickle
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models.word2vec import Word2Vec
from hypothesis import given, settings
from hypothesis import strategies as st

from paravec_model import unpickler
from paravec_model.errors import ConversionError, UnsafePickleError

from .. import parity


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
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_hostile_pickle_is_refused_by_name_and_not_run(
    function: Any, arguments: Any, name: str, protocol: int, tmp_path: Path
) -> None:
    """Whatever a file asks to call, the error names it and nothing happened."""
    trace = tmp_path / "was-here"
    filled = [a.format(trace) if isinstance(a, str) else a for a in arguments]
    filled = [[part.format(trace) for part in a] if isinstance(a, list) else a for a in filled]
    file = tmp_path / "hostile.model"
    file.write_bytes(pickle.dumps({"model": Calls(function, *filled)}, protocol=protocol))
    with pytest.raises(UnsafePickleError) as refused:
        unpickler.load(file)
    assert str(refused.value).startswith(f"{file}: asks for ")
    assert f".{name}," in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not trace.exists()


def test_what_stands_in_is_never_the_real_thing(tmp_path: Path) -> None:
    """Names on the list resolve to inert objects: no real class or function of gensim or numpy is reached."""
    file = tmp_path / "model"
    file.write_bytes(pickle.dumps(Calls(builtins.hash, "x")))
    with pytest.raises(ConversionError, match="not a gensim Doc2Vec model"):
        unpickler.load(file)


def test_a_gensim_model_is_read_in_full(tmp_path: Path) -> None:
    """The attributes that inference needs come out as gensim put them in."""
    model = parity.train(vector_size=8, epochs=1, dm=1, hs=1)
    for protocol in (2, 4, 5):
        file = tmp_path / f"{protocol}.model"
        model.save(str(file), pickle_protocol=protocol)
        read: Any = unpickler.load(file)
        assert read.wv.index_to_key == model.wv.index_to_key
        assert (np.asarray(read.syn1neg) == model.syn1neg).all()
        assert (np.asarray(read.wv.expandos["count"]) == model.wv.expandos["count"]).all()
        paths = zip(np.asarray(read.wv.expandos["point"]), model.wv.expandos["point"], strict=True)
        assert all((a == b).all() for a, b in paths)


def test_other_models_are_refused_by_their_kind(tmp_path: Path) -> None:
    """A Word2Vec file is no Doc2Vec file, and the error says what it is."""
    file = tmp_path / "word2vec.model"
    Word2Vec([["a", "b"]] * 5, vector_size=4, min_count=1, epochs=1).save(str(file))
    with pytest.raises(ConversionError, match="Word2Vec"):
        unpickler.load(file)


def test_missing_and_foreign_files_are_one_clear_line(tmp_path: Path) -> None:
    """A file that is no pickle, is compressed, or is not there, is named with the reason."""
    for name, content, problem in (
        ("text", b"not a pickle at all", "is not a gensim model file"),
        ("empty", b"", "is not a gensim model file"),
        ("gz", b"\x1f\x8b\x08\x00", "decompress it first"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConversionError, match=problem):
            unpickler.load(tmp_path / name)
    with pytest.raises(ConversionError, match="No such file"):
        unpickler.load(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def pickled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small model's file."""
    file = tmp_path_factory.mktemp("pickled") / "model"
    parity.train(vector_size=4, epochs=1, dm=0).save(str(file))
    return file.read_bytes()


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_pickle_gives_a_model_or_a_clear_error(
    pickled: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Bytes changed at random never lead to anything but a model or a ConversionError of one line."""
    changed = bytearray(pickled)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "damaged"
    file.write_bytes(changed[: data.draw(st.integers(0, len(changed)))] if data.draw(st.booleans()) else changed)
    with suppress(ConversionError):
        unpickler.load(file)
