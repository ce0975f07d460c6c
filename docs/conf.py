"""Sphinx configuration of the site: `make docs`."""

import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

import paravec_client
from paravec_model import __version__

sys.path.insert(0, str(Path(__file__).parents[1]))
from docs import make_reference

project = "paravec"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# requirements/ and tests/ have no pages; what make_reference.py writes is included by pages of reference/.
exclude_patterns = ["reference/generated"]

# Backticks in docstrings are code.
default_role = "code"
smartquotes = False
autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
napoleon_use_ivar = True

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"paravec {version}"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False


def _public_names_are_documented(_: Sphinx, environment: Any) -> None:
    """A public name of the client that no page of reference/ shows fails the build."""
    known = environment.get_domain("py").objects
    missing = [name for name in paravec_client.__all__ if f"paravec_client.{name}" not in known]
    if missing:
        logging.getLogger(__name__).warning("reference/client-api.md lacks %s", ", ".join(missing))


def _write_reference(_: Sphinx) -> None:
    """Write reference/generated before the pages that include it are read."""
    make_reference.write(Path(__file__).parent / "reference/generated")


def setup(app: Sphinx) -> None:
    """Hook the generator and the check in."""
    app.connect("builder-inited", _write_reference)
    app.connect("env-check-consistency", _public_names_are_documented)
