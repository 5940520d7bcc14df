"""The ``Dialect`` objects of 9P2000, 9P2000.u and 9P2000.L: what the wire layer needs to know of each."""

from __future__ import annotations

import errno as host
import logging
from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, ClassVar

from ninep.net.errors import DuplicateTag, UnknownMessage
from ninep.protocol import codec, codec_linux, codec_unix, linux_errno
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.errors import FileError, from_errno, from_oserror, from_text
from ninep.wire.begun import told
from ninep.wire.dialect import Buffer
from ninep.wire.frames import FrameFormat

log = logging.getLogger(__name__)

MSIZE = 1024 * 1024 + m.IOHDRSZ
"""What we propose, and the most that we accept: 1 MiB of data in a message."""
LONGEST_HELLO = 8192 + m.IOHDRSZ
"""Bytes that a message may have before a size has been agreed."""


class NinePDialect:
    """One connection's 9P. ``msize`` is the agreed size in bytes and bounds every frame.

    Attributes:
        version: the dialect that is spoken; 9P2000 until another is agreed.
    """

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
        **lm.ANSWERS,
    }

    refusal: type
    decode_request: Callable[[memoryview], tuple[int, Any]]
    decode_reply: Callable[[memoryview], tuple[int, Any]]
    encode: Callable[[int, Any, list[Buffer]], int]

    def __init__(self) -> None:
        self.agree(m.VERSION, LONGEST_HELLO)
        self.decode_reply = codec_linux.decode_first_reply

    def agree(self, version: str, msize: int) -> None:
        """Speaks this dialect from the next message on, and takes messages of this size."""
        self.version = version
        self.msize = msize
        codec: Any = _CODECS[version]
        self.decode_request, self.decode_reply, self.encode = codec.decode_request, codec.decode_reply, codec.encode
        self.refusal = lm.Rlerror if version == lm.VERSION else m.Rerror

    @property
    def limit(self) -> int:
        """The agreed message size."""
        return self.msize

    def promises(self, request: Any) -> bool:
        """Whether the reply says that something has changed. See ``wire.Dialect``.

        Clunk is not among them: what it changes is made lasting before there is a reply.
        """
        kind = type(request)
        if kind is m.Topen:
            return bool(request.mode & m.OTRUNC)
        if kind is lm.Tlopen:
            return bool(request.flags & lm.L_TRUNC)
        return kind not in _ASKING

    def brings(self, request: Any) -> int:
        """What a read asks for, as far as it fits in a message."""
        if type(request) in _READING:
            return min(int(request.count), self.msize)
        return 0

    def flush(self, tag: int) -> m.Request:
        """Tflush."""
        return m.Tflush(tag)

    def flushed(self) -> m.Reply:
        """Rflush."""
        return m.Rflush()

    def failure(self, error: Exception, request: object = None) -> Any:
        """The refusal for an exception: for an ``OSError`` the one that means it. All else is logged, not told."""
        if isinstance(error, FileError):
            return self._refusal(str(error.text), _number(error.errno))
        if isinstance(error, UnknownMessage):
            return self._refusal("unknown message", _EOPNOTSUPP)
        if isinstance(error, DuplicateTag):
            return self._refusal("duplicate tag", _EPROTO)
        if isinstance(error, OSError):
            log.warning("request failed: %s: %s", told(request), error)
            return self.failure(from_oserror(error))
        log.error("request failed: %s", told(request), exc_info=error)
        return self._refusal("internal error", linux_errno.EIO)

    def _refusal(self, text: str, number: int) -> Any:
        if self.version == lm.VERSION:
            return lm.Rlerror(number)
        return m.Rerror(_cut(text), number if self.version == m.VERSION_UNIX else 0)

    def refused(self, reply: Any) -> Exception:
        """The ``FileError`` that a server's refusal stands for."""
        if isinstance(reply, lm.Rlerror):
            return from_errno(reply.ecode)
        assert isinstance(reply, m.Rerror)
        if not reply.errno:
            return from_text(reply.ename)
        error = from_text(reply.ename)
        # The text tells more than the number where it is one that we know.
        return from_errno(reply.errno, reply.ename) if type(error) is FileError else error


_ASKING = frozenset(
    (
        *(m.Tversion, m.Tauth, m.Tattach, m.Tflush, m.Twalk, m.Tread, m.Tclunk, m.Tstat),
        *(lm.Tstatfs, lm.Treadlink, lm.Tgetattr, lm.Txattrwalk, lm.Txattrcreate, lm.Treaddir, lm.Tlock, lm.Tgetlock),
    )
)
"""Requests that change nothing which a ``commit`` could fail to make lasting."""
_READING = frozenset((m.Tread, lm.Treaddir))
_EOPNOTSUPP = linux_errno.to_linux(host.EOPNOTSUPP)
_EPROTO = linux_errno.to_linux(host.EPROTO)
_CODECS = {m.VERSION: codec, m.VERSION_UNIX: codec_unix, lm.VERSION: codec_linux}


def _number(number: object) -> int:
    """An error number for the wire; ``EIO`` for what is none."""
    if not isinstance(number, int) or not 0 < number < 1 << 31:
        return linux_errno.EIO
    return linux_errno.to_linux(number)


def _cut(text: str) -> str:
    """``text`` in the bytes that Plan 9 keeps, whole characters only."""
    text = text.replace("\0", "\ufffd")
    data = text.encode("utf-8", "replace")
    if len(data) >= m.ERRMAX:
        return data[: m.ERRMAX - 1].decode("utf-8", "ignore")
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return data.decode()
    return text
