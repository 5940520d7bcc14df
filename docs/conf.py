"""How sphinx builds the documentation: ``python -m sphinx -W -b html docs build/docs``."""

from importlib.metadata import version as version_of
from typing import Any

project = "ninegrid"
author = "the maintainers of ninegrid"
release = version_of("ninegrid")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "ninegrid"
html_show_sphinx = False


def setup(app: Any) -> None:
    """Called by sphinx."""
    app.connect("autodoc-skip-member", _skips)


def _skips(app: Any, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leaves out the fields of named tuples: the docstring of the class says what they mean."""
    return True if str(getattr(member, "__doc__", "")).startswith("Alias for field number") else None
