"""The server loop of a connection: it begins requests in the order of arrival, and answers most without a task.

The reader takes what the socket has, cuts every whole frame out of it and gives the requests to ``Session.begin_all``
in runs. A run ends at a request that gives up another (Tflush) or starts again (Tversion): those are done here, and no
session and no file ever sees a Tflush. Replies that are ready are collected, made lasting by one ``Session.commit``,
and leave in one send. What has to wait runs in a task and a cancel scope of its own.

A connection works for ``SLICE`` seconds at a time; then the others have their turn. A request that fails in whatever
way is answered with an error and ends nothing. When the peer is gone nothing more is begun and no reply is made.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from time import perf_counter
from types import CoroutineType
from typing import Any, Generic, NoReturn, TypeVar

import trio

from ninep.net import tls
from ninep.net.accept import has_spoken
from ninep.net.errors import DuplicateTag, Hangup, Malformed, UnknownMessage
from ninep.tasks.nursery import open_nursery
from ninep.wire.begun import Running, unreadable, without_payload
from ninep.wire.client import CHUNK
from ninep.wire.dialect import Buffer, Dialect, Session
from ninep.wire.frames import FrameBuffer
from ninep.wire.inbox import Inbox
from ninep.wire.limits import USUAL, Limits, share
from ninep.wire.outbox import Outbox
from ninep.wire.taskless import Carried

log = logging.getLogger(__name__)

Q = TypeVar("Q")
R = TypeVar("R")

SLICE = 0.003
"""Seconds that requests of one connection are begun for before the others have their turn. One request that takes
longer is not cut short."""
TOGETHER = 256
"""Most requests of a run."""
MANY = 8
"""Requests of a run, from which on a session is given all of them before they begin: fewer are not worth the while."""

Held = tuple[list[memoryview], dict[int, Q], Callable[[Q], Any]]
"""A run that has not begun: its frames (and maybe more of them), its requests by their tags, and what begins each."""


async def serve_connection(
    stream: trio.abc.Stream,
    dialect: Dialect[Q, R],
    session: Session[Q, R],
    *,
    buffer: FrameBuffer | None = None,
    limits: Limits = USUAL,
    taskless: bool = False,
) -> None:
    """Serves until the peer hangs up, sends what is no message, or the caller cancels.

    ``taskless`` is for sessions whose requests keep to the rule of that module: those are carried without tasks.

    Closes the session and the stream in every case. A broken link or a malformed peer is logged and returned from;
    it never raises. Cancelled, requests under way are cancelled and the session is closed.
    """
    connection = _Connection(stream, dialect, session, buffer, limits, taskless)
    connection.share.connections += 1
    try:
        await connection.run()
    finally:
        connection.share.connections -= 1
        with trio.move_on_after(limits.closing, shield=True):
            await session.aclose()
        await tls.hang_up(stream)


class _Connection(Generic[Q, R]):
    def __init__(
        self,
        stream: trio.abc.Stream,
        dialect: Dialect[Q, R],
        session: Session[Q, R],
        buffer: FrameBuffer | None,
        limits: Limits,
        taskless: bool,
    ) -> None:
        self.stream = stream
        self.dialect = dialect
        self.session = session
        self.buffer = buffer or FrameBuffer(dialect.format, dialect.limit)
        self.limits = limits
        self.taskless = taskless
        self.outbox = Outbox(stream)
        self.share = share()
        self.running: dict[int, Running[R]] = {}
        self.apart = frozenset(dialect.flushes) | dialect.resets
        # Where requests cannot be given up a tag need not tell them apart.
        self.taken = self.running if dialect.flushes else {}
        self.begun = 0
        self.begun_bytes = 0
        self.ended = trio.lowlevel.ParkingLot()
        self.ready: list[Buffer] = []
        self.ready_for: list[tuple[int, Q | None, R]] = []
        self.ready_size = 0
        self.heard = -math.inf
        self.until = -math.inf
        self.held: Held[Q] | None = None

    async def run(self) -> None:
        async with open_nursery() as nursery:
            nursery.start_soon(self._send, nursery.cancel_scope)
            nursery.start_soon(self._watch, nursery.cancel_scope)
            self.nursery = nursery
            try:
                await self._read()
            except Malformed as error:
                log.info("closing connection: %s", error)
                await self._answer()
                await self._finish(0)
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
                log.debug("connection broke: %s", "it was cut" if tls.was_cut(error) else error)
            except Hangup:
                await self._answer()
                await self._finish(self.limits.closing)
            else:
                await self._finish(self.limits.grace)
            finally:
                # Whatever is still carried has to hear of the end; only a task can.
                for running in self.running.values():
                    if isinstance(running.work, Carried):
                        running.work.become_task()
            nursery.cancel_scope.cancel()

    async def _send(self, scope: trio.CancelScope) -> None:
        """Sends replies. When the peer takes no more of them, nothing that runs for it is of use to anybody."""
        await self.outbox.run()
        scope.cancel()

    async def _watch(self, scope: trio.CancelScope) -> None:
        """Ends the connection of a client that does not begin, or has nothing to say for too long."""
        limits = self.limits
        patience = min(limits.handshake, limits.idle)
        if patience < math.inf:
            await trio.sleep(patience)
            if self.heard == -math.inf:
                log.info("closing connection: no request came within %g seconds", patience)
                scope.cancel()
        while limits.idle < math.inf:
            now = trio.current_time()
            if self.begun:
                self.heard = now
            if now >= self.heard + limits.idle:
                log.info("closing connection: idle for %g seconds", limits.idle)
                scope.cancel()
            await trio.sleep_until(self.heard + limits.idle)

    async def _finish(self, grace: float) -> None:
        """Gives what runs ``grace`` seconds, and the peer the same to take its replies."""
        with trio.move_on_after(grace):
            await self._wait_idle()
        with trio.move_on_after(max(grace, 1.0)):
            self.outbox.send_now()
            await self.outbox.wait_below(1)

    async def _read(self) -> None:
        buffer, inbox = self.buffer, Inbox(self.stream)
        while True:
            try:
                while frames := buffer.frames():
                    if self.heard == -math.inf:
                        has_spoken(self.stream)
                    self.heard = trio.current_time()
                    await self._arrived(frames)
                data = await self._more(inbox)
            except Malformed:
                await self._begin_held()
                raise
            if not data:
                await self._begin_held()
                return
            buffer.feed(data)

    async def _more(self, inbox: Inbox) -> bytes:
        """What the peer sends next; before it is waited for, the run that is held begins."""
        most = max(CHUNK, self.buffer.wanted)
        if self.held is not None:
            # Others prepare their requests, too, before these begin.
            await trio.lowlevel.checkpoint()
            data = inbox.receive_nowait(most)
            if data is not None:
                return data
            await self._begin_held()
        try:
            self.session.rest()
        except Exception:
            log.exception("work that was put off failed")
        return await inbox.receive(most, look=not self.running and not self.outbox.size)

    async def _arrived(self, frames: list[memoryview]) -> None:
        """Begins what came: runs of requests, and one by one the messages that belong to no run.

        A run ends at a request that gives up another or starts anew, at a tag that is in use, and at a message that
        cannot be read. It is cut here and not in a method of its own: at depth one each call more can be measured.
        """
        self.until = perf_counter() + SLICE
        session, apart, taken = self.session, self.apart, self.taken
        at, end = 0, len(frames)
        while at < end:
            run: dict[int, Q] = {}
            decode = self.dialect.decode_request
            ahead = frames[at : at + TOGETHER] if at or end > TOGETHER else frames
            try:
                for frame in ahead:
                    tag, request = decode(frame)
                    if type(request) in apart or tag in run or tag in taken:
                        break
                    run[tag] = request
            except Exception as error:
                # It is met again when its turn comes.
                log.debug("a run of requests ends: %s", error)
            if not run:
                await self._begin_apart(frames[at])
                at += 1
                continue
            at += len(run)
            begin: Callable[[Q], Any] = session.begin
            hold = False
            if len(run) >= MANY:
                try:
                    begin, hold = session.begin_all(run.values()), session.works_ahead
                except Exception:
                    log.exception("requests that came together are begun one by one")
            if self.held is not None:
                await self._begin(*self._take_held())
            if hold:
                self.held = ahead, run, begin
            else:
                await self._begin(ahead, run, begin)
        await self._answer()

    async def _begin_held(self) -> None:
        if self.held is not None:
            self.until = perf_counter() + SLICE
            await self._begin(*self._take_held())
            await self._answer()

    def _take_held(self) -> Held[Q]:
        held, self.held = self.held, None
        assert held is not None
        return held

    async def _begin_apart(self, frame: memoryview) -> None:
        """Begins a message that belongs to no run, or refuses it. Raises ``Malformed``."""
        if self.held is not None:
            await self._begin(*self._take_held())
        dialect = self.dialect
        try:
            tag, request = dialect.decode_request(frame)
        except UnknownMessage as error:
            await self._begin([frame], {error.tag: None}, partial(_refuse, error))
            return
        except Malformed:
            raise
        except Exception as error:
            unreadable(frame, error)
        kind = type(request)
        if tag in self.taken:
            await self._begin([frame], {tag: None}, partial(_refuse, DuplicateTag(tag)))
        elif kind in dialect.flushes:
            await self._begin([frame], {tag: None}, partial(self._flush, tag, getattr(request, dialect.flushes[kind])))
        elif kind in dialect.resets:
            await self._reset()
            await self._begin([frame], {tag: request}, self._begin_anew)
        else:
            # Its tag was in use a moment ago.
            await self._begin([frame], {tag: request}, self.session.begin)

    async def _begin(self, frames: list[memoryview], run: Mapping[int, Q | None], begin: Callable[[Any], Any]) -> None:
        """Begins the requests of ``run``; replies that are ready are collected for ``_answer``."""
        request: Any
        result: Any
        dialect, ready, ready_for, most = self.dialect, self.ready, self.ready_for, self.limits.reply_bytes
        clock, number = perf_counter, -1
        for tag, request in run.items():
            number += 1
            if clock() > self.until:
                await self._give_way()
            try:
                result = begin(request)
            except Hangup:
                raise
            except Exception as error:
                request, result = None, dialect.failure(error, request)
            if type(result) is CoroutineType:
                self._start(tag, request, result, len(frames[number]))
                if self._full():
                    await self._wait_for_room()
            elif result is not None:
                ready_for.append((tag, request, result))
                try:
                    self.ready_size += dialect.encode(tag, result, ready)
                except Exception as error:
                    self._replace_last(tag, request, error)
                if self.ready_size > most:
                    await self._answer()

    def _replace_last(self, tag: int, request: object, error: Exception) -> None:
        """The last of the ready replies cannot be said in this dialect; the peer is told that it failed."""
        refusal = self.dialect.failure(error, request)
        self.ready_for[-1] = tag, None, refusal
        self.ready_size += self.dialect.encode(tag, refusal, self.ready)

    async def _give_way(self) -> None:
        """Lets others have their turn."""
        await self._answer()
        await trio.lowlevel.checkpoint()
        self.until = perf_counter() + SLICE

    def _full(self) -> bool:
        limits = self.limits
        return (
            self.begun >= limits.requests
            or self.begun_bytes >= min(limits.request_bytes, self.share.request_bytes)
            or self.outbox.size > limits.reply_bytes
        )

    async def _wait_for_room(self) -> None:
        await self._answer()
        while self._full():
            if self.outbox.size > self.limits.reply_bytes:
                await self._wait_taken()
            else:
                await self.ended.park()

    async def _answer(self) -> None:
        """Makes lasting what the ready replies stand for, and sends them."""
        if not self.ready_for:
            return
        try:
            waiting = self.session.commit()
            if waiting is not None:
                await waiting
        except Exception as error:
            self._take_back(error)
        self.outbox.push(self.ready, self.ready_size)
        self.ready.clear()
        self.ready_for.clear()
        self.ready_size = 0
        self.outbox.send_now()
        if self.outbox.broken or self.outbox.size > self.limits.reply_bytes:
            await self._wait_taken()

    async def _wait_taken(self) -> None:
        """Waits until the peer has taken its replies. Raises ``BrokenResourceError`` if it never will."""
        await self.outbox.wait_below(self.limits.reply_bytes)
        if self.outbox.broken:
            raise trio.BrokenResourceError("the peer takes no more replies")

    def _take_back(self, error: Exception) -> None:
        """What was not made lasting is refused to whom it was promised."""
        dialect = self.dialect
        refusal = dialect.failure(error)
        self.ready.clear()
        self.ready_size = 0
        for tag, request, reply in self.ready_for:
            promised = request is not None and dialect.promises(request)
            self.ready_size += dialect.encode(tag, refusal if promised else reply, self.ready)

    def _start(self, tag: int, request: Q | None, work: Coroutine[Any, Any, R | None], size: int) -> None:
        promises = request is not None and self.dialect.promises(request)
        if request is not None:
            size += self.dialect.brings(request)
        running: Running[R] = Running(tag, without_payload(request), promises, size)
        self.running[tag] = running
        self.begun += 1
        self.begun_bytes += size
        if self.taskless:
            running.work = Carried(work, self.nursery, partial(self._carried, running))
            running.work.go()
        else:
            running.work = trio.CancelScope()
            self.nursery.start_soon(self._run, running, running.work, work)

    def _carried(self, running: Running[R], reply: R | None, error: Exception | None) -> None:
        """What was carried without a task is done, or given up."""
        if error is not None:
            reply = self.dialect.failure(error, running.request)
        if reply is not None:
            try:
                waiting = self.session.commit()
            except Exception as failure:
                reply = self._kept(running, reply, failure)
            else:
                if waiting is not None:
                    self.nursery.start_soon(self._commit, running, reply, waiting)
                    return
        self._end(running, reply)

    async def _commit(self, running: Running[R], reply: R, waiting: Coroutine[Any, Any, None]) -> None:
        try:
            with trio.CancelScope(shield=True):
                await waiting
        except Exception as error:
            reply = self._kept(running, reply, error)
        self._end(running, reply)

    async def _run(self, running: Running[R], scope: trio.CancelScope, work: Coroutine[Any, Any, R | None]) -> None:
        reply: R | None = None
        with scope:
            try:
                reply = await work
            except Exception as error:
                reply = self.dialect.failure(error, running.request)
        if reply is not None:
            try:
                waiting = self.session.commit()
                if waiting is not None:
                    with trio.CancelScope(shield=True):
                        await waiting
            except Exception as error:
                reply = self._kept(running, reply, error)
        self._end(running, reply)

    def _kept(self, running: Running[R], reply: R, error: Exception) -> R:
        """The reply after a commit that failed, unless it promised what is not lasting."""
        refusal = self.dialect.failure(error, running.request)
        return refusal if running.promises else reply

    def _end(self, running: Running[R], reply: R | None) -> None:
        # From here to the send there is no checkpoint: a tag is free exactly when its reply is on its way,
        # and a flush is answered after the request that it gave up.
        self.begun -= 1
        self.begun_bytes -= running.size
        self.heard = trio.current_time()
        pieces: list[Buffer] = []
        size = 0
        if reply is not None and not self.outbox.broken:
            try:
                size = self.dialect.encode(running.tag, reply, pieces)
            except Exception as error:
                size = self.dialect.encode(running.tag, self.dialect.failure(error, running.request), pieces)
        for tag in running.flushes:
            size += self.dialect.encode(tag, self.dialect.flushed(), pieces)
        for tag in (running.tag, *running.flushes):
            if self.running.get(tag) is running:
                del self.running[tag]
        self.outbox.push(pieces, size)
        if self.begun or not self.taskless:
            self.outbox.send_soon()
        else:
            # Nothing else is under way that could add to it.
            self.outbox.send_now()
        if self.ended:
            self.ended.unpark_all()

    def _flush(self, tag: int, old: int, _: None) -> R | None:
        running = self.running.get(old) if old != tag else None
        if running is None:
            return self.dialect.flushed()
        running.flushes.append(tag)
        self.running[tag] = running
        running.work.cancel()
        return None

    def _begin_anew(self, request: Q) -> Any:
        """``begin``, from which on larger messages may come."""
        try:
            return self.session.begin(request)
        finally:
            self.buffer.limit = self.dialect.limit

    async def _reset(self) -> None:
        """Ends all that is under way."""
        await self._answer()
        for running in list(self.running.values()):
            running.work.cancel()
        await self._wait_idle()
        await self.session.reset()

    async def _wait_idle(self) -> None:
        while self.begun:
            await self.ended.park()


def _refuse(error: Exception, _: object) -> NoReturn:
    raise error
