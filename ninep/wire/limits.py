"""What one connection of a server may hold."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
