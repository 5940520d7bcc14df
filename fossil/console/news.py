"""Announcements to every console, such as that an archive has been written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

BACKLOG = 100
"""Lines that wait for somebody who does not read; more of them are lost for him."""


class News:
    """Who wants to hear."""

    def __init__(self) -> None:
        self._ears: set[trio.MemorySendChannel[str]] = set()

    def tell(self, line: str) -> None:
        """Tells everybody, and waits for nobody."""
        for ear in self._ears:
            try:
                ear.send_nowait(line)
            except trio.WouldBlock:
                continue

    @contextmanager
    def heard(self) -> Iterator[trio.MemoryReceiveChannel[str]]:
        """The lines from now on."""
        ear, lines = trio.open_memory_channel[str](BACKLOG)
        self._ears.add(ear)
        try:
            yield lines
        finally:
            self._ears.remove(ear)
