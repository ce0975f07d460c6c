"""`paravec-model convert` with unusual gensim models: each converts, or one line says why not."""

import datetime
import lzma
import pickle
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from gensim.models.doc2vec import Doc2Vec, TaggedDocument

from paravec_model.artifact import Artifact
from paravec_model.cli.main import main
from paravec_model.convert.gensim_file import load
from paravec_model.convert.trained_tags import trained_rows
from paravec_model.errors import ConversionError

from .. import old_models, parity

Capture = pytest.CaptureFixture[str]

DOCUMENTS = [f"alpha beta gamma delta word{number} word{number}".split() for number in range(30)]


def tagged(tag: Callable[[int], Any] = int, **parameters: Any) -> Doc2Vec:
    """A tiny model whose documents have these tags."""
    documents = [TaggedDocument(words, [tag(number)]) for number, words in enumerate(DOCUMENTS)]
    parameters = {"dm": 0, "epochs": 5, "sample": 0, **parameters}
    return Doc2Vec(documents, vector_size=8, min_count=1, workers=1, **parameters)


def converted(model: Doc2Vec, folder: Path, *flags: str) -> int:
    """The status of its conversion, to `out` in the folder."""
    model.save(str(folder / "model"))
    return main(["convert", str(folder / "model"), str(folder / "out"), *flags])


def refusal(capsys: Capture, folder: Path) -> str:
    """The single line of the last command, which names the file."""
    error = capsys.readouterr().err
    assert error.startswith(f"paravec-model: {folder / 'model'}: ")
    assert error.count("\n") == 1
    assert not (folder / "out").exists()
    return error


TAGS: dict[str, tuple[Callable[[int], Any], str]] = {
    "float": (float, "tag 0 of 30 is 0.0, a float"),
    "NaN among text": (lambda n: float("nan") if n == 3 else f"d{n}", "tag 3 of 30 is nan, a float"),
    "None": (lambda _: None, "tag 0 of 1 is None"),
    "tuple": (lambda n: ("S", n), "tag 0 of 30 is ('S', 0), a tuple"),
    "bytes": (lambda n: b"d%d" % n, "tag 0 of 30 is b'd0', a bytes"),
    "date": (lambda n: datetime.date(2020, 1, 1 + n), "tag 0 of 30 is a datetime.date"),
    "UUID": (lambda n: uuid.UUID(int=n), "tag 0 of 30 is a uuid.UUID"),
}


@pytest.mark.parametrize("kind", TAGS)
def test_unsupported_tag_types_matter_only_with_doctags(kind: str, tmp_path: Path, capsys: Capture) -> None:
    """Tags of other types are ignored without --doctags; with it, the first such tag is named."""
    tag, says = TAGS[kind]
    model = tagged(tag)
    assert converted(model, tmp_path, "--doctags") == 1
    assert f": {says}, and only text and integers can be kept; " in refusal(capsys, tmp_path)
    assert converted(model, tmp_path) == 0


def test_a_tag_that_is_no_unicode_is_named(tmp_path: Path, capsys: Capture) -> None:
    """A server could not tell it to a caller."""
    model = tagged(lambda n: f"{n}\ud800")
    assert converted(model, tmp_path, "--doctags") == 1
    assert ": tag 0 of 30 has a lone surrogate" in refusal(capsys, tmp_path)
    assert converted(model, tmp_path) == 0


def test_numpy_strings_and_integers_are_accepted(tmp_path: Path) -> None:
    """numpy's str_ and integers convert as tags and as words."""
    documents = [TaggedDocument([*np.array(words)], [*np.array([f"d{n}"])]) for n, words in enumerate(DOCUMENTS)]
    model = Doc2Vec(documents, vector_size=8, min_count=1, dm=0, epochs=5, sample=0, workers=1)
    assert converted(model, tmp_path, "--doctags") == 0
    artifact = Artifact.open(tmp_path / "out", verify=True)
    assert list(artifact.doctags) == [f"d{number}" for number in range(30)]
    assert artifact.vocabulary.id_of("alpha") is not None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("where", ["syn1neg", "syn1", "wv.vectors", "dv.vectors"])
def test_an_array_that_is_not_finite_is_named(where: str, value: float, tmp_path: Path, capsys: Capture) -> None:
    """With how many of its numbers are not."""
    model = tagged(dm=1, hs=1)
    owner, _, name = where.rpartition(".")
    getattr(getattr(model, owner) if owner else model, name)[:2, 3] = value
    assert converted(model, tmp_path, "--doctags") == 1
    ours = {"wv.vectors": "word_vectors", "dv.vectors": "doctag_vectors"}.get(where, where)
    assert f": {ours}: 2 of {30 * 8 if where == 'dv.vectors' else 34 * 8} numbers are not finite" in refusal(
        capsys, tmp_path
    )


@pytest.mark.parametrize("dm", [0, 1])
def test_unusable_learning_rates_are_one_message_with_the_flags_to_use(
    dm: int, tmp_path: Path, capsys: Capture
) -> None:
    """Rates left by a manual training loop are refused with flags that work; method map, for DBOW only, needs none."""
    model = tagged(dm=dm)
    for _ in range(20):
        model.alpha -= 0.002
        model.min_alpha = model.alpha
    assert converted(model, tmp_path) == 1
    said = refusal(capsys, tmp_path)
    advice = "--infer-alpha 0.025 --infer-min-alpha 0.0001"
    assert "alpha -0.015, min_alpha -0.015" in said
    assert advice in said
    assert ("--infer-method map" in said) == (dm == 0)
    assert converted(model, tmp_path, *advice.split()) == 0
    if dm == 0:
        assert main(["convert", str(tmp_path / "model"), str(tmp_path / "map"), "--infer-method", "map"]) == 0
        assert Artifact.open(tmp_path / "map").manifest.defaults.method == "map"


def test_a_model_of_one_epoch_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A model with epochs=1 converts with a warning unless a flag sets the epochs."""
    model = tagged(epochs=1)
    assert converted(model, tmp_path) == 0
    assert "left with one epoch" in caplog.text
    caplog.clear()
    assert main(["convert", str(tmp_path / "model"), str(tmp_path / "more"), "--infer-epochs", "20"]) == 0
    assert not caplog.messages


def test_an_untrained_model_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A model whose output weights are all zero converts with a warning."""
    model = Doc2Vec(vector_size=8, min_count=1, dm=0)
    model.build_vocab([TaggedDocument(words, [number]) for number, words in enumerate(DOCUMENTS)])
    assert converted(model, tmp_path) == 0
    assert "was never trained" in caplog.text


def test_missing_doctag_vectors_are_an_error(tmp_path: Path, capsys: Capture) -> None:
    """--doctags fails for tags that gensim 3 deleted or that build_vocab(update=True) added without vectors."""
    data = old_models.NAMED[-1].read_bytes()
    name = b"vectors_docs"
    (tmp_path / "model").write_bytes(data.replace(b"X\x0c\0\0\0" + name, b"X\x0c\0\0\0" + b"_" * len(name)))
    assert main(["convert", str(tmp_path / "model"), str(tmp_path / "out"), "--doctags"]) == 1
    assert "leave out --doctags" in refusal(capsys, tmp_path)
    empty = Doc2Vec(vector_size=8, min_count=1, dm=0)
    empty.build_vocab_from_freq({"one": 1, "two": 2}, corpus_count=1)
    assert converted(empty, tmp_path, "--doctags") == 1
    assert "no document vectors" in capsys.readouterr().err
    model = tagged()
    model.build_vocab([TaggedDocument(["alpha", "new"], [40])], update=True)
    assert converted(model, tmp_path, "--doctags") == 1
    assert "the model has 41 tags and vectors of 30 (build_vocab(update=True)" in refusal(capsys, tmp_path)


def test_untrained_integer_tags_are_left_out(tmp_path: Path, capsys: Capture) -> None:
    """The rows that gensim makes for unused integer tags are dropped and counted, and the others are found."""
    model = tagged(lambda number: 7 * number)
    assert len(model.dv) == 204
    assert converted(model, tmp_path, "--doctags") == 0
    assert "174 tags left out that no document trained" in capsys.readouterr().out
    artifact = Artifact.open(tmp_path / "out", verify=True)
    assert list(artifact.doctags) == [7 * number for number in range(30)]
    assert (artifact.arrays["doctag_vectors"] == model.dv.vectors[::7]).all()
    assert artifact.manifest.training["doctags_never_trained"] == 174


def test_start_vectors_match_gensims_for_any_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check for untrained rows agrees with gensim's initial vectors, block by block and for odd sizes."""
    model = Doc2Vec(vector_size=7, min_count=1, seed=5)
    model.build_vocab([TaggedDocument(["a", "b"], [99])])
    assert not len(trained_rows(model.dv.vectors, 5))
    monkeypatch.setattr("paravec_model.artifact.finite._BLOCK_NUMBERS", 40)
    model.dv.vectors[[3, 50]] += 1
    assert trained_rows(model.dv.vectors, 5).tolist() == [3, 50]
    assert len(trained_rows(model.dv.vectors, 6)) == len(trained_rows(model.dv.vectors, None)) == 100


def test_a_model_loaded_with_mmap_and_saved_again_converts(tmp_path: Path) -> None:
    """A model loaded with mmap='r' and saved again, whose arrays are memmaps in the pickle, converts whole."""
    tagged().save(str(tmp_path / "first"), sep_limit=10)
    mapped = Doc2Vec.load(str(tmp_path / "first"), mmap="r")
    assert isinstance(mapped.syn1neg, np.memmap)
    assert converted(mapped, tmp_path) == 0
    (tmp_path / "pickled").write_bytes(pickle.dumps(mapped))
    assert main(["convert", str(tmp_path / "pickled"), str(tmp_path / "whole")]) == 0


class Callback:
    """A callback as tutorials of gensim 3 attach it to a model."""


def test_foreign_attributes_of_a_model_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks, functions and instances of missing classes on a model are neither needed nor run."""
    module = ModuleType("gone")
    kind = type("Logger", (), {"__module__": "gone"})
    function = eval("lambda text: 1")  # noqa: S307
    function.__module__, function.__qualname__ = "gone", "hashed"
    vars(module).update(Logger=kind, hashed=function)
    monkeypatch.setitem(sys.modules, "gone", module)
    model = tagged()
    model.callbacks, model.hashfxn = [kind(), Callback()], function
    model.save(str(tmp_path / "model"))
    monkeypatch.delitem(sys.modules, "gone")
    assert main(["convert", str(tmp_path / "model"), str(tmp_path / "out")]) == 0


ODD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    "word2vec's text": (b"2 3\nuno 0.1 -0.2 1e-3\ndue 1 2 3\n", "word2vec's text format"),
    "word2vec's binary": (b"2 3\nuno " + np.ones(3, np.float32).tobytes(), "word2vec's binary format"),
    "zip": (b"PK\x03\x04 and more", "zip archive"),
    "zstd": (b"\x28\xb5\x2f\xfd and more", "zstd -d"),
    "fastText": (b"\xba\x16\x4f\x2f\x0c\0\0\0", "holds a fastText model"),
    "zlib": (b"\x78\x9c and more", "joblib"),
    "joblib": (b"\x80\x04\x8c\x13joblib.numpy_pickle\x8c\x11NumpyArrayWrapper\x93.", "was written by joblib"),
    "array": (b"\x93NUMPY\x01\0", "name the model's own file"),
    "web page": (b"<!doctype html><html>", "web page"),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_file_of_another_kind_is_named_for_what_it_is(kind: str, tmp_path: Path, capsys: Capture) -> None:
    """A file that is no model is one line with its kind and what to do."""
    content, says = ODD[kind]
    (tmp_path / "model").write_bytes(content)
    assert main(["convert", str(tmp_path / "model"), str(tmp_path / "out")]) == 1
    assert says in refusal(capsys, tmp_path)


def test_a_git_lfs_pointer_as_side_array_is_named(tmp_path: Path, capsys: Capture) -> None:
    """A side array that is a Git LFS pointer is named as one."""
    tagged().save(str(tmp_path / "model"), sep_limit=10)
    (tmp_path / "model.syn1neg.npy").write_bytes(ODD["Git LFS pointer"][0])
    assert main(["convert", str(tmp_path / "model"), str(tmp_path / "out")]) == 1
    assert "model.syn1neg.npy: is a Git LFS pointer" in capsys.readouterr().err


def test_an_xz_file_with_a_huge_dictionary_is_refused(tmp_path: Path) -> None:
    """An .xz file whose header asks for 4 GiB to unpack is refused."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**28}]
    (tmp_path / "model").write_bytes(lzma.compress(parity.lee()[0][0].encode(), filters=filters))
    with pytest.raises(ConversionError, match=r"[Mm]emory"):
        load.load(tmp_path / "model")
