"""The model artifact: a directory of JSON and .npy files that processes map and share.

Public: `Artifact` opens one, `verify` recomputes its hashes, `Manifest` describes it. `writer` makes one.
"""

from .artifact import Artifact, verify
from .manifest import Manifest, read_manifest

__all__ = ["Artifact", "Manifest", "read_manifest", "verify"]
