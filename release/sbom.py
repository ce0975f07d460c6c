"""A software bill of materials (CycloneDX) of an image, from what is installed in its file system.

    python -m release.sbom NAME /image pip-report.json... >NAME.cdx.json

It lists the Python packages with their licences, Python itself, and the packages of a Debian base. The hashes of wheels
are in the reports of `pip install --report`. The same files and SOURCE_DATE_EPOCH give the same bytes.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email import message_from_string
from importlib.metadata import Distribution, distributions
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.contrib.this.builders import this_component
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License, LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# The distribution that the image is for: its version is the image's.
OURS = "paravec"


def component(kind: str, name: str, version: str, group: str | None = None, **facts: object) -> Component:
    """A package of an index: `kind` is the type in its package URL."""
    qualifiers = facts.pop("qualifiers", None)
    url = PackageURL(kind, group, name, version, qualifiers)  # type: ignore[arg-type]
    return Component(name=name, version=version, purl=url, bom_ref=url.to_string(), **facts)  # type: ignore[arg-type]


def licences(found: Distribution) -> list[License]:
    """The licences that a distribution declares: an SPDX expression, else the names that it gives."""
    classifiers = found.metadata.get_all("Classifier") or []
    names = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    given = [*(found.metadata.get_all("License-Expression") or []), *(found.metadata.get_all("License") or [])]
    # Some give the whole text of a licence in place of its name.
    chosen = given[:1] if given and "\n" not in given[0] else names
    make = LicenseFactory().make_from_string
    return [make(name, license_acknowledgement=LicenseAcknowledgement.DECLARED) for name in chosen]


def requirements(found: Distribution) -> Iterator[str]:
    """Names that a distribution may require, with any of its extras."""
    extras = ["", *(found.metadata.get_all("Provides-Extra") or [])]
    for requirement in map(Requirement, found.requires or []):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield canonicalize_name(requirement.name)


def wheel_hashes(reports: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of the wheel that pip installed, by the name of the distribution."""
    installed = [item for report in reports for item in json.loads(report.read_text())["install"]]
    return {
        canonicalize_name(item["metadata"]["name"]): item["download_info"]["archive_info"]["hashes"]["sha256"]
        for item in installed
    }


def python_packages(folder: Path, hashes: dict[str, str]) -> Iterator[tuple[Component, list[Component]]]:
    """Each distribution installed in a folder, with those of the folder that it requires."""
    found = {canonicalize_name(one.metadata["Name"]): one for one in distributions(path=[str(folder)])}
    parts: dict[str, Component] = {
        name: component(
            "pypi",
            name,
            one.version,
            licenses=licences(one),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hashes[name])] if name in hashes else [],
        )
        for name, one in found.items()
    }
    for name, one in sorted(found.items()):
        yield parts[name], [parts[other] for other in requirements(one) if other in parts]


def python_itself(image: Path) -> Iterator[Component]:
    """The interpreter, as the virtual environments in the image name it."""
    for settings in sorted(image.glob("opt/*/pyvenv.cfg")):
        (version,) = re.findall(r"^version = (\S+)$", settings.read_text(), re.MULTILINE)
        cpe = f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"
        yield component("generic", "python", version, type=ComponentType.PLATFORM, cpe=cpe)


def system_packages(image: Path) -> Iterator[Component]:
    """The operating system, and what dpkg's database says is installed; nothing of another system's packages."""
    release = image / "etc/os-release"
    lines = release.read_text().splitlines() if release.exists() else []
    facts = {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
    if "ID" not in facts:
        return
    system, version = facts["ID"], facts.get("VERSION_ID", "")
    yield Component(name=system, version=version, type=ComponentType.OPERATING_SYSTEM, bom_ref=f"{system}-{version}")
    status = image / "var/lib/dpkg/status"
    for paragraph in status.read_text().split("\n\n") if status.exists() else []:
        package = message_from_string(paragraph.lstrip())
        if package["Status"] == "install ok installed":
            qualifiers = {"arch": package["Architecture"], "distro": f"{system}-{version}"}
            yield component("deb", package["Package"], package["Version"], system, qualifiers=qualifiers)


def document(subject: Component, parts: list[Component]) -> Bom:
    """A bill of what `subject` is made of, with the time of the commit and a serial number that follows the content."""
    since = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    content = sorted(f"{part.bom_ref} {[one.content for one in part.hashes]}" for part in parts)
    made = Bom(
        components=parts,
        metadata=BomMetaData(component=subject, timestamp=since),
        serial_number=uuid5(NAMESPACE_URL, f"{subject.bom_ref} {since} {content}"),
    )
    made.metadata.tools.components.add(this_component())
    made.register_dependency(subject, parts)
    return made


def bill(name: str, image: Path, reports: Iterable[Path]) -> Bom:
    """The bill of the image whose file system is at `image`."""
    ours = image / "opt"
    hashes = wheel_hashes(reports)
    # In the base there may be another distribution of a name of ours. One of the same version is listed once.
    packages: dict[str, tuple[Component, list[Component]]] = {}
    for folder in sorted({metadata.parent for metadata in image.rglob("*.dist-info")}):
        for part, required in python_packages(folder, hashes if folder.is_relative_to(ours) else {}):
            packages.setdefault(str(part.purl), (part, required))
    (version,) = {part.version for part, _ in packages.values() if part.name == OURS}
    subject = Component(name=name, version=version, type=ComponentType.CONTAINER, bom_ref=f"{name}-{version}")
    made = document(subject, [*(p for p, _ in packages.values()), *python_itself(image), *system_packages(image)])
    for part, required in packages.values():
        made.register_dependency(part, required)
    return made


def text(made: Bom) -> str:
    """The bill as JSON."""
    return str(JsonV1Dot6(made).output_as_string(indent=2)) + "\n"


if __name__ == "__main__":
    name, image, *reports = sys.argv[1:]
    sys.stdout.write(text(bill(name, Path(image), map(Path, reports))))
