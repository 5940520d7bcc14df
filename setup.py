"""Builds with manual pages and completions, which are made from the parsers; all else stands in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from grid.pages import write_pages  # noqa: E402 which is found only then

PLACE = Path("build")
files: dict[str, list[str]] = {}
for path in write_pages(PLACE):
    files.setdefault(str(path.parent), []).append(str(PLACE / path))
setup(data_files=sorted(files.items()))
