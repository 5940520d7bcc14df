"""The connected clients: how each came in, as whom, and what it may do."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import NamedTuple

import trio

from fossil.files.attach import NAME, FossilTree
from fossil.live.users import NOBODY
from fossil.server.fsys import Fsys
from ninep.net.accept import make_room
from ninep.protocol.errors import FileError
from ninep.server.files import File, FileTree
from ninep.server.serve import is_local, serve_stream
from ninep.tasks.sparing import SparingLog
from ninep.wire.dialect import Maybe
from ninep.wire.limits import Limits

log = logging.getLogger(__name__)

MOST = 1024
"""Clients that are served at once unless somebody says otherwise; more of them are turned away."""


class Way(NamedTuple):
    """A way in: a service or an address that is listened on.

    Attributes:
        name: what the console calls it.
        permissions: whether modes, users and groups are looked at.
        wstat_anything: whether everybody may change owners, groups and modes.
    """

    name: str
    permissions: bool = True
    wstat_anything: bool = False


class Client(FileTree):
    """One connection: the tree that it sees.

    Attributes:
        way: how it came.
        remote: where it came from, as far as that has a name.
        users: who has attached.
        scope: cancelled, it is served no more.
    """

    def __init__(self, table: Mapping[str, Fsys], way: Way, remote: str) -> None:
        self._table = table
        self._trees: dict[str, FossilTree] = {}
        self.way = way
        self.remote = remote
        self.users: set[str] = set()
        self.scope = trio.CancelScope()

    def uses(self, name: str) -> bool:
        """Whether it has attached to the file system of this name."""
        return name in self._trees

    def user(self, uid: int, uname: str, aname: str) -> str:
        """As the table of users of that file system says."""
        return self._tree(aname)[1].user(uid, uname, aname)

    def attach(self, uname: str, aname: str, *, local: bool = False) -> Maybe[File]:
        """The file system that begins ``aname``, ``main`` if it is empty, and in it what the rest says."""
        name, tree = self._tree(aname)
        root = tree.attach(uname, aname, local=local)
        self._trees[name] = tree
        self.users.add(uname or NOBODY)
        return root

    def _tree(self, aname: str) -> tuple[str, FossilTree]:
        name = aname.partition("/")[0] or NAME
        fsys = self._table.get(name)
        if fsys is None:
            raise FileError(f"fsys: '{name}' not found")
        if fsys.fossil is None:
            raise FileError(f"fsys: '{name}' not open")
        way = self.way
        return name, fsys.tree(fsys.rules.relaxed(permissions=way.permissions, wstat_anything=way.wstat_anything))

    def commit(self) -> Maybe[None]:
        """See ``FileTree``; of every file system that was attached here."""
        waiting = [work for tree in self._trees.values() if (work := tree.commit()) is not None]
        return _all(waiting) if waiting else None

    def rest(self) -> None:
        """See ``FileTree``; of every file system that was attached here."""
        for tree in self._trees.values():
            tree.rest()


async def _all(waiting: Sequence[Awaitable[None]]) -> None:
    for work in waiting:
        await work


class Clients:
    """All connections of a server.

    Attributes:
        most: how many are served at once.
        starved: how often one was turned away because there were too many.
        limits: what a connection that comes from now on may hold.
    """

    def __init__(self, table: Mapping[str, Fsys]) -> None:
        self._table = table
        self._clients: dict[Client, None] = {}
        self._gone = trio.lowlevel.ParkingLot()
        self.most = MOST
        self.starved = 0
        self.limits = Limits()
        self._log = SparingLog(log)

    def __iter__(self) -> Iterator[Client]:
        return iter(list(self._clients))

    def using(self, name: str) -> list[Client]:
        """Those that have attached to a file system."""
        return [client for client in self if client.uses(name)]

    async def part(self, name: str) -> None:
        """Ends the connections of those that have; what they were answered stays done."""
        while using := self.using(name):
            for client in using:
                client.scope.cancel()
            await self._gone.park()

    async def converse(self, way: Way, stream: trio.abc.Stream) -> None:
        """Serves one client until it goes. A bug that it meets ends nobody else's connection."""
        if len(self._clients) >= self.most and not make_room(stream):
            self.starved += 1
            text = f"a connection was turned away: {self.most} are open, the most that this server takes"
            self._log.warn("turned away", text)
            await trio.aclose_forcefully(stream)
            return
        client = Client(self._table, way, _remote(stream))
        self._clients[client] = None
        try:
            with client.scope:
                await serve_stream(stream, client, local=is_local(stream), limits=self.limits)
        except Exception:
            log.exception("a connection failed")
        finally:
            del self._clients[client]
            self._gone.unpark_all()


def _remote(stream: trio.abc.Stream) -> str:
    """The other end as a dial string; nothing for a Unix socket, whose other end has no name."""
    if isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    try:
        name = stream.socket.getpeername() if isinstance(stream, trio.SocketStream) else None
    except OSError:
        return ""
    return f"tcp!{name[0]}!{name[1]}" if isinstance(name, tuple) else ""
