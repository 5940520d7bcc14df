"""Plain words: what a reader meets first, module heads and pages, is written in the field's words."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INSTEAD = {
    r"anew": "again; rebuild, reopen, restart",
    r"(?:is|are|was|were|be) had": "name what is received, fetched or held",
    r"told of": "reported, logged, described",
    r"who only asked": "read-only requests",
    r"bereft": "without a fid",
    r"is of no avail|comes to naught": "fails",
}
"""Private words and what to write."""
PRIVATE = re.compile(rf"\b(?:{'|'.join(INSTEAD)})\b", re.IGNORECASE)
MODULES = sorted(path for package in ("ninep", "venti", "fossil", "cfs") for path in (ROOT / package).rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def private_words(text: str) -> list[str]:
    """Those of a text, code left out; a line's end counts as a blank."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return PRIVATE.findall(" ".join(re.sub(r"`+[^`]*`+", "", text).split()))


@pytest.mark.parametrize("path", [*MODULES, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_words(path: Path) -> None:
    text = path.read_text()
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text)) or ""
        assert text, "a module says in its first line what it is for"
    assert not private_words(text), INSTEAD


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The index is made anew.", ["anew"]),
        ("What cannot be\nhad again", ["be had"]),
        ("He was told of it.", ["told of"]),
        ("```\nanew\n```\nand `made anew`", []),
        ("A renewal of what they had", []),
    ],
)
def test_code_and_other_words_are_left_alone(text: str, found: list[str]) -> None:
    assert private_words(text) == found
