"""Errors of the wire: whose fault it was, and whether it can be tried again.

* ``WireError``

  * ``Malformed``: the peer's bytes are not a message; the link is over.

    * ``TooLong``: a frame larger than was agreed; the link is over.
    * ``UnknownMessage``: a well-framed message of no known type; it is refused, the link lives.
    * ``DuplicateTag``: a request under a tag that is still in use; it is refused, the link lives.

  * ``ConnectionLost``: the link broke; the call may be repeated on a new link if repeating is harmless.
  * ``NoFreeTag``: misuse by us, more calls in flight than the protocol has tags.
  * ``Unreachable``: nobody answers at an address; try later or elsewhere.
  * ``CannotListen``: the system does not let us listen there; the text says what to do.
  * ``BadAddress``: a person's mistake in a dial string or a network table.
"""

from __future__ import annotations


class WireError(Exception):
    """Anything that goes wrong below the meaning of messages."""


class Malformed(WireError):
    """The peer sent bytes that are no message. The connection cannot be used any more."""


class TooLong(Malformed):
    """The peer announced a frame of ``size`` bytes where at most ``limit`` are allowed."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"frame of {size} bytes exceeds the limit of {limit}")
        self.size = size
        self.limit = limit


class UnknownMessage(Malformed):
    """A message of unknown type with a sane header: it can be answered under ``tag``."""

    def __init__(self, tag: int, kind: int) -> None:
        super().__init__(f"unknown message type {kind}")
        self.tag = tag
        self.kind = kind


class DuplicateTag(Malformed):
    """A request came under a tag whose earlier request has not been answered."""

    def __init__(self, tag: int) -> None:
        super().__init__("duplicate tag")
        self.tag = tag


class ConnectionLost(WireError):
    """The link ended before the answer came; the cause, if any, is ``__cause__``."""

    def __init__(self, text: str = "connection lost") -> None:
        super().__init__(text)


class NoFreeTag(WireError):
    """More calls were begun than the protocol has tags: bound the calls in flight."""


class Unreachable(WireError):
    """No connection could be made; the text names the address and the reason."""


class CannotListen(WireError):
    """The address is taken, or needs a right that this process lacks; the text says what to do."""


class BadAddress(WireError):
    """A dial string, service name or network table that cannot be understood; the text says why."""


class Hangup(Exception):
    """Raised by a session's ``begin``: answer what is under way, then close the connection."""
