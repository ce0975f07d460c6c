"""A software bill of materials (CycloneDX) of the server's image: paravec, and what its lock installs.

    python -m release.sbom requirements/server.lock dist/paravec-server-0.1.0.cdx.json

The system packages of the base image are not in it. The same lock and SOURCE_DATE_EPOCH give the same bytes.
"""

import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.this.builders import this_component
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

from paravec_model import __version__

DOCKERFILE = Path(__file__).parents[1] / "server/Dockerfile"


def python_version() -> str:
    """The Python of the image."""
    (version,) = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    return str(version)


def locked(lock: str, python: str) -> Iterator[tuple[str, str]]:
    """Name and version of each package that a lock installs on Linux with this Python."""
    image = {"sys_platform": "linux", "python_version": python, "python_full_version": f"{python}.0"}
    for line in re.findall(r"^[\w.-]+==.*?(?= *\\?$)", lock, re.MULTILINE):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(image):
            (specifier,) = requirement.specifier
            yield requirement.name, specifier.version


def component(name: str, version: str, kind: ComponentType = ComponentType.LIBRARY) -> Component:
    """A package of Python's index."""
    url = PackageURL("pypi", name=name, version=version)
    return Component(type=kind, name=name, version=version, purl=url, bom_ref=url.to_string())


def bill(lock: str) -> Bom:
    """The bill of materials of an image that the lock is installed into."""
    ours = component("paravec", __version__, ComponentType.APPLICATION)
    parts = [component(*package) for package in locked(lock, python_version())]
    since = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    made = Bom(
        components=parts,
        metadata=BomMetaData(component=ours, timestamp=since),
        # The same for the same content.
        serial_number=uuid5(NAMESPACE_URL, f"{ours.purl} {lock}"),
    )
    made.metadata.tools.components.add(this_component())
    made.register_dependency(ours, parts)
    return made


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(JsonV1Dot6(bill(source.read_text())).output_as_string(indent=2) + "\n")
