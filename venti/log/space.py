"""Watches disk space: a store on a full disk refuses new blocks, and takes them again when there is room."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

from venti.log.files import ArenaFolder

log = logging.getLogger(__name__)

RESERVE = 64 * 1024 * 1024
"""Bytes of the disk that are left alone, so that what was taken can always be indexed and sealed."""
PATIENCE = 1.0
"""Seconds between two looks whether there is room again."""
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def is_full(error: OSError) -> bool:
    """Whether an error says that the disk, or our share of it, is full."""
    return error.errno in _FULL


class Space:
    """The room on the disk of ``folder``. ``now`` gives seconds of any clock that never goes back."""

    def __init__(self, folder: ArenaFolder, *, reserve: int, now: Callable[[], float]) -> None:
        self._folder = folder
        self._reserve = reserve
        self._now = now
        self._taken = 0
        self._next_look = now()
        self.full = False
        self.took(reserve)

    def allows(self) -> bool:
        """Whether a new block may be tried."""
        if not self.full:
            return True
        if self._now() < self._next_look:
            return False
        self._next_look = self._now() + PATIENCE
        return self._free() >= self._reserve

    def took(self, size: int) -> None:
        """So many bytes found room."""
        self._taken += size
        if self.full or self._taken >= self._reserve // 4:
            self._taken = 0
            if self._free() < self._reserve:
                self.ended("the disk is almost full")
            elif self.full:
                self.full = False
                log.warning("there is room on the disk again: new blocks are taken")

    def ended(self, reason: str) -> None:
        """There is no room: nothing new is tried for a while."""
        self._next_look = self._now() + PATIENCE
        if not self.full:
            self.full = True
            log.warning(
                "%s: the store is read-only until there is room; reads, and writes of blocks that are there, go on",
                reason,
            )

    def _free(self) -> int:
        try:
            return self._folder.free()
        except OSError as error:
            log.warning("cannot see how much room there is: %s", error)
            return self._reserve
