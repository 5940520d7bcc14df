"""Writes all bytes to a descriptor that may be a pipe or a terminal and takes only some at a time."""

from __future__ import annotations

import os
import select

from ninep.disk.positioned import Data


def write_whole(descriptor: int, data: Data) -> None:
    """Writes all of ``data`` where the descriptor stands, waiting where a non-blocking one is full. Raises OSError."""
    view = memoryview(data).cast("B")
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
