"""A bill of materials (CycloneDX) of a model: what it is and the SHA-256 of each of its files, from its manifest.

python -m release.model_sbom build/models/lee >model.cdx.json
"""

import sys
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType

from paravec_model.artifact import Manifest, read_manifest

from .sbom import document, text


def bill(manifest: Manifest) -> Bom:
    """The bill of the model that a manifest describes."""
    subject = Component(
        name=manifest.name,
        version=manifest.version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=manifest.digest,
        properties=[Property(name="paravec:model:digest", value=manifest.digest)],
    )
    return document(
        subject,
        [
            Component(
                name=name,
                type=ComponentType.FILE,
                bom_ref=name,
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=entry.sha256)],
            )
            for name, entry in sorted(manifest.files.items())
        ],
    )


if __name__ == "__main__":
    sys.stdout.write(text(bill(read_manifest(Path(sys.argv[1])))))
