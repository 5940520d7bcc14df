"""Serves a block store on the network. Source: venti(8)."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any, cast

import trio

from ninep.net.accept import CONNECTIONS, accept
from ninep.net.errors import ConnectionLost, Hangup, Malformed
from ninep.net.listen import Listener
from ninep.tasks.nursery import open_nursery
from ninep.wire.dialect import Session
from ninep.wire.limits import Limits
from ninep.wire.server import serve_connection
from venti.blocks.errors import Refusal
from venti.blocks.score import SIZE, ZERO_SCORE, Score
from venti.protocol import messages as m
from venti.protocol.dialect import VentiDialect
from venti.protocol.handshake import exchange_versions
from venti.stores.interface import BlockStore, ImmediateStore, PreparingStore

log = logging.getLogger(__name__)

LIMITS = Limits(requests=512, request_bytes=8 * 1024 * 1024, reply_bytes=1024 * 1024, handshake=30.0)
"""What one client may hold; with its frame under way, some 10 MiB. It has 30 seconds for its version line and hello."""
LAST_WORDS = 5.0
"""Seconds that clients have to take their answers when the server ends."""
_NOTHING = frozenset((ZERO_SCORE, bytes(SIZE)))
"""Twenty zero bytes read as the empty block, too: some programs write them for a hole."""


_Result = m.Reply | Coroutine[Any, Any, m.Reply | None] | None
_make_message = tuple.__new__


class _Together:
    """A batch of writes received together, written as one when the first of them begins.

    Attributes:
        outcomes: what became of those that have not begun, the last one first; None until they are written.
    """

    def __init__(self, store: PreparingStore, requests: Sequence[m.Twrite]) -> None:
        self._store = store
        self._types, self._blocks = zip(*requests, strict=True)
        self.outcomes: list[Score | Exception] | None = None
        self._preparation = store.prepare_nowait(self._blocks)

    @property
    def under_way(self) -> bool:
        """Whether somebody else is at work on them."""
        return self._preparation is not None

    def write(self) -> list[Score | Exception]:
        """Writes them all."""
        try:
            outcomes = self._store.write_all_nowait(self._types, self._blocks, self._preparation)
            outcomes.reverse()
        except Exception as error:
            outcomes = [error] * len(self._blocks)
        self.outcomes = outcomes
        return outcomes

    def refuse(self, error: Exception) -> None:
        """None of them is stored, for that reason: those that have not begun are refused, too."""
        if self.outcomes is not None:
            self.outcomes[:] = [error] * len(self.outcomes)


class VentiSession(Session[m.Request, m.Reply]):
    """Serves ``store`` to one client."""

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self._immediate = cast("ImmediateStore", store) if hasattr(store, "write_nowait") else None
        self._preparing = store if isinstance(store, PreparingStore) else None
        self._writes: set[trio.Event] = set()
        self._dirty = False
        self._together: _Together | None = None

    def begin(self, request: m.Request) -> _Result:
        """Answers at once where the store can, else returns the rest as a coroutine."""
        if type(request) is m.Twrite:
            if self._immediate is None:
                return self._write(request)
            blocktype, data = request
            try:
                score = self._immediate.write_nowait(blocktype, data)
            except trio.WouldBlock:
                return self._write(request)
            self._dirty = True
            return m.Rwrite(score)
        if type(request) is m.Tread:
            score, blocktype, count = request
            if score in _NOTHING:
                return m.Rread(b"")
            if self._immediate is not None:
                try:
                    return m.Rread(self._immediate.read_nowait(score, blocktype, count))
                except trio.WouldBlock:
                    pass
            return self._read(request)
        if isinstance(request, m.Tsync):
            return self._sync(set(self._writes))
        if isinstance(request, m.Tping):
            return m.Rping()
        if isinstance(request, m.Thello):
            return m.Rhello()
        if isinstance(request, m.Tgoodbye):
            raise Hangup
        if isinstance(request, m.Unsupported) and request.number in (12, 14):
            raise Refusal("unknown block type")
        raise Refusal("unknown request")

    def begin_all(self, run: Collection[m.Request]) -> Callable[[Any], _Result]:
        """Many blocks, and nothing else with them, are written together, where the store can do that."""
        self.works_ahead = False
        if self._preparing is None:
            return self.begin
        writes = [request for request in run if type(request) is m.Twrite]
        if not writes or len(writes) < len(run):
            return self.begin
        together = _Together(self._preparing, writes)
        self.works_ahead = together.under_way
        return partial(self._written, together)

    def _written(self, together: _Together, request: m.Twrite) -> _Result:
        outcomes = together.outcomes
        if outcomes is None:
            outcomes = together.write()
            self._together = together
        # Whatever became of this one, others of them may wait to be flushed.
        self._dirty = True
        score = outcomes.pop()
        if isinstance(score, Score):
            return _make_message(m.Rwrite, (score,))
        if isinstance(score, trio.WouldBlock):
            return self._write(request)
        raise score

    def commit(self) -> None:
        """Written blocks reach the operating system before their scores leave."""
        if self._dirty:
            self._dirty = False
            assert self._immediate is not None
            try:
                self._immediate.flush_nowait()
            except Exception as error:
                # Those of them that have not been answered yet are lost, too.
                if self._together is not None:
                    self._together.refuse(error)
                raise

    def _write(self, request: m.Twrite) -> Coroutine[Any, Any, m.Reply]:
        done = trio.Event()
        self._writes.add(done)
        data = bytes(request.data)

        async def write() -> m.Reply:
            try:
                return m.Rwrite(await self._store.write(request.blocktype, data))
            finally:
                self._writes.discard(done)
                done.set()

        return write()

    async def _read(self, request: m.Tread) -> m.Reply:
        return m.Rread(await self._store.read(request.score, request.blocktype, request.count))

    async def _sync(self, earlier: set[trio.Event]) -> m.Reply:
        for write in earlier:
            await write.wait()
        await self._store.sync()
        return m.Rsync()


async def serve_stream(stream: trio.abc.Stream, store: BlockStore, *, limits: Limits = LIMITS) -> None:
    """Serves one client until it leaves, breaks the protocol, or the caller cancels; closes the stream."""
    async with stream:
        try:
            with trio.fail_after(limits.handshake):
                version, buffer = await exchange_versions(stream)
        except (Malformed, ConnectionLost, trio.TooSlowError) as error:
            log.info("closing connection: %s", str(error) or "no version line came")
            return
        await serve_connection(stream, VentiDialect(version), VentiSession(store), buffer=buffer, limits=limits)


async def serve(
    store: BlockStore,
    listeners: Sequence[Listener],
    *,
    limits: Limits = LIMITS,
    connections: int = CONNECTIONS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves whoever connects until cancelled; closes the listeners, not the store.

    Cancelled, it takes in no client and no request any more. What has come over a plain socket by then is answered, for
    which there are ``LAST_WORDS`` seconds; other connections are cut.
    """
    living: dict[trio.abc.Stream, trio.CancelScope] = {}

    async def converse(stream: trio.abc.Stream) -> None:
        with trio.CancelScope(shield=True) as living[stream]:
            try:
                await serve_stream(stream, store, limits=limits)
            finally:
                del living[stream]

    async def end() -> None:
        try:
            await trio.sleep_forever()
        finally:
            for stream, scope in living.items():
                scope.deadline = trio.current_time() + LAST_WORDS
                if not _stop_reading(stream):
                    scope.cancel()

    async with open_nursery() as nursery:
        nursery.start_soon(end)
        await accept(listeners, converse, connections=connections, task_status=task_status)


def _stop_reading(stream: trio.abc.Stream) -> bool:
    """Has the reader find an end behind what has arrived; whether that could be done."""
    if not isinstance(stream, trio.SocketStream):
        return False
    with contextlib.suppress(OSError):
        stream.socket.shutdown(socket.SHUT_RD)
    return True
