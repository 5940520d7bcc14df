"""The cache asks its file server in 9P2000; its own clients may speak any dialect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contracts.behind_cache import cached
from contracts.served_dialects import OWNER, EveryDialectContract
from ninep.files import FileTree
from ninep.ramfs import RamTree


class TestCachedTreeInEveryDialect(EveryDialectContract):
    @pytest.fixture(autouse=True)
    def cache_directory(self, tmp_path: Path) -> None:
        self.path = tmp_path / "cache"

    @asynccontextmanager
    async def tree(self) -> AsyncIterator[FileTree]:
        async with cached(RamTree(OWNER), self.path, trust=0.0) as seen:
            yield seen
