"""The interfaces between the wire layer and a protocol: ``Dialect``, and ``Session`` for its servers.

Nothing in ``ninep.wire`` knows what a fid or a score is; nothing above it knows what a tag is.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from ninep.wire.frames import FrameFormat

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes in any form; whoever keeps them beyond the call copies them."""

T = TypeVar("T")
Q = TypeVar("Q")
R = TypeVar("R")
Q_contra = TypeVar("Q_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)

Maybe: TypeAlias = T | Coroutine[Any, Any, T]
"""The value itself when nothing had to be waited for, else a coroutine that yields it.

An author writes ``def`` for the first and ``async def`` for the second; the caller looks at the type of what it
got. A request that need not wait then costs no task and no task switch.
"""


class Dialect(Protocol[Q, R]):
    """How frames of one protocol look. An object belongs to one connection and may remember what was agreed.

    Attributes:
        format: how messages are delimited.
        limit: the largest frame accepted at the moment, prefix included; may change after any message.
        tags: the tags a client may use.
        flushes: request types that give up an earlier request, mapped to the attribute that names its tag; empty if
            the protocol has none.
        resets: request types that end all that is under way before they are looked at.
        answers: the reply type of each request type.
        refusal: the reply type that carries an error.
    """

    @property
    def format(self) -> FrameFormat: ...
    @property
    def limit(self) -> int: ...
    @property
    def tags(self) -> range: ...
    @property
    def flushes(self) -> Mapping[type, str]: ...
    @property
    def resets(self) -> frozenset[type]: ...
    @property
    def answers(self) -> Mapping[type, type]: ...
    @property
    def refusal(self) -> type: ...

    def decode_request(self, frame: memoryview) -> tuple[int, Q]:
        """A frame without its prefix as (tag, request); payloads are views of the frame.

        Raises:
            UnknownMessage: the type is unknown but the tag is, so it can be refused.
            Malformed: anything else that is wrong.
        """
        ...

    def decode_reply(self, frame: memoryview) -> tuple[int, R]:
        """The same for a reply. Raises ``Malformed`` only."""
        ...

    def encode(self, tag: int, message: Q | R, out: list[Buffer]) -> int:
        """Appends the whole frame to ``out`` in pieces, payloads uncopied; returns its size in bytes."""
        ...

    def promises(self, request: Q) -> bool:
        """Whether the reply to ``request`` says that something has changed: a ``commit`` that fails takes it back."""
        ...

    def brings(self, request: Q) -> int:
        """Most bytes that the reply to ``request`` may have, for those whose replies may be large; else 0."""
        ...

    def flush(self, tag: int) -> Q | None:
        """The request that gives up ``tag``, or None where the protocol cannot: the answer is then awaited."""
        ...

    def flushed(self) -> R:
        """The reply to a flush."""
        ...

    def failure(self, error: Exception, request: object = None) -> R:
        """The error reply for an exception. One that is no refusal is a fault of ours: it is logged with its request.

        Must be able to answer whatever the exception says.
        """
        ...

    def refused(self, reply: R) -> Exception:
        """The exception that a client raises for an error reply."""
        ...


class Session(Protocol[Q_contra, R_co]):
    """What a server supplies for one connection."""

    def begin(self, request: Q_contra) -> R_co | Coroutine[Any, Any, R_co | None] | None:
        """Checks and reserves at once, in the order of arrival; then the reply, or the rest as a coroutine.

        The payload of ``request`` is valid until the reply is made. None is no reply. The coroutine runs in a task
        and a cancel scope of its own; cancelled, it either has had no lasting effect and unwinds, or returns its
        reply. Raises what ``Dialect.failure`` understands, or ``Hangup``.
        """
        ...

    def commit(self) -> Coroutine[Any, Any, None] | None:
        """Makes lasting what requests have changed; called before their replies leave, once for many requests.

        If it raises, those whose replies would have promised a change are answered with that error instead, see
        ``Dialect.promises``. Who only asked keeps his answer: it was true when it was made.
        """
        ...

    async def reset(self) -> None:
        """Back to the start of the conversation; nothing runs any more."""
        ...

    async def aclose(self) -> None:
        """The connection is over and nothing runs any more; called exactly once, shielded, with a deadline."""
        ...


class PreparingSession(Session[Q_contra, R_co], Protocol):
    """A session that wants to see requests that came together before the first of them begins."""

    def prepare(self, requests: Sequence[Any]) -> tuple[Iterator[Any], bool]:
        """May do for many at once, or set out on, what ``begin`` would do for each.

        Returns an iterator, and whether work on the requests is under way elsewhere. The iterator begins one request
        for each item, in order, and gives what ``begin`` would return, or the exception that it would raise, and
        raises ``Hangup``. If work is under way, the server looks whether more requests have come, and shows those,
        too, before it begins these. Some that were shown may never begin: the connection may end.

        Not for protocols in which requests can be given up, or a request changes how the next is decoded.
        """
        ...


class RestingSession(Session[Q_contra, R_co], Protocol):
    """A session that puts off work until the replies have left: the peer has something to do then, too."""

    def rest(self) -> None:
        """May do a little of it, some ten microseconds; called when all that came has been begun and answered."""
        ...
