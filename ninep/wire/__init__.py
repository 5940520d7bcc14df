"""What 9P and venti share: frames, tags, calls, connections, addresses. Imports nothing of ``ninep``."""

from ninep.wire.address import Address
from ninep.wire.client import Call, Client
from ninep.wire.dial import dial
from ninep.wire.dialect import Buffer, Dialect, Maybe, Session
from ninep.wire.errors import (
    BadAddress,
    CannotListen,
    ConnectionLost,
    DuplicateTag,
    Hangup,
    Malformed,
    NoFreeTag,
    TooLong,
    UnknownMessage,
    Unreachable,
    WireError,
)
from ninep.wire.frames import FrameBuffer, FrameFormat
from ninep.wire.limits import Limits
from ninep.wire.listen import listen
from ninep.wire.networks import Networks
from ninep.wire.server import serve_connection

__all__ = [
    "Address",
    "BadAddress",
    "Buffer",
    "Call",
    "CannotListen",
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
    "Networks",
    "NoFreeTag",
    "Session",
    "TooLong",
    "UnknownMessage",
    "Unreachable",
    "WireError",
    "dial",
    "listen",
    "serve_connection",
]
