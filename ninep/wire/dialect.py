"""The interfaces between the wire layer and a protocol: ``Dialect``, and ``Session`` for its servers.

Nothing in ``ninep.wire`` knows what a fid or a score is; nothing above it knows what a tag is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from ninep.wire.frames import FrameFormat

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes in any form; whoever keeps them beyond the call copies them."""

T = TypeVar("T")
Q = TypeVar("Q")
R = TypeVar("R")

Maybe: TypeAlias = T | Coroutine[Any, Any, T]
"""The value itself when nothing had to be waited for, else a coroutine that yields it.

An author writes ``def`` for the first and ``async def`` for the second; the caller looks at the type of what it
got. A request that need not wait then costs no task and no task switch.
"""


class Dialect(Protocol[Q, R]):
    """How frames of one protocol look. An object belongs to one connection and may remember what was agreed.

    Attributes:
        format: how messages are delimited.
        limit: the largest frame accepted at the moment, prefix included; may change with a request that resets.
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


class Session(Generic[Q, R]):
    """What a server supplies for one connection: ``begin``, and what it wants to do otherwise than here.

    Attributes:
        works_ahead: whether work on the run that ``begin_all`` was given last is under way elsewhere. The server then
            looks whether more requests have come, and gives it those, too, before it begins that run. Not for protocols
            in which requests can be given up.
    """

    works_ahead = False

    def begin(self, request: Q) -> R | Coroutine[Any, Any, R | None] | None:
        """Checks and reserves at once, in the order of arrival; then the reply, or the rest as a coroutine.

        The payload of ``request`` is valid until the reply is made. None is no reply. The coroutine runs in a task
        and a cancel scope of its own; cancelled, it either has had no lasting effect and unwinds, or returns its
        reply. Raises what ``Dialect.failure`` understands, or ``Hangup``.
        """
        raise NotImplementedError

    def begin_all(self, run: Collection[Q]) -> Callable[[Q], R | Coroutine[Any, Any, R | None] | None]:
        """Gets many requests that came together before the first of them begins; what begins them, not ``begin``.

        That is called for each of them, in their order, and returns and raises what ``begin`` would. Until then
        nothing changes, but work for all of them may be set out on, see ``works_ahead``. A connection may end before.
        """
        return self.begin

    def commit(self) -> Coroutine[Any, Any, None] | None:
        """Makes lasting what requests have changed; called before their replies leave, once for many requests.

        If it raises, those whose replies would have promised a change are answered with that error instead, see
        ``Dialect.promises``. Read-only requests keep their reply: it was correct when it was computed.
        """
        return None

    def rest(self) -> None:
        """May do a little of the work that was put off, some ten microseconds: the peer has something to do, too.

        Called when all that came has been begun and answered.
        """

    async def reset(self) -> None:
        """Back to the start of the conversation; nothing runs any more."""

    async def aclose(self) -> None:
        """The connection is over and nothing runs any more; called exactly once, shielded, with a deadline."""
