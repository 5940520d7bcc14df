"""What 9P and venti share: frames, tags, calls, connections, addresses. Imports nothing of ``ninep``."""

from ninep.wire.client import Call, Client
from ninep.wire.dialect import Buffer, Dialect, Maybe, Session
from ninep.wire.errors import (
    BadAddress,
    ConnectionLost,
    DuplicateTag,
    Hangup,
    Malformed,
    NoFreeTag,
    TooLong,
    UnknownMessage,
    WireError,
)
from ninep.wire.frames import FrameBuffer, FrameFormat
from ninep.wire.server import Limits, serve_connection

__all__ = [
    "BadAddress",
    "Buffer",
    "Call",
    "Client",
    "ConnectionLost",
    "Dialect",
    "DuplicateTag",
    "FrameBuffer",
    "FrameFormat",
    "Hangup",
    "Limits",
    "Malformed",
    "Maybe",
    "NoFreeTag",
    "Session",
    "TooLong",
    "UnknownMessage",
    "WireError",
    "serve_connection",
]
