"""The requests that 9P2000.L replaces by others: open, create, stat and wstat. Sources: open(5), stat(5)."""

from __future__ import annotations

from collections.abc import Coroutine
from types import CoroutineType
from typing import Any

from ninep.protocol import messages as m
from ninep.protocol.errors import IllegalMode, IllegalName, IsDirectory
from ninep.protocol.permissions import legal
from ninep.protocol.stat import DMDIR, Stat
from ninep.server.clunk import after, left
from ninep.server.conversation import Conversation, directory, standing, unopened
from ninep.server.directory import DirectoryReader
from ninep.server.fids import Fid
from ninep.server.files import File
from ninep.server.requests import Method
from ninep.wire.dialect import Maybe
from ninep.wire.maybe import later, then


class Plan9Requests:
    """Answers them, for one connection that speaks 9P2000."""

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk
        self._fids = talk.fids

    @property
    def methods(self) -> dict[type, Method]:
        """What answers which request. Made anew each time: kept here it would refer to this object, and so for ever."""
        return {
            m.Topen: self._open,
            m.Tcreate: self._create,
            m.Tstat: self._stat,
            m.Twstat: self._wstat,
        }

    def _open(self, request: m.Topen) -> Maybe[m.Reply]:
        fid = self._fids[request.fid]
        return fid.run_alone(self.do_open, fid, request.mode & ~m.OCEXEC)

    def do_open(self, fid: Fid, mode: int) -> Maybe[m.Reply]:
        """Opens the file of a fid that it has alone."""
        file = unopened(fid)
        folder = file.is_directory
        mode = self.meant(file, mode)
        if not legal(mode & ~m.OAPPEND, directory=folder):
            raise IsDirectory if folder else IllegalMode
        waiting = file.open(mode)
        if waiting is not None:
            return self._opening(fid, file, mode, waiting)
        self._opened(fid, file, mode)
        return m.Ropen(file.qid, min(file.iounit, self._talk.most))

    def meant(self, file: File, mode: int) -> int:
        """The open mode as ``file`` understands it. Raises ``IllegalMode``."""
        if mode & m.OAPPEND:
            raise IllegalMode
        return mode

    async def _opening(self, fid: Fid, file: File, mode: int, work: Coroutine[Any, Any, None]) -> m.Reply:
        await work
        self._opened(fid, file, mode)
        return m.Ropen(file.qid, min(file.iounit, self._talk.most))

    def _opened(self, fid: Fid, file: File, mode: int) -> None:
        fid.open(file, mode, self._talk.most, self.reader(file) if file.is_directory else None)

    def reader(self, file: File) -> DirectoryReader:
        """What reads an open directory."""
        return DirectoryReader(file.entries)

    def _create(self, request: m.Tcreate) -> Maybe[m.Reply]:
        fid = self._fids[request.fid]
        return fid.run_alone(self.do_create, fid, request)

    def do_create(self, fid: Fid, request: m.Tcreate) -> Maybe[m.Reply]:
        """Makes a file by a fid that it has alone."""
        unopened(fid)
        file = directory(fid)
        self._talk.check_name(file, request.name)
        mode = self.meant(file, request.mode & ~m.OCEXEC)
        if not legal(mode & ~m.OAPPEND, directory=bool(request.perm & DMDIR)):
            raise IllegalMode
        made = self.make(file, request.name, request.perm, mode)
        if not isinstance(made, File):
            return self._creating(fid, file, mode, made)
        self._opened(fid, made, mode)
        reply = m.Rcreate(made.qid, min(made.iounit, self._talk.most))
        leaving = left(file)
        return reply if leaving is None else after(leaving, reply)

    async def _creating(self, fid: Fid, file: File, mode: int, work: Coroutine[Any, Any, File]) -> m.Reply:
        made = await work
        self._opened(fid, made, mode)
        reply = m.Rcreate(made.qid, min(made.iounit, self._talk.most))
        leaving = left(file)
        return reply if leaving is None else await after(leaving, reply)

    def make(self, file: File, name: str, perm: int, mode: int) -> Maybe[File]:
        """Makes a file in a directory."""
        return file.create(name, perm, mode)

    def _stat(self, request: m.Tstat) -> Maybe[m.Reply]:
        fid = self._fids[request.fid]
        if fid.held:
            return fid.run_queued(self._do_stat, fid, alone=False)
        stat = fid.file.stat()  # type: ignore[union-attr]  # only a fid that is held may have none
        if type(stat) is CoroutineType:
            return fid.run_shared(self._stating(fid.file, stat))  # type: ignore[arg-type]  # it has a file: see above
        return self.told(fid.file, stat)  # type: ignore[arg-type]  # no coroutine: see above

    def _do_stat(self, fid: Fid) -> Maybe[m.Reply]:
        file = standing(fid)
        return then(file.stat(), lambda stat: self.told(file, stat))

    async def _stating(self, file: File, work: Coroutine[Any, Any, Stat]) -> m.Reply:
        return self.told(file, await work)

    def told(self, file: File, stat: Stat) -> m.Reply:
        """The answer to a stat."""
        return m.Rstat(stat)

    def _wstat(self, request: m.Twstat) -> Maybe[m.Reply]:
        fid = self._fids[request.fid]
        return fid.run_alone(self._do_wstat, fid, request.stat)

    def _do_wstat(self, fid: Fid, changes: Stat) -> Maybe[m.Reply]:
        file, name = standing(fid), changes.name
        if name == "/":
            return then(
                file.stat(), lambda stat: then(self.change(file, _without_name(changes, stat)), lambda _: m.Rwstat())
            )
        if name:
            self._talk.check_name(file, name)
        waiting = self.change(file, changes)
        return m.Rwstat() if waiting is None else later(waiting, lambda _: m.Rwstat())

    def change(self, file: File, changes: Stat) -> Maybe[None]:
        """Makes the changes of a wstat, whose name is a good one."""
        return file.wstat(changes)


def _without_name(changes: Stat, current: Stat) -> Stat:
    """A root is called ``/`` and may be told so; nothing else can be."""
    if current.name != "/":
        raise IllegalName
    return changes._replace(name="")
