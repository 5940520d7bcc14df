"""The requests that only 9P2000.L has. Sources: the Linux kernel's 9P client, diod's ``protocol.md``, ``open(2)``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import CoroutineType
from typing import Any, TypeVar

from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.attributes import SECOND, SetAttributes, device
from ninep.protocol.errors import (
    BadFidUse,
    FileExists,
    FileTooBig,
    InvalidArgument,
    IsDirectory,
    NotDirectory,
    UnknownFid,
)
from ninep.server.clunk import after, left
from ninep.server.conversation import Conversation, directory, standing, unopened
from ninep.server.fids import Fid
from ninep.server.files import File
from ninep.server.readdir import CookieReader
from ninep.server.record_locks import RecordLocks
from ninep.server.requests import Method, Requests
from ninep.server.xattrs import ReadXattr, WriteXattr
from ninep.wire.dialect import Maybe
from ninep.wire.maybe import arrived, later, then

T = TypeVar("T")

Clock = Callable[[], int]
"""Nanoseconds since 1970."""

_MODES = (m.OREAD, m.OWRITE, m.ORDWR, m.OREAD)
"""The open mode for each of Linux's; the last is for none, which a client uses to have a file and do nothing to it."""

LARGEST_FILE = (1 << 63) - 1
"""Bytes; lengths are signed where they are kept."""


class LinuxRequests:
    """Answers them, for one connection."""

    def __init__(self, talk: Conversation, shared: Requests, clock: Clock = time.time_ns) -> None:
        self._talk = talk
        self._fids = talk.fids
        self._shared = shared
        self._clock = clock
        self._read_file = shared.methods[m.Tread]
        self._locks = RecordLocks(talk)

    @property
    def methods(self) -> dict[type, Method]:
        """What answers which request. Made anew each time: kept here it would refer to this object, and so for ever."""
        return {
            m.Tread: self._read,
            lm.Tstatfs: self._statfs,
            lm.Tlopen: self._lopen,
            lm.Tlcreate: self._lcreate,
            lm.Tsymlink: self._symlink,
            lm.Tmknod: self._mknod,
            lm.Trename: self._rename,
            lm.Treadlink: self._readlink,
            lm.Tgetattr: self._getattr,
            lm.Tsetattr: self._setattr,
            lm.Txattrwalk: self._xattrwalk,
            lm.Txattrcreate: self._xattrcreate,
            lm.Treaddir: self._readdir,
            lm.Tfsync: self._fsync,
            lm.Tlink: self._link,
            lm.Tmkdir: self._mkdir,
            lm.Trenameat: self._renameat,
            lm.Tunlinkat: self._unlinkat,
            **self._locks.methods,
        }

    def _read(self, request: m.Tread) -> Maybe[Any]:
        if self._fids[request.fid].directory is not None:
            raise IsDirectory
        return self._read_file(request)

    # Opening

    def _mode(self, file: File, flags: int) -> int:
        """Linux's open flags as an open mode."""
        mode = _MODES[flags & lm.L_ACCMODE]
        if flags & lm.L_TRUNC:
            mode |= m.OTRUNC
        if flags & lm.L_APPEND and file.appends:
            mode |= m.OAPPEND
        return mode

    def _lopen(self, request: lm.Tlopen) -> Maybe[Any]:
        fid = self._fids[request.fid]
        return fid.run_alone(self._do_lopen, fid, request.flags)

    def _do_lopen(self, fid: Fid, flags: int) -> Maybe[Any]:
        file = unopened(fid)
        mode = self._mode(file, flags)
        if file.is_directory:
            if mode & ~m.OAPPEND != m.OREAD:
                raise IsDirectory
            mode = m.OREAD
        elif flags & lm.L_DIRECTORY:
            raise NotDirectory
        waiting = file.open(mode)
        if waiting is None:
            return self._opened(fid, file, mode, lm.Rlopen)
        return later(waiting, lambda _: self._opened(fid, file, mode, lm.Rlopen))

    def _opened(self, fid: Fid, file: File, mode: int, reply: type[lm.Rlopen] | type[lm.Rlcreate]) -> Any:
        most = self._talk.most
        fid.open(file, mode, most, CookieReader(file) if file.is_directory else None)
        return reply(file.qid, min(file.iounit, most))

    def _lcreate(self, request: lm.Tlcreate) -> Maybe[Any]:
        fid = self._fids[request.fid]
        return fid.run_alone(self._do_lcreate, fid, request)

    def _do_lcreate(self, fid: Fid, request: lm.Tlcreate) -> Maybe[Any]:
        unopened(fid)
        file = directory(fid)
        name = self._name(file, request.name)
        mode = self._mode(file, request.flags)
        try:
            made = file.lcreate(name, request.mode & 0o7777, mode, _gid(request.gid))
        except FileExists:
            if request.flags & lm.L_EXCL:
                raise
            return self._open_existing(fid, file, name, mode)
        if isinstance(made, File):
            return self._created(fid, file, made, mode)
        return self._creating(fid, file, request, mode, made)

    async def _creating(self, fid: Fid, file: File, request: lm.Tlcreate, mode: int, work: Any) -> Any:
        try:
            made = await work
        except FileExists:
            if request.flags & lm.L_EXCL:
                raise
            return await self._open_existing(fid, file, request.name, mode)
        return await arrived(self._created(fid, file, made, mode))

    async def _open_existing(self, fid: Fid, file: File, name: str, mode: int) -> Any:
        """What ``open(2)`` with O_CREAT does with a file that is there."""
        found = await arrived(file.step(name))
        try:
            if found.is_directory:
                raise IsDirectory
            await arrived(found.open(mode))
        except BaseException:
            await arrived(left(found))
            raise
        return await arrived(self._created(fid, file, found, mode))

    def _created(self, fid: Fid, file: File, made: File, mode: int) -> Maybe[Any]:
        reply = self._opened(fid, made, mode, lm.Rlcreate)
        leaving = left(file)
        return reply if leaving is None else after(leaving, reply)

    # Making and removing names

    def _name(self, file: File, name: str) -> str:
        self._talk.check_name(file, name)
        return name

    def _make(self, number: int, name: str, do: Callable[[File], Maybe[T]], reply: Callable[[T], Any]) -> Maybe[Any]:
        """Something new, or no more, by the name of ``name`` in the directory of a fid."""
        fid = self._fids[number]

        def make() -> Maybe[Any]:
            file = directory(fid)
            self._name(file, name)
            return then(do(file), reply)

        return fid.run_alone(make)

    def _symlink(self, request: lm.Tsymlink) -> Maybe[Any]:
        number, name, target, gid = request
        return self._make(number, name, lambda file: file.symlink(name, target, _gid(gid)), lm.Rsymlink)

    def _mknod(self, request: lm.Tmknod) -> Maybe[Any]:
        number, name, mode, major, minor, gid = request
        rdev = device(major, minor)
        return self._make(number, name, lambda file: file.mknod(name, mode, rdev, _gid(gid)), lm.Rmknod)

    def _mkdir(self, request: lm.Tmkdir) -> Maybe[Any]:
        number, name, mode, gid = request
        return self._make(number, name, lambda file: file.mkdir(name, mode & 0o7777, _gid(gid)), lm.Rmkdir)

    def _unlinkat(self, request: lm.Tunlinkat) -> Maybe[Any]:
        number, name, flags = request
        folder = bool(flags & lm.L_REMOVEDIR)
        return self._make(number, name, lambda file: file.unlinkat(name, folder), lambda _: lm.Runlinkat())

    def _link(self, request: lm.Tlink) -> Maybe[Any]:
        fid, other = self._fids[request.dfid], self._fids[request.fid]

        def link() -> Maybe[Any]:
            file = directory(fid)
            return then(file.link(self._name(file, request.name), standing(other)), lambda _: lm.Rlink())

        return Fid.run_both(fid, other, link)

    def _rename(self, request: lm.Trename) -> Maybe[Any]:
        fid, target = self._fids[request.fid], self._fids[request.dfid]

        def rename() -> Maybe[Any]:
            file, there = standing(fid), directory(target)
            return then(file.rename(there, self._name(there, request.name)), lambda _: lm.Rrename())

        return Fid.run_both(fid, target, rename)

    def _renameat(self, request: lm.Trenameat) -> Maybe[Any]:
        fid, target = self._fids[request.olddirfid], self._fids[request.newdirfid]

        def rename() -> Maybe[Any]:
            file, there = directory(fid), directory(target)
            old, new = self._name(file, request.oldname), self._name(there, request.newname)
            return then(file.renameat(old, there, new), lambda _: lm.Rrenameat())

        return Fid.run_both(fid, target, rename)

    # Looking and changing

    def _share(self, number: int, do: Callable[[File], Maybe[T]], reply: Callable[[T], Any]) -> Maybe[Any]:
        """What may run beside reads and writes."""
        fid = self._fids[number]
        if fid.held:
            return fid.run_queued(lambda: then(do(standing(fid)), reply), alone=False)
        answer = then(do(standing(fid)), reply)
        return fid.run_shared(answer) if isinstance(answer, CoroutineType) else answer

    def _alone(self, number: int, do: Callable[[File], Maybe[T]], reply: Callable[[T], Any]) -> Maybe[Any]:
        fid = self._fids[number]
        return fid.run_alone(lambda: then(do(standing(fid)), reply))

    def _getattr(self, request: lm.Tgetattr) -> Maybe[Any]:
        number, mask = request
        fid = self._fids[number]
        if fid.held:
            return self._share(number, lambda file: file.getattr(mask), lm.Rgetattr)
        found = fid.file.getattr(mask)  # type: ignore[union-attr]  # only a fid that is held may have none
        if type(found) is CoroutineType:
            return fid.run_shared(later(found, lm.Rgetattr))
        return lm.Rgetattr(found)  # type: ignore[arg-type]  # no coroutine: see above

    def _readlink(self, request: lm.Treadlink) -> Maybe[Any]:
        return self._share(request.fid, lambda file: file.readlink(), lm.Rreadlink)

    def _statfs(self, request: lm.Tstatfs) -> Maybe[Any]:
        return self._share(request.fid, lambda file: file.statfs(), lm.Rstatfs)

    def _setattr(self, request: lm.Tsetattr) -> Maybe[Any]:
        changes = settings(request, self._clock)
        return self._alone(request.fid, lambda file: file.setattr(changes), lambda _: lm.Rsetattr())

    def _fsync(self, request: lm.Tfsync) -> Maybe[Any]:
        return self._alone(request.fid, lambda file: file.fsync(bool(request.datasync)), lambda _: lm.Rfsync())

    def _readdir(self, request: lm.Treaddir) -> Maybe[Any]:
        number, offset, count = request
        fid = self._fids[number]

        def read() -> Maybe[Any]:
            if fid.directory is None:
                raise NotDirectory if fid.opened else BadFidUse
            return then(fid.directory.read(offset, min(count, fid.most)), lm.Rreaddir)

        return fid.run_alone(read)

    # Extended attributes

    def _xattrwalk(self, request: lm.Txattrwalk) -> Maybe[Any]:
        number, newnumber, name = request
        fid = self._fids[number]
        if newnumber == m.NOFID:
            raise UnknownFid
        if newnumber == number:
            return fid.run_alone(self._do_xattrwalk, fid, fid, name)
        new = self._fids.add(newnumber)
        try:
            result = fid.run_alone(self._do_xattrwalk, fid, new, name)
        except BaseException:
            del self._fids[newnumber]
            raise
        if isinstance(result, CoroutineType):
            return self._shared.setting_up(new, newnumber, result)
        return result

    def _do_xattrwalk(self, fid: Fid, new: Fid, name: str) -> Maybe[Any]:
        file = unopened(fid) if new is fid else standing(fid)
        if name:
            return then(file.getxattr(name), lambda value: self._fetched(fid, file, new, bytes(value)))
        return then(file.listxattr(), lambda names: self._fetched(fid, file, new, _joined(names)))

    def _fetched(self, fid: Fid, file: File, new: Fid, value: bytes) -> Maybe[Any]:
        new.open(ReadXattr(file.qid, value), m.OREAD, self._talk.most)
        reply = lm.Rxattrwalk(len(value))
        leaving = left(file) if new is fid else None
        return reply if leaving is None else after(leaving, reply)

    def _xattrcreate(self, request: lm.Txattrcreate) -> Maybe[Any]:
        fid = self._fids[request.fid]

        def create() -> Any:
            if not request.name:
                raise InvalidArgument
            attribute = WriteXattr(unopened(fid), request.name, request.size, request.flags, self._talk.tree.commit)
            fid.open(attribute, m.OWRITE, self._talk.most)
            return lm.Rxattrcreate()

        return fid.run_alone(create)


def _gid(number: int) -> int | None:
    """The group that a client wants; all ones are none."""
    return None if number == m.NOFID else number


def _joined(names: Sequence[str]) -> bytes:
    return b"".join([name.encode("utf-8", "surrogateescape") + b"\0" for name in names])


def _time(seconds: int, nanoseconds: int) -> int:
    """Nanoseconds since 1970. Seconds before that are negative, and stand in a message as such in 64 bits."""
    return (seconds - (seconds >> 63 << 64)) * SECOND + nanoseconds


def settings(request: lm.Tsetattr, clock: Clock) -> SetAttributes:
    """What a setattr asks for, with the present where it asks for that."""
    valid = request.valid
    if valid & lm.SET_SIZE and request.size > LARGEST_FILE:
        raise FileTooBig
    now = clock() if valid & (lm.SET_ATIME | lm.SET_MTIME) else 0
    atime = _time(request.atime_sec, request.atime_nsec) if valid & lm.SET_ATIME_SET else now
    mtime = _time(request.mtime_sec, request.mtime_nsec) if valid & lm.SET_MTIME_SET else now
    return SetAttributes(
        request.mode & 0o7777 if valid & lm.SET_MODE else None,
        request.uid if valid & lm.SET_UID else None,
        request.gid if valid & lm.SET_GID else None,
        request.size if valid & lm.SET_SIZE else None,
        atime if valid & lm.SET_ATIME else None,
        mtime if valid & lm.SET_MTIME else None,
        bool(valid & lm.SET_ATIME and not valid & lm.SET_ATIME_SET),
        bool(valid & lm.SET_MTIME and not valid & lm.SET_MTIME_SET),
    )
