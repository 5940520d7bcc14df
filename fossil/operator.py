"""The commands of the console. Source: fossilcons(8)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import CoroutineType
from typing import cast

from fossil.console import Command
from fossil.errors import ConsoleRefused, FossilError
from fossil.filesystem import ROOT
from fossil.history import ARCHIVE, SNAPSHOT
from fossil.schema import ALIVE
from fossil.service import Fossil
from fossil.users import Users
from ninep.wire.dialect import Buffer


class Operator:
    """What an operator can ask of a running file system."""

    def __init__(self, fossil: Fossil) -> None:
        self._fossil = fossil

    @property
    def commands(self) -> Mapping[str, Command]:
        """By name."""
        return {
            "snap": self.snap,
            "last": self.last,
            "snapshots": self.snapshots,
            "expire": self.expire,
            "sync": self.sync,
            "df": self.df,
            "users": self.users,
            "status": self.status,
            "help": self.help,
        }

    async def help(self, words: Sequence[str]) -> str:
        """The commands, a line for each."""
        return "".join(f"{name}: {command.__doc__}\n" for name, command in self.commands.items())

    async def snap(self, words: Sequence[str]) -> str:
        """Makes a snapshot; with -a one that is archived. Prints its path."""
        if list(words) not in ([], ["-a"]):
            raise ConsoleRefused("usage: snap [-a]")
        kind = ARCHIVE if words else SNAPSHOT
        taken = self._fossil.history.take(kind)
        if kind == ARCHIVE:
            self._fossil.archiver.wake()
        return f"/{kind}/{taken.name}\n"

    async def last(self, words: Sequence[str]) -> str:
        """Prints the score of the newest archive; with -w waits until all are written."""
        if list(words) not in ([], ["-w"]):
            raise ConsoleRefused("usage: last [-w]")
        if words:
            await self._fossil.archiver.idle()
        return f"{self._fossil.history.last().score}\n"

    async def snapshots(self, words: Sequence[str]) -> str:
        """Prints every snapshot: its path, its time, and the score of an archive."""
        lines = []
        for kind in (SNAPSHOT, ARCHIVE):
            for taken in self._fossil.history.all(kind):
                when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(taken.time))
                score = taken.score or ("waiting" if kind == ARCHIVE else "")
                lines.append(f"/{kind}/{taken.name} {when} {score}".rstrip() + "\n")
        return "".join(lines)

    async def expire(self, words: Sequence[str]) -> str:
        """Forgets snapshots older than so many minutes; archives stay."""
        if len(words) != 1 or not words[0].isdecimal():
            raise ConsoleRefused("usage: expire MINUTES")
        before = self._fossil.system.now() - 60 * int(words[0])
        return f"{self._fossil.history.expire(before)} snapshots forgotten\n"

    async def sync(self, words: Sequence[str]) -> str:
        """Returns when everything is on the disk."""
        await self._fossil.settle()
        self._fossil.system.check()
        return ""

    async def df(self, words: Sequence[str]) -> str:
        """Prints how much room the data takes, and how many files there are."""
        data = (self._fossil.folder / "data").stat().st_blocks * 512
        query = f"SELECT count(*) FROM node WHERE died={ALIVE}"
        files = self._fossil.system.database.execute(query).fetchone()[0]
        return f"{files} files, {data} bytes of data on the disk\n"

    async def users(self, words: Sequence[str]) -> str:
        """With -r reads /active/adm/users anew."""
        if list(words) != ["-r"]:
            raise ConsoleRefused("usage: users -r")
        await self.read_users()
        return ""

    async def read_users(self) -> None:
        """Takes the table of users from the file system itself. Raises ``ConsoleRefused`` and keeps the old one."""
        system = self._fossil.system
        adm = system.child(system.node(ROOT), "adm")
        file = system.child(adm, "users") if adm is not None else None
        if file is None:
            raise ConsoleRefused("/active/adm/users does not exist")
        data = system.read(file, 0, file.length)
        if type(data) is CoroutineType:
            data = await data
        try:
            system.users = Users.parse(bytes(cast("Buffer", data)).decode())
        except UnicodeDecodeError as error:
            raise ConsoleRefused("/active/adm/users is no text in UTF-8") from error

    async def status(self, words: Sequence[str]) -> str:
        """Says whether anything is wrong."""
        fossil = self._fossil
        lines = [f"writes stopped: {fossil.system.stopped}"] if fossil.system.stopped else []
        waiting = len(fossil.history.waiting())
        if waiting:
            lines.append(f"{waiting} archives wait to be written")
        if (progress := fossil.archiver.progress) is not None:
            lines.append(f"archiving {progress.name}: {progress.files} files, {progress.size} bytes so far")
        if fossil.archiver.trouble:
            lines.append(f"archiver: {fossil.archiver.trouble}")
        try:
            lines.append(f"last archive {fossil.history.last().score}")
        except FossilError as error:
            lines.append(str(error))
        return "".join(line + "\n" for line in lines)
