"""A tree looks the same through the cache."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contracts.behind_cache import cached
from contracts.served_file import OWNER, ServedTreeContract
from ninep.files import FileTree
from ninep.ramfs import RamTree


class TestCachedRamfs(ServedTreeContract):
    @pytest.fixture(autouse=True)
    def cache_directory(self, tmp_path: Path) -> None:
        self.path = tmp_path / "cache"

    @asynccontextmanager
    async def tree(self) -> AsyncIterator[FileTree]:
        async with cached(RamTree(OWNER), self.path) as tree:
            yield tree
