"""Doc2Vec files of older gensims, kept by its tests; `python -m tests.old_models` tells what becomes of them.

gensim 4.4 itself loads none of them. Most bear the version that saved them in their names.
"""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import gensim
import numpy as np

from paravec_model.artifact import Artifact
from paravec_model.convert.export import write_artifact
from paravec_model.convert.gensim_file.load import load
from paravec_model.convert.gensim_model import GensimModel
from paravec_model.encoder import Encoder
from paravec_model.text.tokenizer import SimpleTokenizer

from . import parity

DATA = Path(gensim.__file__).parent / "test/test_data"

NAMED = sorted((DATA / "old_d2v_models").glob("*.mdl"))
LEE = [DATA / "d2v-lee-v0.13.0", DATA / "doc2vec_old", DATA / "doc2vec_old_sep"]
TAGGED = [DATA / "small_tag_doc_5_iter50", DATA / "large_tag_doc_10_iter50"]
FILES = [*NAMED, *LEE, *TAGGED]

_KINDS = {"dbow": "DBOW", "dm_mean": "DM mean", "dm_sum": "DM sum", "dm_concat": "DM concat"}


@dataclass(frozen=True)
class Outcome:
    """What became of a file."""

    file: Path
    artifact: Artifact

    @property
    def versions(self) -> str:
        """By which gensim it was saved, as the file tells."""
        return str(self.artifact.manifest.training["gensim"])

    @property
    def named(self) -> str:
        """By which gensim it was saved, as its name tells, if it does."""
        found = re.search(r"\d+\.\d+\.\d+", self.file.name)
        return found[0] if found else ""

    def is_finite(self) -> bool:
        """Whether a document of words that it knows has a vector that is one."""
        vector = Encoder(self.artifact).encode([list(self.artifact.vocabulary)[:50]]).vectors
        return bool(np.isfinite(vector).all() and vector.any())

    def rank(self) -> int | None:
        """Where among the tags by cosine document 0 of a Lee model comes for its own text, from 1."""
        if self.file not in LEE:
            return None
        vector = Encoder(self.artifact).encode(parity.lee()[:1]).vectors[0]
        tags = np.asarray(self.artifact.arrays["doctag_vectors"])
        near = tags @ vector / np.linalg.norm(tags, axis=1)
        return int((near > near[0]).sum()) + 1

    def row(self) -> str:
        """Its line in the table."""
        manifest, rank = self.artifact.manifest, self.rank()
        algorithm = manifest.algorithm
        output = "hierarchical softmax" if algorithm.hs else f"negative {algorithm.negative}"
        outcome = "infers" if self.is_finite() else "**infers nothing**"
        cells = (
            f"`{self.file.name}`", self.versions, f"{_KINDS[algorithm.mode]}, {output}",
            f"{manifest.vocabulary_size} × {algorithm.vector_size}", f"{manifest.doctag_count}",
            outcome if rank is None else f"{outcome}; document 0 is number {rank} for its text",
        )  # fmt: skip
        return f"| {' | '.join(cells)} |"


def convert(file: Path, output: Path) -> Outcome:
    """Convert one, with its tags, to the new folder."""
    model = load(file)
    write_artifact(
        output, GensimModel(model), name="old", version="1", tokenizer=SimpleTokenizer(), doctags=True,
        training={"gensim": model.gensim},
    )  # fmt: skip
    return Outcome(file, Artifact.open(output))


def table(outcomes: list[Outcome]) -> str:
    """The table in docs/reference/gensim-versions.md."""
    head = ("| file | gensim | kind | words × dimensions | tags | outcome |", "| --- | --- | --- | --- | --- | --- |")
    return "\n".join([*head, *(outcome.row() for outcome in outcomes)]) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(table([convert(file, Path(folder) / file.name) for file in FILES]), end="")
