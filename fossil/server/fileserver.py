"""A file server: file systems by name, the ways to them, and the consoles that rule them. Source: fossil(4)."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import trio

from fossil.console.console import CONSOLE, Commander, Console
from fossil.console.news import News
from fossil.console.prompt import serve_prompts
from fossil.data.lock import held
from fossil.errors import ConsoleRefused, FossilError
from fossil.files.attach import NAME
from fossil.files.rules import Rules
from fossil.live.userfile import read_users
from fossil.live.users import STANDARD, Users
from fossil.server.connections import Clients, Way
from fossil.server.fsys import Fsys
from fossil.server.namespace import NameSpace
from fossil.server.ownclient import OwnClient
from fossil.server.service import Fossil, open_fossil
from ninep.net.accept import accept
from ninep.net.errors import Unreachable
from ninep.net.listen import Listener, listen, where
from ninep.tasks.nursery import background, open_nursery
from ninep.tasks.rounds import Rounds
from venti.log.opening import open_disk_store
from venti.stores.interface import BlockStore

log = logging.getLogger(__name__)

ALL = "all"
"""What stands for each file system in commands, and is the name of none."""
USERS_AGAIN = 5.0
"""Seconds after which a table of users that could not be read is tried again."""
SERVICE = "9fs"
"""The service of an address that names none: port 564."""


class Surroundings(NamedTuple):
    """What a server needs to know of the machine that it runs on.

    Attributes:
        folder: the data directory. A device ``*`` is this directory itself, ``/dev/sdF0/fossil`` is ``sdF0/fossil``
            in it.
        services: the directory for the sockets of services.
        owner: to whom a fresh file system belongs.
        listen: listens on an address.
        dial: opens the archive at an address.
        venti: the address of the archive of file systems that name none; None is one embedded in each.
        durable: whether to answer only what is on the disk.
        local_size: bytes that the data of each file system is brought back to on the disk; None is no bound.
    """

    folder: Path
    services: Path
    owner: str
    listen: Callable[[str], Awaitable[Sequence[Listener]]]
    dial: Callable[[str], AbstractAsyncContextManager[BlockStore]]
    venti: str | None = None
    durable: bool = False
    local_size: int | None = None


class Door(NamedTuple):
    """Something that is listened on: a service, a console, or an address.

    Attributes:
        places: the dial strings that reach it.
        scope: cancelled, nobody comes in any more; who is in stays.
        path: of its socket, if it has one.
        serves_files: whether it is no console.
    """

    places: list[str]
    scope: trio.CancelScope
    path: Path | None
    serves_files: bool = True


class _Attendance(NamedTuple):
    """A console in a data directory that has no file system: cancel ``scope`` and wait until it has ``ended``."""

    scope: trio.CancelScope
    ended: trio.Event


Interpreting: TypeAlias = Callable[["FileServer", str | None], Commander]
"""Makes what carries out commands to a server; those without a name are for the file system of that name, if any."""


class FileServer:
    """A server that runs; made by ``open_file_server``.

    Attributes:
        table: the file systems by name.
        clients: who is connected.
        own: the server as a client of itself.
        names: where the names of devices lead.
        news: what is told on all consoles.
        services: what ``srv`` lists.
        listening: what ``listen`` lists.
        users: the table of users, which all file systems share.
    """

    def __init__(
        self, surroundings: Surroundings, interpreter: Interpreting, systems: trio.Nursery, doors: trio.Nursery
    ) -> None:
        self.surroundings = surroundings
        self._interpreter = interpreter
        self._systems = systems
        self._doors = doors
        self.table: dict[str, Fsys] = {}
        self.clients = Clients(self.table)
        self.own = OwnClient(partial(self.clients.converse, Way("console")), doors)
        self.names = NameSpace(surroundings.folder)
        self.news = News()
        self._attends = False
        self._attendance: _Attendance | None = None
        self.services: dict[str, Door] = {}
        self.listening: dict[str, Door] = {}
        self.users = Users.parse("\n".join(STANDARD))

    # File systems

    def configure(self, name: str, device: str) -> None:
        """Enters a file system, or gives one that is not open another device. Raises ``ConsoleRefused``."""
        if name == ALL or "/" in name or not name:
            raise ConsoleRefused(f"fsys: '{name}' cannot be the name of a file system")
        old = self.table.get(name)
        if old is not None and old.fossil is not None:
            raise ConsoleRefused(f"fsys: '{name}' busy")
        self.table[name] = Fsys(name, device, self.names.find(device))

    def fsys(self, name: str) -> Fsys:
        """The file system of a name. Raises ``ConsoleRefused``."""
        if name not in self.table:
            raise ConsoleRefused(f"fsys: '{name}' not found")
        return self.table[name]

    async def open(self, fsys: Fsys, rules: Rules, *, archiving: bool) -> None:
        """Opens a file system, with its console and its background work.

        Raises:
            ConsoleRefused: it is open, or another is on the same directory.
            DataInUse, DamagedData, OSError: it cannot be.
        """
        if fsys.fossil is not None:
            raise ConsoleRefused(f"fsys: '{fsys.name}' busy")
        fsys.rules, fsys.archiving = rules, archiving
        fsys.scope, fsys.closed, fsys.trouble = trio.CancelScope(), trio.Event(), None
        if fsys.folder == self.surroundings.folder:
            await self._leave()
        try:
            await self._systems.start(self._hold, fsys)
        except BaseException:
            await self._come_back(fsys)
            raise
        if fsys.name == NAME:
            await self._take_users(fsys)
        fsys.open.system.users = self.users

    async def shut(self, fsys: Fsys, *, by_force: bool = False) -> None:
        """Closes a file system, which can then be opened again. ``by_force`` ends the connections of its clients.

        Raises:
            ConsoleRefused: it is in use.
            WritesStopped, OSError: it is closed, and what was not durable may be lost.
        """
        busy = f"fsys: '{fsys.name}' busy"
        if fsys.commands > 1:
            raise ConsoleRefused(f"{busy}: {fsys.commands - 1} commands on it are under way")
        if using := self.clients.using(fsys.name):
            if not by_force:
                raise ConsoleRefused(f"{busy}: {len(using)} clients have attached to it; 'close -f' hangs up on them")
            await self.clients.part(fsys.name)
        try:
            await fsys.close()
        finally:
            await self._come_back(fsys)

    async def _hold(self, fsys: Fsys, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            with fsys.scope:
                await self._serve(fsys, task_status)
        except (FossilError, OSError) as error:
            if not fsys.scope.cancel_called:
                raise
            fsys.trouble = error
        finally:
            fsys.closed.set()

    async def _serve(self, fsys: Fsys, task_status: trio.TaskStatus[None]) -> None:
        around = self.surroundings
        async with open_fossil(
            fsys.folder,
            owner=around.owner,
            open_store=lambda: self.open_store(fsys),
            rules=fsys.rules,
            durable=around.durable,
            local_size=around.local_size,
            where=lambda: fsys.venti or around.venti or "",
            dial=around.dial,
            archiving=fsys.archiving,
            told=self.news.tell,
        ) as fossil:
            console = Console(lambda: self._interpreter(self, fsys.name))
            async with open_nursery() as nursery:
                await nursery.start(console.serve, fsys.folder / CONSOLE, self._doors)
                fsys.fossil = fossil
                task_status.started()

    def open_store(self, fsys: Fsys) -> AbstractAsyncContextManager[BlockStore]:
        """Opens the archive of a file system. Raises ``Unreachable`` if it was opened without."""
        if not fsys.archiving:
            raise Unreachable("file system was opened with -V")
        address = fsys.venti or self.surroundings.venti
        if address:
            return self.surroundings.dial(address)
        return open_disk_store(fsys.folder / "venti")

    async def _take_users(self, fsys: Fsys) -> None:
        fossil = fsys.open
        try:
            text = await read_users(fossil.system)
            self.use(Users.parse(text, log.warning))
        except ConsoleRefused as error:
            log.warning("%s; the standard users are used", error)
            if isinstance(error.__cause__, FossilError):
                self._systems.start_soon(self._take_users_later, fsys, fossil)

    async def _take_users_later(self, fsys: Fsys, fossil: Fossil) -> None:
        """The table may be in venti alone, which was away or not the right one."""
        rounds = Rounds(log, "reading the table of users")
        while fsys.fossil is fossil:
            await trio.sleep(USERS_AGAIN)
            with rounds.one(), contextlib.suppress(ConsoleRefused):
                self.use(Users.parse(await read_users(fossil.system), log.warning))
                log.warning("the table of users can be read now, and is used")
                return

    def use(self, users: Users) -> None:
        """Takes another table of users, for all file systems."""
        self.users = users
        for fsys in self.table.values():
            if fsys.fossil is not None:
                fsys.fossil.system.users = users

    async def attend(self) -> None:
        """Has a console in the data directory even where none of the file systems is right there.

        Raises:
            DataInUse: another process has the directory.
        """
        folder = self.surroundings.folder
        self._attends = True
        if all(fsys.folder != folder for fsys in self.table.values() if fsys.fossil is not None):
            now = _Attendance(trio.CancelScope(), trio.Event())
            await self._systems.start(self._attend, folder, now)
            self._attendance = now

    async def _attend(self, folder: Path, now: _Attendance, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            with now.scope, held(folder):
                console = Console(lambda: self._interpreter(self, None))
                await console.serve(folder / CONSOLE, self._doors, task_status=task_status)
        finally:
            now.ended.set()

    async def _leave(self) -> None:
        """Makes way in the data directory for a file system, which brings a console of its own."""
        if self._attendance is not None:
            self._attendance.scope.cancel()
            await self._attendance.ended.wait()
            self._attendance = None

    async def _come_back(self, fsys: Fsys) -> None:
        """A file system is not open, or no more."""
        if self._attends and fsys.folder == self.surroundings.folder:
            await self.attend()

    # Ways in

    async def listen(self, address: str, listeners: Sequence[Listener] | None = None) -> Door:
        """Serves 9P on an address, perhaps with sockets that listen there already.

        Raises:
            ConsoleRefused: it does that.
            BadAddress, CannotListen: it cannot.
        """
        if address in self.listening:
            raise ConsoleRefused(f"listen: already serving '{address}'")
        listeners = listeners or await self.surroundings.listen(address)
        door = self.listening[address] = self._open(listeners, partial(self.clients.converse, Way(address)), None)
        return door

    async def post(self, way: Way) -> None:
        """Serves 9P on a Unix socket of that name among the services. Raises as ``listen`` does."""
        strict = way.permissions and not way.wstat_anything
        await self._post(way.name, partial(self.clients.converse, way), 0o666 if strict else 0o600)

    async def post_console(self, name: str) -> None:
        """Serves a console, for people and scripts, on a Unix socket. Raises as ``listen`` does."""
        converse = partial(serve_prompts, lambda: self._interpreter(self, None), self.news)
        await self._post(name, converse, 0o600, serves_files=False)

    async def _post(
        self, name: str, converse: Callable[..., Awaitable[None]], mode: int, *, serves_files: bool = True
    ) -> None:
        if name in self.services:
            raise ConsoleRefused(f"srv: already serving '{name}'")
        if "/" in name or name in (".", ".."):
            raise ConsoleRefused(f"srv: '{name}' cannot be the name of a service: it is one of a file")
        folder = self.surroundings.services
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / name
        listeners = await listen(f"unix!{path}", service=SERVICE)
        path.chmod(mode)
        self.services[name] = self._open(listeners, converse, path, serves_files=serves_files)

    def _open(
        self,
        listeners: Sequence[Listener],
        converse: Callable[..., Awaitable[None]],
        path: Path | None,
        *,
        serves_files: bool = True,
    ) -> Door:
        door = Door([where(listener) for listener in listeners], trio.CancelScope(), path, serves_files)
        self._doors.start_soon(self._stand, door, listeners, converse)
        return door

    async def _stand(self, door: Door, listeners: Sequence[Listener], converse: Callable[..., Awaitable[None]]) -> None:
        try:
            with door.scope:
                await accept(listeners, converse, connections=math.inf, handlers=self._doors)
        finally:
            if door.path is not None:
                with contextlib.suppress(OSError):
                    door.path.unlink()

    def close(self, doors: dict[str, Door], name: str, command: str) -> None:
        """Lets nobody in there any more. Raises ``ConsoleRefused``."""
        door = doors.pop(name, None)
        if door is None:
            raise ConsoleRefused(f"{command}: '{name}' not found")
        door.scope.cancel()


@asynccontextmanager
async def open_file_server(surroundings: Surroundings, interpreter: Interpreting) -> AsyncIterator[FileServer]:
    """A server without any file system yet; ``interpreter`` makes what understands a console of it.

    At the end nobody is let in, then connections end, then file systems are made durable and closed.
    """
    async with background() as systems, background() as doors:
        yield FileServer(surroundings, interpreter, systems, doors)
