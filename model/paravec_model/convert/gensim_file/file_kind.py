"""What a file is that is no model: what people take for one, by the first bytes."""

import re

HEAD = 1024
"""Bytes that tell."""

_NOTHING = "nothing can be inferred from them"

_BEGINNINGS = (
    (rb"\Z", "is empty"),
    (rb"version https://git-lfs", "is a Git LFS pointer, not the file itself; fetch that: git lfs pull"),
    (rb"PK\x03\x04", "is a zip archive, not what gensim saved; unpack it first"),
    (rb"\x28\xb5\x2f\xfd", "is compressed with zstd; unpack it first: zstd -d"),
    (rb"\x78[\x01\x5e\x9c\xda]", "is compressed with zlib, as joblib does; load it there, and save it with model.save"),
    (rb"\xba\x16\x4f\x2f", "holds a fastText model: nothing can be inferred from it"),
    (rb"\x93NUMPY", "is an array that gensim saved beside a model; name the model's own file"),
    (rb"\x89HDF", "is an HDF5 file; save the model with model.save of gensim"),
    (rb"\s*<(!DOCTYPE|html)", "is a web page; download the file itself"),
    (rb".{257}ustar", "is a tar archive; unpack it first"),
    (rb"\d+ \d+\s*\n\S+( -?\d[\d.e+-]*)+\s", f"holds word vectors in word2vec's text format: {_NOTHING}"),
    (rb"\d+ \d+\s*\n", f"holds word vectors in word2vec's binary format: {_NOTHING}"),
)
_PATTERNS = [(re.compile(pattern, re.DOTALL | re.IGNORECASE), what) for pattern, what in _BEGINNINGS]

_WRITERS = ("cloudpickle", "dill", "joblib")


def kind_of(head: bytes) -> str | None:
    """What a file is that begins with these bytes, and what to do; None if that cannot be told."""
    return next((what for pattern, what in _PATTERNS if pattern.match(head)), None)


def writer_of(name: str) -> str | None:
    """What wrote a pickle that asks for this name, if that writes pickles of its own kind."""
    return next((writer for writer in _WRITERS if name.startswith((f"{writer}.", f"_{writer}."))), None)
