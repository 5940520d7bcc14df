"""The page of differences names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/fossil-differences.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| the original |")]
NAMED = sorted(set(re.findall(r"`(tests/\S+?)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_of_that_name_exists(path: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)


def test_each_line_has_one() -> None:
    assert len(ROWS) > 40
    assert [row for row in ROWS if "`tests/" not in row] == []
