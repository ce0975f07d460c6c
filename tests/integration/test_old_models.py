"""Doc2Vec files of gensim 0.12 to 3.8, by those that gensim's own tests keep, and what else gensim writes."""

import argparse
import bz2
import datetime
import gzip
import lzma
import shutil
import uuid
import zlib
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from typing import Any

import gensim
import numpy as np
import pytest
from gensim.models.doc2vec import Doc2Vec, TaggedDocument
from gensim.models.keyedvectors import KeyedVectors

from paravec_model.artifact import Artifact
from paravec_model.cli.main import main
from paravec_model.convert.gensim_file import load, unpickler
from paravec_model.convert.gensim_file.allowed_globals import ALLOWED_GLOBALS, AllowedGlobal
from paravec_model.encoder import Encoder
from paravec_model.errors import ConversionError, UnsafePickleError

from .. import old_models, parity

PAGE = Path(__file__).parents[2] / "docs/reference/gensim-versions.md"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, old_models.Outcome]:
    """All 26 files, converted."""
    folder = tmp_path_factory.mktemp("old")
    return {file.name: old_models.convert(file, folder / file.name) for file in old_models.FILES}


def test_all_old_files_convert_as_the_docs_say(outcomes: dict[str, old_models.Outcome]) -> None:
    """All 26 files convert, and the page has the table that `python -m tests.old_models` prints."""
    assert len(outcomes) == 26
    assert old_models.table(list(outcomes.values())) in PAGE.read_text()


def test_each_old_model_infers_finite_vectors(outcomes: dict[str, old_models.Outcome]) -> None:
    """A document of the model's words gets a finite vector that is not zero."""
    assert [name for name, outcome in outcomes.items() if not outcome.is_finite()] == []


def test_a_lee_model_finds_document_0_by_its_text(outcomes: dict[str, old_models.Outcome]) -> None:
    """Its tag is among the nearest three; first, but for the model of ten dimensions and five epochs."""
    ranks = {file.name: outcomes[file.name].rank() for file in old_models.LEE}
    assert ranks.pop("d2v-lee-v0.13.0") in (1, 2, 3)
    assert set(ranks.values()) == {1}


def test_the_detected_gensim_version_matches_the_file_name(outcomes: dict[str, old_models.Outcome]) -> None:
    """The range of versions detected from a file includes the version in its name."""

    def number(version: str) -> tuple[int, ...]:
        return tuple(int(part) for part in version.split("."))

    named = [outcome for outcome in outcomes.values() if outcome.named]
    assert len(named) == 22
    for outcome in named:
        first, _, last = outcome.versions.partition(" to ")
        version = number(outcome.named)
        assert number(first) <= version[: len(number(first))], outcome
        assert version[: len(number(last or first))] <= number(last or first), outcome


def test_the_installed_gensim_loads_none_of_them() -> None:
    """gensim itself fails on all files; when it no longer does, the page must change."""
    for file in old_models.FILES:
        with pytest.raises(AttributeError):
            Doc2Vec.load(str(file))


@pytest.mark.parametrize("file", [old_models.NAMED[0], *old_models.LEE[:2], old_models.TAGGED[0]], ids=lambda f: f.name)
def test_converting_again_gives_the_same_bytes(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the time of making, which SOURCE_DATE_EPOCH sets."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    first, second = (old_models.convert(file, tmp_path / name).artifact.path for name in ("first", "second"))
    for made in sorted(first.iterdir()):
        assert (second / made.name).read_bytes() == made.read_bytes(), made.name


def revived(old: SimpleNamespace) -> Doc2Vec:
    """A model of the installed gensim with the matrices of an old one."""
    negative, hs = int(old.negative), int(old.hs)
    model = Doc2Vec(
        dm=1 - old.sg, dm_concat=old.dm_concat, vector_size=old.vector_size, window=old.window, hs=hs,
        negative=negative, sample=old.sample, epochs=old.epochs, alpha=old.alpha, min_alpha=old.min_alpha, min_count=1,
    )  # fmt: skip
    model.cbow_mean = old.cbow_mean
    words, expandos = old.wv.index_to_key, old.wv.expandos
    model.wv = KeyedVectors(old.vector_size)
    model.wv.add_vectors(words, old.wv.vectors.array())
    model.dv = KeyedVectors(old.vector_size)
    for name, values in expandos.items():
        if values.dtype == object:
            for row, path in enumerate(values):
                values[row] = path.array()
        model.wv.expandos[name] = values
    model.wv.vectors_lockf = np.ones(1, np.float32)
    for name in ("syn1", "syn1neg"):
        if (array := getattr(old, name, None)) is not None:
            setattr(model, name, array.array().copy())
    model.layer1_size = old.layer1_size
    if negative:
        model.make_cum_table()
    return model


@pytest.mark.parametrize(
    "name", ["d2v_0.12.4.mdl", "d2v_3.4.0.mdl", "doc2vec_old", "d2v-lee-v0.13.0", "small_tag_doc_5_iter50"]
)
def test_vectors_are_those_of_gensim_with_the_same_matrices(name: str, outcomes: dict[str, old_models.Outcome]) -> None:
    """With an old model's matrices put into a new one, gensim infers what we infer from the file."""
    outcome = outcomes[name]
    texts = [[*outcome.artifact.vocabulary][:3], *parity.documents(15)]
    difference = parity.largest_difference(revived(load.load(outcome.file)), outcome.artifact, texts)
    assert difference <= parity.LIMIT


def test_a_stored_noise_distribution_equals_the_computed_one(outcomes: dict[str, old_models.Outcome]) -> None:
    """The cum_table that gensim 3.3 and 3.4 stored equals the one computed from the counts."""
    for name in ("d2v_3.3.0.mdl", "d2v_3.4.0.mdl"):
        stored = load.load(outcomes[name].file).cum_table.array()
        assert (stored == outcomes[name].artifact.arrays["cum_table"]).all()


def test_a_sampling_threshold_of_2_32_is_clamped(outcomes: dict[str, old_models.Outcome]) -> None:
    """An old threshold of 2^32, which means always keep, becomes the largest 32-bit number."""
    thresholds = outcomes["doc2vec_old"].artifact.arrays["sample_int"]
    assert (thresholds == 2**32 - 1).sum() > 3000
    assert thresholds.min() > 0


@pytest.fixture(scope="module")
def new_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What the installed gensim writes: each protocol; a parameter that was numpy's, one word and no tag, and more."""
    folder = tmp_path_factory.mktemp("new")
    model = parity.train(vector_size=4, epochs=1, dm=1, hs=1)
    files = [folder / f"protocol {protocol}" for protocol in range(6)]
    for protocol, file in enumerate(files):
        model.save(str(file), pickle_protocol=protocol)
    single = Doc2Vec(min_count=1, ns_exponent=np.float64(0.5))
    single.build_vocab_from_freq({"one": 1}, corpus_count=1)
    single.save(str(folder / "single"), pickle_protocol=2)
    np.save(folder / "mapped.npy", model.syn1)
    hung = [folder / f"hung {protocol}" for protocol in (0, 1, 2, 4)]
    for protocol, file in zip((0, 1, 2, 4), hung, strict=True):
        vars(single).update(mapped=np.load(folder / "mapped.npy", "r"), hung=HUNG)
        single.save(str(file), pickle_protocol=protocol)
    return [*files, folder / "single", *hung]


# What people hang on a model: none of it is needed, all of it is passed over.
HUNG = [
    argparse.Namespace(a=1), bytearray(b"a"), 1j, range(3), {1, "a"}, Counter("aab"), OrderedDict(a=1), deque([1], 5),
    datetime.date(2020, 1, 2), datetime.datetime.now(datetime.UTC), datetime.time(1), datetime.timedelta(1),
    Decimal("1.5"), Fraction(1, 3), TaggedDocument(["a"], ["b"]), Path("a"), PurePosixPath("a"), PureWindowsPath("a"),
    SimpleNamespace(a=1), uuid.UUID(int=2**127), zlib.adler32, zlib.crc32, *map(defaultdict, (dict, float, list, str)),
    np.array(["a", "b"]), np.array(["2020-01-01"], "M8[D]"), np.datetime64("2020-01-01"), np.str_("a"), np.bytes_(b"a"),
    2**40, -(2**100), 0.5, frozenset("a"), "ä", None, True,
]  # fmt: skip


@pytest.fixture(scope="module")
def needs(new_files: list[Path]) -> dict[Path, set[str]]:
    """The names that each file asks for."""
    found: dict[Path, set[str]] = {}
    for file in [*old_models.FILES, *new_files]:
        asked: set[str] = set()

        def resolve(name: str, asked: set[str] = asked) -> AllowedGlobal:
            asked.add(name)
            return ALLOWED_GLOBALS[name]

        with file.open("rb") as opened:
            unpickler.unpickle(unpickler.BoundedFile(opened, file.stat().st_size), resolve)
        found[file] = asked
    return found


@pytest.mark.parametrize("name", ALLOWED_GLOBALS)
def test_every_allowed_name_is_needed_by_a_file(
    name: str, needs: dict[Path, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any one name of the allow list, some file of gensim cannot be read."""
    if name == "pathlib.WindowsPath":
        pytest.skip("only Python on Windows makes it")
    file = next(file for file, asked in needs.items() if name in asked)
    load.load(file)
    monkeypatch.delitem(ALLOWED_GLOBALS, name)
    with pytest.raises(UnsafePickleError, match=name.replace(".", r"\.")):
        load.load(file)


@pytest.mark.parametrize("instruction", unpickler.INSTRUCTIONS)
def test_every_known_instruction_is_needed_by_a_file(
    instruction: str, new_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any one pickle instruction, some file of gensim cannot be read."""
    if instruction == "BINBYTES8":
        pytest.skip("gensim writes it for an array of more than 4 GiB in the pickle only")
    known = {name: do for name, do in unpickler.INSTRUCTIONS.items() if name != instruction}
    monkeypatch.setattr(unpickler, "INSTRUCTIONS", known)
    files = [*new_files[::-1], old_models.NAMED[0], *old_models.LEE]

    def is_read(file: Path) -> bool:
        try:
            load.load(file)
        except ConversionError as error:
            assert instruction in str(error)
            return False
        return True

    assert not all(is_read(file) for file in files)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_file_is_read_whatever_its_name(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """gzip, bzip2 and xz are detected by content."""
    file = tmp_path / "packed"
    file.write_bytes(pack(old_models.LEE[0].read_bytes()))
    assert load.load(file).wv.index_to_key == load.load(old_models.LEE[0]).wv.index_to_key


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_gensims_compressed_files_are_read_with_their_side_arrays(suffix: str, tmp_path: Path) -> None:
    """gensim's .gz and .bz2 with .npz side arrays, and .xz with .npy, convert."""
    model = parity.train(vector_size=10, epochs=2, dm=1)
    model.save(str(tmp_path / f"model.{suffix}"), sep_limit=100)
    assert (tmp_path / f"model.{suffix}.syn1neg.{'npy' if suffix == 'xz' else 'npz'}").exists()
    assert main(["convert", str(tmp_path / f"model.{suffix}"), str(tmp_path / "converted"), "--doctags"]) == 0
    artifact = Artifact.open(tmp_path / "converted")
    assert (artifact.arrays["syn1neg"][:, :10] == model.syn1neg).all()
    assert parity.largest_difference(model, artifact, parity.documents(15)) <= parity.LIMIT


def test_a_missing_side_array_of_an_old_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that inference needs is; one that only training needed is not missed."""
    for file in DATA_SEPARATE:
        shutil.copy(file, tmp_path)
    (tmp_path / "doc2vec_old_sep.syn0_lockf.npy").unlink()
    assert main(["convert", str(tmp_path / "doc2vec_old_sep"), str(tmp_path / "a")]) == 0
    (tmp_path / "doc2vec_old_sep.syn1neg.npy").unlink()
    assert main(["convert", str(tmp_path / "doc2vec_old_sep"), str(tmp_path / "b")]) == 1
    assert "doc2vec_old_sep.syn1neg.npy: is missing" in capsys.readouterr().err


DATA_SEPARATE = sorted(old_models.DATA.glob("doc2vec_old_sep*"))


@pytest.mark.parametrize("keep_inference", [True, False])
def test_a_model_without_training_state_converts_if_it_can_infer(
    keep_inference: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After gensim 3's delete_temporary_training_data a model converts, unless its output weights are gone."""
    data = bytearray(old_models.NAMED[-1].read_bytes())
    lost = [b"vectors_docs_lockf", b"vectors_lockf", b"vectors_docs", *([] if keep_inference else [b"syn1neg"])]
    for name in lost:
        # Text of protocol 2: its length, then itself. Under another name, gensim does not find it any more.
        text = b"X" + len(name).to_bytes(4, "little") + name
        assert text in data
        data = data.replace(text, text[:5] + b"_" * len(name))
    (tmp_path / "trimmed").write_bytes(data)
    status = main(["convert", str(tmp_path / "trimmed"), str(tmp_path / "converted")])
    if keep_inference:
        assert status == 0
        assert main(["convert", str(tmp_path / "trimmed"), str(tmp_path / "with tags"), "--doctags"]) == 1
        assert "its tags' vectors are lost; leave out --doctags" in capsys.readouterr().err
        assert Encoder(Artifact.open(tmp_path / "converted")).encode([["first", "second"]]).vectors.any()
    else:
        assert status == 1
        assert "has no syn1neg" in capsys.readouterr().err


class Derived(Doc2Vec):  # type: ignore[misc]
    """A class that a user derived from gensim's."""


def test_a_derived_class_must_be_allowed_by_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A class derived from Doc2Vec is refused with the flag that allows it, and never instantiated."""
    made: Any = Derived(vector_size=4, min_count=1, dm=0, epochs=1)
    made.build_vocab([TaggedDocument(["one", "two"], ["a"])])
    made.save(str(tmp_path / "own"))
    name = f"{Derived.__module__}.Derived"
    assert main(["convert", str(tmp_path / "own"), str(tmp_path / "out")]) == 1
    assert f"--allow-class {name}" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "own"), str(tmp_path / "out"), "--allow-class", name]) == 0
    assert Artifact.open(tmp_path / "out").manifest.training["gensim"] == gensim.__version__


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("word2vec_old", "gensim.models.word2vec.Word2Vec"),
        ("word2vec_3.3", "gensim.models.word2vec.Word2Vec"),
        ("model-from-gensim-3.8.0.w2v", "gensim.models.word2vec.Word2Vec"),
        ("lee_fasttext", "gensim.models.wrappers.fasttext.FastText"),
        ("old_keyedvectors_320.dat", "gensim.models.keyedvectors.EuclideanKeyedVectors"),
    ],
)
def test_another_kind_of_gensim_model_is_refused(
    name: str, held: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files of gensim's other models, old and new, are refused with their class."""
    assert main(["convert", str(old_models.DATA / name), str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert f"holds a {held}, " in error
    assert "nothing can be inferred from it" in error
    assert error.count("\n") == 1


def test_unusable_learning_rates_can_be_replaced_by_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model with invalid learning rates converts when flags give valid ones, which are checked."""
    model = parity.train(vector_size=4, epochs=2, dm=0)
    for alpha, min_alpha, flags in (
        (2.5, 0.1, ["--infer-alpha", "0.05", "--infer-min-alpha", "0.001"]),
        (0.01, 0.05, ["--infer-min-alpha", "0.001"]),
        (0.01, 0.05, ["--infer-alpha", "0.1"]),
    ):
        model.alpha, model.min_alpha = alpha, min_alpha
        model.save(str(tmp_path / "model"))
        output = tmp_path / " ".join(flags)
        assert main(["convert", str(tmp_path / "model"), str(output), "--name", "a"]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"paravec-model: {tmp_path / 'model'}: the model was left with ")
        assert "--infer-" in error
        assert error.count("\n") == 1
        assert main(["convert", str(tmp_path / "model"), str(output), "--name", "a", *flags]) == 0
        assert Artifact.open(output).manifest.defaults.alpha <= 1
