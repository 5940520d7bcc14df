"""Serves a block store on the network. Source: venti(8)."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, cast

import trio

from ninep.net.accept import CONNECTIONS, accept
from ninep.net.errors import ConnectionLost, Hangup, Malformed
from ninep.net.listen import Listener
from ninep.tasks.nursery import open_nursery
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


_Result = m.Reply | Coroutine[Any, Any, m.Reply | None] | Exception | None
_make_message = tuple.__new__


class _Together:
    """Blocks that came together, to be written together when the first of them is begun."""

    def __init__(self, store: PreparingStore, requests: Sequence[m.Twrite]) -> None:
        self._store = store
        self._requests = requests
        self._types, self._blocks = zip(*requests, strict=True)
        self._outcomes: list[Score | Exception] = []
        self._preparation = store.prepare_nowait(self._blocks)

    @property
    def under_way(self) -> bool:
        """Whether somebody else is at work on them."""
        return self._preparation is not None

    def write(self) -> Iterator[tuple[m.Twrite, Score | Exception]]:
        """Writes them all, and says of each what became of it."""
        self._outcomes = self._store.write_all_nowait(self._types, self._blocks, self._preparation)
        return zip(self._requests, self._outcomes, strict=True)

    def refuse(self, error: Exception) -> None:
        """None of them is stored, for that reason: also what ``write`` has not said yet is said so."""
        self._outcomes[:] = [error] * len(self._outcomes)


class VentiSession:
    """A ``wire.Session`` that serves ``store`` to one client."""

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self._immediate = cast("ImmediateStore", store) if hasattr(store, "write_nowait") else None
        self._preparing = store if isinstance(store, PreparingStore) else None
        self._writes: set[trio.Event] = set()
        self._dirty = False
        self._together: _Together | None = None

    def begin(self, request: m.Request) -> m.Reply | Coroutine[Any, Any, m.Reply | None] | None:
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

    def prepare(self, requests: Sequence[m.Request]) -> tuple[Iterator[_Result], bool]:
        """Blocks that came together, and nothing else with them, are written together, where the store can do that."""
        writes = [request for request in requests if type(request) is m.Twrite]
        if self._preparing is None or not writes or len(writes) < len(requests):
            return map(self._result, requests), False
        together = _Together(self._preparing, writes)
        return self._written(together), together.under_way

    def _result(self, request: m.Request) -> _Result:
        try:
            return self.begin(request)
        except Hangup:
            raise
        except Exception as error:
            return error

    def _written(self, together: _Together) -> Iterator[_Result]:
        score: Score | Exception
        for request, score in together.write():
            # Whatever became of this one, others of them may wait to be flushed.
            self._dirty = True
            self._together = together
            if isinstance(score, Score):
                yield _make_message(m.Rwrite, (score,))
            elif isinstance(score, trio.WouldBlock):
                yield self._write(request)
            else:
                yield score

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

    async def reset(self) -> None:
        """Nothing in venti starts a session anew."""

    async def aclose(self) -> None:
        """Nothing is kept for a client."""

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
