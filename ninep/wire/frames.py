"""Cuts a byte stream into frames, for every protocol with a length prefix. Pure.

Received chunks are kept as immutable ``bytes`` and frames are handed out as views of them, so that a payload is
never copied here unless its frame spans two chunks. A ``bytearray`` could not do that: Python refuses to resize
one while a view of it lives.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

from ninep.net.errors import Malformed, TooLong

MANY = 64
"""Pieces of a frame that are joined when they are small, before the frame is whole."""
SMALL = 4096


class FrameFormat(NamedTuple):
    """How a protocol delimits its messages.

    Attributes:
        prefix: the length field, for example ``Struct("<I")``.
        inclusive: whether the length counts the prefix itself.
        smallest: the least number of bytes that may follow the prefix.
    """

    prefix: Struct
    inclusive: bool
    smallest: int


class FrameBuffer:
    """Bytes in, frames out.

    ``limit`` is the largest frame accepted, prefix included; it may be changed at any time and holds for frames
    that have not been cut yet. The first chunk may hold lines before the first frame: see ``take_line``.
    """

    def __init__(self, format: FrameFormat, limit: int) -> None:
        self.format = format
        self.limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._need = 0
        self._small = 0

    @property
    def wanted(self) -> int:
        """How many bytes are missing to the end of the frame under way, as far as that is known."""
        return max(0, self._need - self._size)

    def feed(self, data: bytes) -> None:
        """Adds received bytes. Costs nothing until ``frames`` or ``take_line`` is called."""
        self._parts.append(data)
        self._size += len(data)
        self._small = self._small + 1 if len(data) < SMALL else 0
        if self._small >= MANY:
            # Somebody sends a few bytes at a time: an object for each would take many times what they take.
            self._small = 0
            self._parts[-MANY:] = [b"".join(self._parts[-MANY:])]

    def take_line(self, limit: int) -> bytes | None:
        r"""Takes one line, without its newline, from the front; None if it is not whole yet.

        Raises:
            TooLong: no newline within ``limit`` bytes.
        """
        data = self._join()
        end = data.find(b"\n", 0, limit + 1)
        if end < 0:
            if len(data) > limit:
                raise TooLong(len(data), limit)
            return None
        self._keep(data[end + 1 :])
        return data[:end]

    def frames(self) -> list[memoryview]:
        """Every whole frame in hand, without its prefix; call again until the list is empty.

        A bad prefix is reported only after the good frames before it have been handed out.

        Raises:
            TooLong: the next frame exceeds the limit.
            Malformed: the next frame is shorter than any message.
        """
        if self._size < self._need or not self._size:
            return []
        found, at = self._straddling()
        data = self._join()
        view = memoryview(data)
        unpack: Callable[[bytes, int], tuple[int]] = self.format.prefix.unpack_from
        head = self.format.prefix.size
        extra = 0 if self.format.inclusive else head
        least, limit = head + self.format.smallest, self.limit
        end = len(data)
        self._need = head
        while end - at >= head:
            size = unpack(data, at)[0] + extra
            if size > limit or size < least:
                if found:
                    break
                if size > limit:
                    raise TooLong(size, limit)
                raise Malformed(f"frame of {size} bytes is too short for a message")
            if at + size > end:
                self._need = size
                break
            found.append(view[at + head : at + size])
            at += size
        if at:
            self._keep(data[at:])
        return found

    def _straddling(self) -> tuple[list[memoryview], int]:
        """The frame that began in an earlier chunk, and where the last chunk goes on behind it.

        Only that frame's bytes are joined: the last chunk, by far the largest part, stays where it is.
        """
        parts, need = self._parts, self._need
        before = self._size - len(parts[-1])
        if len(parts) < 2 or before >= need or not self.format.prefix.size < need <= self.limit:
            return [], 0
        last = parts[-1]
        parts[-1] = last[: need - before]
        frame = memoryview(b"".join(parts))[self.format.prefix.size :]
        self._parts = [last]
        return [frame], need - before

    def _join(self) -> bytes:
        if len(self._parts) > 1:
            self._parts = [b"".join(self._parts)]
        return self._parts[0] if self._parts else b""

    def _keep(self, rest: bytes) -> None:
        self._parts = [rest] if rest else []
        self._size = len(rest)
