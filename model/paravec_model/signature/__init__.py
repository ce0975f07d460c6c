"""Signatures of artifacts, as OpenSSF model signing makes them: who signed a model, and which files.

Public: `Verifier` checks an artifact's model.sig against public keys. It needs the package cryptography, which nothing
else here imports.
"""

from .verifier import Verifier

__all__ = ["Verifier"]
