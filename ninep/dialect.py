"""9P2000 as the wire layer wants to know it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from struct import Struct
from typing import ClassVar

from ninep import codec
from ninep import messages as m
from ninep.errors import FileError, from_text
from ninep.wire.errors import DuplicateTag, UnknownMessage
from ninep.wire.frames import FrameFormat

log = logging.getLogger(__name__)

MSIZE = 1024 * 1024 + m.IOHDRSZ
"""What we propose, and the most that we accept: 1 MiB of data in a message."""
LONGEST_HELLO = 8192 + m.IOHDRSZ
"""Bytes that a message may have before a size has been agreed."""


class NinePDialect:
    """One connection's 9P2000. ``msize`` is the agreed size in bytes and bounds every frame."""

    format: ClassVar[FrameFormat] = FrameFormat(Struct("<I"), True, 3)
    tags: ClassVar[range] = range(m.NOTAG)
    flushes: ClassVar[Mapping[type, str]] = {m.Tflush: "oldtag"}
    resets: ClassVar[frozenset[type]] = frozenset((m.Tversion,))
    answers: ClassVar[Mapping[type, type]] = {
        m.Tversion: m.Rversion,
        m.Tauth: m.Rauth,
        m.Tattach: m.Rattach,
        m.Tflush: m.Rflush,
        m.Twalk: m.Rwalk,
        m.Topen: m.Ropen,
        m.Tcreate: m.Rcreate,
        m.Tread: m.Rread,
        m.Twrite: m.Rwrite,
        m.Tclunk: m.Rclunk,
        m.Tremove: m.Rremove,
        m.Tstat: m.Rstat,
        m.Twstat: m.Rwstat,
    }
    refusal: ClassVar[type] = m.Rerror

    decode_request = staticmethod(codec.decode_request)
    decode_reply = staticmethod(codec.decode_reply)
    encode = staticmethod(codec.encode)

    def __init__(self) -> None:
        self.msize = LONGEST_HELLO

    @property
    def limit(self) -> int:
        """The agreed message size."""
        return self.msize

    def flush(self, tag: int) -> m.Request:
        """Tflush."""
        return m.Tflush(tag)

    def flushed(self) -> m.Reply:
        """Rflush."""
        return m.Rflush()

    def failure(self, error: Exception) -> m.Reply:
        """Rerror with the text of a ``FileError``; what else a handler raises is logged and not told to the peer."""
        if isinstance(error, FileError):
            return m.Rerror(_cut(error.text))
        if isinstance(error, UnknownMessage):
            return m.Rerror("unknown message")
        if isinstance(error, DuplicateTag):
            return m.Rerror("duplicate tag")
        log.error("request failed", exc_info=error)
        return m.Rerror("internal error")

    def refused(self, reply: m.Reply) -> Exception:
        """The ``FileError`` that a server's Rerror stands for."""
        assert isinstance(reply, m.Rerror)
        return from_text(reply.ename)


def _cut(text: str) -> str:
    """``text`` in the bytes that Plan 9 keeps, whole characters only."""
    data = text.encode("utf-8", "replace")
    return text if len(data) < m.ERRMAX else data[: m.ERRMAX - 1].decode("utf-8", "ignore")
