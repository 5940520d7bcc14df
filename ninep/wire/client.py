"""The client of a connection: many requests in flight, each matched to its reply by tag.

One task reads, whoever has something to send sends it (see ``outbox``). A caller that wants a window of requests
uses ``begin`` and later ``wait``; no task is needed for each::

    calls = [client.begin(request) for request in requests]
    replies = [await client.wait(call) for call in calls]
"""

from __future__ import annotations

import contextlib
import os
import weakref
from threading import get_ident
from typing import Any, Generic, TypeVar

import trio

from ninep.net import tls
from ninep.net.errors import ConnectionLost, Malformed, NoFreeTag
from ninep.tasks.nursery import background
from ninep.wire import taskless
from ninep.wire.dialect import Buffer, Dialect
from ninep.wire.frames import FrameBuffer
from ninep.wire.inbox import Inbox
from ninep.wire.outbox import Outbox

CHUNK = 256 * 1024
"""Most bytes taken from the socket at once, unless the frame under way is larger."""
ELSEWHERE = "the connection belongs to the process that this one was forked from: connect again"
FLUSH_PATIENCE = 5.0
"""Seconds that a cancelled caller waits for the server to confirm that it gave the request up."""

Q = TypeVar("Q")
R = TypeVar("R")


class Call(Generic[R]):
    """A request in flight. ``reply`` is None until the answer is there."""

    __slots__ = ("expected", "reply", "tag", "task")

    def __init__(self, tag: int, expected: type) -> None:
        self.tag = tag
        self.expected = expected
        self.reply: R | None = None
        self.task: taskless.Waiter | None = None


class Client(Generic[Q, R]):
    """One connection of a client. ``run`` must be running for calls to be answered.

    Owns the stream: ``run`` closes it when it ends. Not for use from several threads.
    """

    def __init__(self, stream: trio.abc.Stream, dialect: Dialect[Q, R], buffer: FrameBuffer | None = None) -> None:
        """``buffer`` may hold bytes that were received before the first frame's turn came."""
        self._stream = stream
        self._dialect = dialect
        self._buffer = buffer or FrameBuffer(dialect.format, dialect.limit)
        self._outbox = Outbox(stream)
        self._answers = dialect.answers
        self._free = list(reversed(dialect.tags))
        self._calls: dict[int, Call[R]] = {}
        self._waiting = 0
        self._tag_freed = trio.lowlevel.ParkingLot()
        self._lost: ConnectionLost | None = None
        self._malformed: Malformed | None = None
        self._inbox: Inbox | None = None
        self._answered = False
        self._thread = get_ident()
        _living.add(self)

    @property
    def in_flight(self) -> int:
        """How many requests have not been answered."""
        return len(self._calls)

    @property
    def lost(self) -> ConnectionLost | None:
        """Why no further call can be answered, or None while the connection lives."""
        return self._lost

    def begin(self, request: Q, *, tag: int | None = None) -> Call[R]:
        """Queues a request; it leaves at the next ``send`` or ``wait``.

        ``tag`` is for the few requests whose tag the protocol fixes.

        Raises:
            NoFreeTag: all tags are in use.
            ConnectionLost: the connection is over.
            RuntimeError: this is not the thread that made it.
        """
        if self._lost is not None:
            raise ConnectionLost(str(self._lost)) from self._lost
        if get_ident() != self._thread:
            # It would wake tasks of that loop in this one.
            raise RuntimeError("the connection belongs to the event loop of another thread: ask there")
        if tag is None:
            if not self._free:
                raise NoFreeTag(f"{len(self._calls)} requests in flight, no tag left")
            tag = self._free.pop()
        elif tag in self._free:
            self._free.remove(tag)
        pieces: list[Buffer] = []
        try:
            size = self._dialect.encode(tag, request, pieces)
        except BaseException:
            self._release(tag)
            raise
        call: Call[R] = Call(tag, self._answers[type(request)])
        self._calls[tag] = call
        self._outbox.push(pieces, size)
        return call

    def send(self) -> None:
        """Sends what is queued, without waiting."""
        self._outbox.send_now()

    def send_soon(self) -> None:
        """Sends what is queued together with what the tasks that are ready now add to it."""
        self._outbox.send_soon()

    async def wait(self, call: Call[R]) -> R:
        """The reply to ``call``.

        Cancelled, it gives the request up where the protocol can, and waits a bounded time for the server to confirm.
        Afterwards ``call.reply`` tells whether the request took effect all the same: not None, the answer came first
        and is real. Where the protocol cannot, the tag stays taken until the answer arrives and is dropped.

        Raises:
            ConnectionLost: the link broke before the answer came.
            Exception: what ``Dialect.refused`` makes of an error reply.
        """
        if call.reply is None:
            if self._outbox.size:
                if self._waiting:
                    self._outbox.send_soon()
                else:
                    self._outbox.send_now()
                    if len(self._calls) == 1 and not taskless.state.inside:
                        self._look()
            if taskless.state.inside and self._lost is None:
                self._waiting += 1
                try:
                    await taskless.wait_for(call)
                finally:
                    self._waiting -= 1
            if call.reply is None:
                await self._parked(call)
        reply = call.reply
        if reply is None:
            raise ConnectionLost(str(self._lost)) from self._lost
        if type(reply) is not call.expected:
            raise self._dialect.refused(reply)
        return reply

    async def call(self, request: Q, *, tag: int | None = None) -> R:
        """``begin`` and ``wait``; waits for a free tag first where there is none."""
        while not self._free and tag is None and self._lost is None:
            await taskless.in_task()
            await self._tag_freed.park()
        return await self.wait(self.begin(request, tag=tag))

    async def drain(self) -> None:
        """Waits until everything queued has been handed to the kernel."""
        self._outbox.send_now()
        await self._outbox.wait_below(1)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Reads replies until cancelled or the link ends, then fails all calls that wait and closes the stream.

        A broken link is no error of this method: the waiting callers get it.
        """
        cause: BaseException | None = None
        try:
            async with background() as nursery:
                nursery.start_soon(self._outbox.run)
                task_status.started()
                try:
                    await self._read()
                except (trio.BrokenResourceError, trio.ClosedResourceError, OSError, Malformed) as error:
                    cause = error
        finally:
            self._lose(cause)
            # It has this frame in its traceback.
            cause = None
            await tls.hang_up(self._stream)

    async def _read(self) -> None:
        buffer, inbox = self._buffer, Inbox(self._stream)
        self._inbox = inbox
        while True:
            self._take()
            data = await inbox.receive(max(CHUNK, buffer.wanted))
            if self._malformed is not None:
                raise self._malformed
            if not data:
                return
            buffer.feed(data)

    def _take(self) -> None:
        """Matches the replies that are there to their calls."""
        buffer, calls, free = self._buffer, self._calls, self._free
        reserved = self._dialect.tags
        while frames := buffer.frames():
            self._answered = True
            # What is spoken may have changed: a server says nothing between its version and our next request.
            decode, refusal = self._dialect.decode_reply, self._dialect.refusal
            for frame in frames:
                tag, reply = decode(frame)
                call = calls.pop(tag, None)
                if call is None:
                    raise Malformed(f"reply under tag {tag}, which no request has")
                if type(reply) is not call.expected and type(reply) is not refusal:
                    raise Malformed(f"{type(reply).__name__} where {call.expected.__name__} was due")
                call.reply = reply
                if tag in reserved:
                    free.append(tag)
                if (waiter := call.task) is not None:
                    call.task = None
                    taskless.wake(waiter)
            if self._tag_freed:
                self._tag_freed.unpark(count=len(frames))
            buffer.limit = self._dialect.limit

    def _look(self) -> None:
        """Takes what comes at once, where the program asked for busy polling; the reader goes on waiting meanwhile."""
        if self._inbox is None or self._malformed is not None:
            return
        data = self._inbox.look(max(CHUNK, self._buffer.wanted))
        if data is not None:
            self._buffer.feed(data)
            try:
                self._take()
            except Malformed as error:
                # It is the reader that ends the connection, and it wakes up when there is nothing more to come.
                self._malformed = error
                assert isinstance(self._stream, trio.SocketStream)
                with contextlib.suppress(OSError):
                    self._stream.socket.shutdown(trio.socket.SHUT_RDWR)

    async def _parked(self, call: Call[R], *, give_up: bool = True) -> None:
        if self._lost is not None:
            return
        call.task = trio.lowlevel.current_task()
        self._waiting += 1

        def abort(_: Any) -> trio.lowlevel.Abort:
            call.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        try:
            await trio.lowlevel.wait_task_rescheduled(abort)
        except trio.Cancelled:
            if give_up and call.reply is None and self._lost is None:
                await self._give_up(call)
            raise
        finally:
            self._waiting -= 1

    async def _give_up(self, call: Call[R]) -> None:
        flush = self._dialect.flush(call.tag)
        if flush is None:
            return
        try:
            flushing = self.begin(flush)
        except (ConnectionLost, NoFreeTag):
            return
        self.send()
        # A flush is not given up in its turn: against a server that says nothing that would never end.
        with trio.move_on_after(FLUSH_PATIENCE, shield=True):
            await self._parked(flushing, give_up=False)
            confirmed = isinstance(flushing.reply, flushing.expected)
            if confirmed and self._calls.get(call.tag) is call:
                del self._calls[call.tag]
                self._release(call.tag)

    def _release(self, tag: int) -> None:
        if tag in self._dialect.tags:
            self._free.append(tag)
            if self._tag_freed:
                self._tag_freed.unpark()

    def _lose(self, cause: BaseException | None) -> None:
        self._lost = ConnectionLost(self._why(cause))
        # Without its traceback, which leads back to this object.
        self._lost.__cause__ = cause and cause.with_traceback(None)
        calls = list(self._calls.values())
        self._calls.clear()
        for call in calls:
            if (waiter := call.task) is not None:
                call.task = None
                taskless.wake(waiter)
        self._tag_freed.unpark_all()

    def disown(self) -> None:
        """Makes this an end that nothing can be asked of, in a process that was forked from the one that made it.

        The socket is shared, but the replies would come to whichever of the two reads first.
        """
        self._lost = ConnectionLost(ELSEWHERE)
        self._calls.clear()
        self._outbox.broken = True

    def _why(self, cause: BaseException | None) -> str:
        secured = isinstance(self._stream, trio.SSLStream)
        if secured and not self._answered and not isinstance(cause, Malformed):
            # In TLS 1.3 a client hears only now that its certificate was not good enough, if it hears at all.
            return f"connection lost: {tls.reason(cause.__cause__ if cause is not None else None)}"
        if cause is None:
            return "connection closed"
        return "connection lost: it was cut" if tls.was_cut(cause) else f"connection lost: {cause}"


_living: weakref.WeakSet[Client[Any, Any]] = weakref.WeakSet()


def _forked() -> None:
    for client in list(_living):
        client.disown()


os.register_at_fork(after_in_child=_forked)
