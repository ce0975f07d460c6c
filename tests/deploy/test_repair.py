"""The table of repairs quotes what the programs print, and names objects that exist."""

import re

from .manifests import KUSTOMIZE, ROOT

PAGE = "docs/how-to/deploy-on-kubernetes.md"
TABLE = (ROOT / PAGE).read_text().partition("## Repair\n")[2].partition("\n### ")[0]


def test_quoted_lines_are_those_of_install_model() -> None:
    """Each part of a quoted line is in the scripts of the model image."""
    scripts = "".join(path.read_text() for path in sorted((ROOT / "model/image").glob("**/install-model*/*.sh")))
    scripts += (ROOT / "model/image/install-model").read_text()
    quoted = re.findall(r"`(?:install-model: )?\.\.\. ([^`]+)`", TABLE)
    assert len(quoted) == 5
    assert [part for line in quoted for part in line.split("...") if part.strip() not in scripts] == []


def test_named_secrets_are_those_of_components() -> None:
    """Each Secret and ConfigMap that an operator is told to make is mounted by a component."""
    mounted = "".join(path.read_text() for path in (KUSTOMIZE / "components").rglob("kustomization.yaml"))
    (row,) = (line for line in TABLE.splitlines() if "FailedMount" in line)
    names = re.findall(r"`(paravec-[a-z-]+)`", row)
    assert len(names) == 3
    assert all(re.search(rf"(?:secretName|name): {name}$", mounted, re.MULTILINE) for name in names)
