"""Where tests put what they sync many times and need not keep."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = "/dev/shm"


def quick_directory() -> Path:
    """A new directory in memory where the system has a place for that; whoever asks removes it."""
    return Path(tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else None))


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """The same for one test."""
    path = quick_directory()
    yield path
    shutil.rmtree(path)
