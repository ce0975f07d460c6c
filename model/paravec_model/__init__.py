"""Doc2Vec models: artifacts, tokenizers, inference, training and conversion. No protocols: no protobuf, no gRPC.

`load` opens a model in this process::

    import paravec_model

    model = paravec_model.load("models/lee")
    model.embed("bushfires near Sydney")    # float32, (vector_size,)
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import Model
    from .options import Method

__version__ = "0.1.0"


def load(
    path: str | Path, *, method: "Method | None" = None, verify: bool = False, threads: int | None = None
) -> "Model":
    """Open the artifact at `path` in this process.

    `method` replaces the model's default method. `verify` reads every file and checks its hash. `threads`: how many
    infer the documents of one call; None for one per CPU of this process.

    Raises ArtifactError if there is no artifact or it is damaged, OptionError if the model does not support the method.
    """
    # The other modules import this one for the version; numpy and the kernels are not needed for that.
    from .artifact import Artifact
    from .encoder import Encoder
    from .model import Model

    return Model(Encoder(Artifact.open(path, verify=verify), method), threads)
