"""Limits on what one connection may hold at a server: requests, bytes, seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import trio


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may hold at once. Past any of them reading stops and TCP pushes back.

    Attributes:
        requests: most requests that run at once.
        request_bytes: most bytes in the frames of the requests that run and in the replies that they may bring.
        reply_bytes: most bytes of replies that wait for the peer to take them.
        grace: seconds that running requests get to end after the peer has closed its side.
        closing: seconds that the session gets to close.
        handshake: seconds until the first whole request must have come, what TLS needs included.
        idle: seconds without a whole request, and without one that runs, after which the connection is closed.
    """

    requests: int = 1024
    request_bytes: int = 32 * 1024 * 1024
    reply_bytes: int = 1024 * 1024
    grace: float = 1.0
    closing: float = 10.0
    handshake: float = 60.0
    idle: float = math.inf


USUAL = Limits()
ALL = 256 * 1024 * 1024
"""Bytes that the requests of all connections of an event loop, and the replies that they may bring, share evenly."""
LEAST = 2 * 1024 * 1024
"""Bytes that a connection has of them however many there are."""


class Share:
    """What each connection has of what all may have together.

    Attributes:
        connections: how many there are.
    """

    def __init__(self) -> None:
        self.connections = 0

    @property
    def request_bytes(self) -> int:
        """Most bytes of one connection's requests that run and of their replies."""
        return max(LEAST, ALL // max(1, self.connections))


_share: trio.lowlevel.RunVar[Share] = trio.lowlevel.RunVar("share")


def share() -> Share:
    """That of this event loop."""
    try:
        return _share.get()
    except LookupError:
        made = Share()
        _share.set(made)
        return made
