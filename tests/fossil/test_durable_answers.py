"""With ``--durable`` an answer that promises something waits until that is in the database, whatever others meet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fossil.files.attach import FossilTree
from ninep.protocol.errors import FileSystemFull


class Busy:
    """A file system in which, while the first sync runs, others write, and fail to get all of it into the database."""

    def __init__(self) -> None:
        self.dirty = self.durable = True
        self.log: Any = SimpleNamespace(tail=0, sync=self._sync)
        self.writer = SimpleNamespace(flush=lambda: None)
        self.commits = 0

    def _sync(self) -> None:
        if not self.log.tail:
            self.log.tail = 1
            # What is left waits for the next commit, and is not counted as dirty any more.
            self.dirty = False

    def commit(self) -> None:
        self.commits += 1
        raise FileSystemFull


async def test_what_another_failed_to_commit_is_not_answered_as_if_it_were() -> None:
    system: Any = Busy()
    waiting = FossilTree(system, SimpleNamespace()).commit()
    assert waiting is not None
    with pytest.raises(FileSystemFull):
        await waiting
    assert system.commits == 1
