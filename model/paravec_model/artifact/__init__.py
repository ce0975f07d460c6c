"""The model artifact: a directory of JSON and .npy files that processes map into memory and share.

Public: `Artifact` opens one, `verify` checks it with its hashes, `Manifest` and in it `IndexedDocuments` describe it.
`arrays` lists the .npy files, `writer` writes the files.
"""

from .artifact import Artifact, verify
from .manifest import IndexedDocuments, Manifest, read_manifest

__all__ = ["Artifact", "IndexedDocuments", "Manifest", "read_manifest", "verify"]
