"""The model artifact: a directory of JSON and .npy files that processes map into memory and share.

Public: `Artifact` opens one, `verify` checks it with its hashes, `Manifest` describes it. `arrays` lists the .npy
files, `writer` writes the files.
"""

from .artifact import Artifact, verify
from .manifest import Manifest, read_manifest

__all__ = ["Artifact", "Manifest", "read_manifest", "verify"]
