"""Accepts connections, up to a limit.

Descriptors are counted by the system, and a server that has none left can take nobody in, not even to say so. One is
kept in reserve for that: it is given back, who waits is taken in and hung up on, and it is taken again. Where somebody
has to go, those go first who have connected and not said a word yet, the oldest first: whoever speaks finds room
however many others only hold the line.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import trio

from ninep.net.listen import Listener
from ninep.tasks.nursery import open_nursery
from ninep.tasks.sparing import SparingLog

log = logging.getLogger(__name__)

CONNECTIONS = 4096
"""Most connections of one server unless told otherwise."""
PAUSE = 0.1
"""Seconds until the next attempt where the system does not let one take anybody in."""
MOMENT = 0.01
"""Seconds that a connection which is ended gets to give back its descriptor."""
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


class _Silent(NamedTuple):
    """A connection that has said nothing yet: how to end it, and who has let it in."""

    scope: trio.CancelScope
    door: _Door


_silent: trio.lowlevel.RunVar[dict[trio.abc.Stream, _Silent]] = trio.lowlevel.RunVar("silent")
"""Those of one event loop, the oldest first."""


def make_room(beside: trio.abc.Stream) -> bool:
    """Ends the oldest connection that has said nothing, another one than ``beside``; False where all have."""
    silent = _silent.get({})
    oldest = next((stream for stream in silent if stream is not beside), None)
    if oldest is None:
        return False
    _end(oldest, silent.pop(oldest).scope)
    return True


def _end(stream: trio.abc.Stream, scope: trio.CancelScope) -> None:
    """Ends a conversation in which nothing was said, even one that is shielded to say its last words."""
    inner = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    if isinstance(inner, trio.SocketStream):
        with contextlib.suppress(OSError):
            inner.socket.shutdown(socket.SHUT_RDWR)
    scope.cancel()


def has_spoken(stream: trio.abc.Stream) -> None:
    """Notes that whoever is on ``stream`` has said something that makes sense, and is no longer to make room."""
    with contextlib.suppress(LookupError):
        _silent.get().pop(stream, None)


async def accept(
    listeners: Sequence[Listener],
    converse: Callable[[Any], Awaitable[None]],
    *,
    connections: float = CONNECTIONS,
    handlers: trio.Nursery | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Runs ``converse`` for each connection until cancelled; closes the listeners.

    Past ``connections`` one that has said nothing yet makes room, or else the new one is closed at once; all others go
    on. What ``converse`` raises is logged and ends its own connection only. Conversations run in ``handlers``, if it is
    given, and may then go on when nobody is let in any more.
    """
    async with contextlib.AsyncExitStack() as stack:
        for listener in listeners:
            stack.push_async_callback(trio.aclose_forcefully, listener)
        async with open_nursery() as nursery:
            door = _Door(converse, connections, handlers or nursery)
            stack.callback(door.close)
            for listener in listeners:
                nursery.start_soon(door.stand, listener)
            task_status.started()


class _Door:
    def __init__(self, converse: Callable[[Any], Awaitable[None]], connections: float, handlers: trio.Nursery) -> None:
        self._converse = converse
        self._connections = connections
        self._handlers = handlers
        self._open = 0
        self._reserve = -1
        self._log = SparingLog(log)
        try:
            self._silent = _silent.get()
        except LookupError:
            self._silent = {}
            _silent.set(self._silent)
        self._take_reserve()

    def close(self) -> None:
        """Gives the reserve back."""
        if self._reserve >= 0:
            os.close(self._reserve)
            self._reserve = -1

    async def stand(self, listener: Listener) -> None:
        """Lets in whoever comes to one listener."""
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    await self._without_descriptors(listener, error)
                else:
                    # One who was gone again, a firewall, a network that is down: nothing that should end a server.
                    self._log.warn("accept", f"a connection was not taken in: {error.strerror}")
                    await trio.sleep(PAUSE)
                continue
            if self._open >= self._connections and not self._make_room(self):
                text = f"a connection was refused: {self._open} are open, the most that this server takes"
                self._log.warn("refused", text)
                await trio.aclose_forcefully(stream)
                continue
            self._open += 1
            self._handlers.start_soon(self._one, stream)

    async def _one(self, stream: trio.abc.Stream) -> None:
        try:
            with trio.CancelScope() as scope:
                self._silent[stream] = _Silent(scope, self)
                await self._converse(stream)
        except Exception:
            log.exception("a connection failed")
        finally:
            self._silent.pop(stream, None)
            self._open -= 1
            await trio.aclose_forcefully(stream)

    def _make_room(self, door: _Door | None) -> bool:
        """Ends the oldest connection, of this door, that has said nothing; False where all have."""
        oldest = next((stream for stream, silent in self._silent.items() if door in (None, silent.door)), None)
        if oldest is None:
            return False
        _end(oldest, self._silent.pop(oldest).scope)
        return True

    async def _without_descriptors(self, listener: Listener, error: OSError) -> None:
        """Somebody waits, and there is no descriptor to take him in."""
        if self._make_room(None):
            self._log.warn("room", f"clients that said nothing make room: {error.strerror}, {self._open} are open")
            await trio.sleep(MOMENT)
            return
        text = f"connections are refused: {error.strerror}, {self._open} are open: raise the limit (ulimit -n)"
        self._log.warn("descriptors", text)
        self.close()
        try:
            with trio.move_on_after(PAUSE):
                await trio.aclose_forcefully(await listener.accept())
        except OSError:
            await trio.sleep(PAUSE)
        finally:
            self._take_reserve()

    def _take_reserve(self) -> None:
        with contextlib.suppress(OSError):
            self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
