"""One connection's conversation with a served tree: fids, checks and the order of things. Source: intro(5) and on.

What a message asks is checked and reserved when it arrives. A file that answers at once costs no task; where it has
to wait, the rest of the request is a coroutine that holds its fid meanwhile. A later request on a fid that is held
waits for its turn, so that a client may send a walk, an open and a read in one go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from types import CoroutineType
from typing import Any, TypeVar, cast

import trio

from ninep import messages as m
from ninep.dialect import MSIZE, NinePDialect
from ninep.errors import (
    AuthenticationNotRequired,
    BadDirectoryOffset,
    BadFidUse,
    FileError,
    IllegalMode,
    IllegalName,
    IsDirectory,
    NotDirectory,
    UnknownFid,
)
from ninep.fids import UNOPENED, Fid, FidTable
from ninep.files import File, FileTree, Walked
from ninep.permissions import legal, readable, writable
from ninep.qid import QTDIR
from ninep.stat import DMDIR, Stat
from ninep.wire.dialect import Buffer, Maybe

T = TypeVar("T")

log = logging.getLogger(__name__)

LEAST_MSIZE = 256
"""A full Rwalk has 217 bytes."""
MOST_FIDS = 65536
CLUNK_PATIENCE = 10.0
"""Seconds that giving up a file may take after its request was given up itself."""


class NinePSession:
    """A ``wire.Session`` that serves ``tree`` to one client."""

    def __init__(
        self,
        tree: FileTree,
        dialect: NinePDialect,
        *,
        max_msize: int = MSIZE,
        local: bool = False,
        max_fids: int = MOST_FIDS,
    ) -> None:
        self._tree = tree
        self._dialect = dialect
        self._max_msize = max_msize
        self._local = local
        self._fids = FidTable(max_fids)
        self._most = 0
        self.commit: Callable[[], Maybe[None]] = tree.commit
        self._methods: dict[type, Callable[[Any], Any]] = {
            m.Tversion: self._version,
            m.Tauth: self._auth,
            m.Tattach: self._attach,
            m.Twalk: self._walk,
            m.Topen: self._open,
            m.Tcreate: self._create,
            m.Tread: self._read,
            m.Twrite: self._write,
            m.Tclunk: self._clunk,
            m.Tremove: self._remove,
            m.Tstat: self._stat,
            m.Twstat: self._wstat,
        }

    def begin(self, request: m.Request) -> m.Reply | Coroutine[Any, Any, m.Reply | None] | None:
        """Checks and reserves, then answers or returns the rest as a coroutine. Raises ``FileError``."""
        if not self._most and type(request) is not m.Tversion:
            raise FileError("no version agreed: Tversion must come first")
        return cast("m.Reply", self._methods[type(request)](request))

    async def reset(self) -> None:
        """Gives up all fids, removing what was opened for that."""
        self._most = 0
        for fid in self._fids.take_all():
            if fid.file is not None:
                try:
                    waiting = fid.file.remove() if _removes(fid) else fid.file.clunk()
                    if waiting is not None:
                        await waiting
                except FileError as error:
                    log.debug("giving up a fid: %s", error)

    async def aclose(self) -> None:
        """The same, at the end of the connection."""
        try:
            await self.reset()
            waiting = self.commit()
            if waiting is not None:
                await waiting
        except Exception:
            log.exception("closing a session failed")

    # Each of the following takes a request; it answers, or returns a coroutine that will.

    def _version(self, request: m.Tversion) -> m.Reply:
        if request.msize < LEAST_MSIZE:
            raise FileError("version: message size too small")
        msize = min(request.msize, self._max_msize)
        if request.version.partition(".")[0] != m.VERSION:
            return m.Rversion(msize, "unknown")
        self._dialect.msize = msize
        self._most = msize - m.IOHDRSZ
        return m.Rversion(msize, m.VERSION)

    def _auth(self, request: m.Tauth) -> m.Reply:
        raise AuthenticationNotRequired

    def _attach(self, request: m.Tattach) -> Maybe[m.Reply]:
        if request.afid != m.NOFID or request.fid == m.NOFID:
            raise UnknownFid
        fid = self._fids.add(request.fid)
        try:
            root = self._tree.attach(request.uname, request.aname, local=self._local)
        except BaseException:
            self._fids.take(request.fid)
            raise
        if isinstance(root, File):
            fid.file = root
            return m.Rattach(root.qid)
        return self._setting_up(fid, request.fid, self._attaching(fid, root))

    async def _attaching(self, fid: Fid, work: Coroutine[Any, Any, File]) -> m.Reply:
        fid.file = await work
        return m.Rattach(fid.file.qid)

    def _walk(self, request: m.Twalk) -> Maybe[m.Reply]:
        number, newnumber, _ = request
        fid = self._fids[number]
        if newnumber == number:
            return self._alone(fid, self._do_walk, request, fid)
        if newnumber == m.NOFID:
            raise UnknownFid
        new = self._fids.add(newnumber)
        try:
            result = self._alone(fid, self._do_walk, request, new)
        except BaseException:
            self._fids.take(newnumber)
            raise
        if type(result) is CoroutineType:
            return self._setting_up(new, newnumber, result)
        if new.file is None:
            self._fids.take(newnumber)
        return result

    def _setting_up(self, fid: Fid, number: int, work: Coroutine[Any, Any, m.Reply]) -> Maybe[m.Reply]:
        """Holds a fid that is about to be; if it does not get its file it is taken out again."""
        fid.alone = True

        async def set_up() -> m.Reply:
            try:
                return await work
            finally:
                if fid.file is None:
                    self._fids.take(number)
                fid.release(alone=True)

        return set_up()

    def _do_walk(self, fid: Fid, request: m.Twalk, new: Fid) -> Maybe[m.Reply]:
        names = request.wnames
        file = _file(fid)
        if fid.mode != UNOPENED:
            raise BadFidUse
        if not names:
            if new is not fid:
                new.file = file.clone()
            return m.Rwalk([])
        if not file.qid.type & QTDIR:
            raise NotDirectory
        good = _good_names(names)
        if not good:
            raise IllegalName
        walked = file.walk(names if good == len(names) else names[:good])
        if type(walked) is CoroutineType:
            return self._walking(fid, request, new, walked)
        qids, found = cast("Walked", walked)
        waiting: Maybe[None] = None
        if found is not None and len(qids) < len(names):
            waiting = found.clunk()
        elif found is not None:
            new.file = found
            if new is fid:
                waiting = file.clunk()
        return m.Rwalk(qids) if waiting is None else self._ended(waiting, m.Rwalk(qids))

    async def _walking(self, fid: Fid, request: m.Twalk, new: Fid, work: Coroutine[Any, Any, Walked]) -> m.Reply:
        qids, found = await work
        unwanted: File | None = None
        if found is not None and len(qids) < len(request.wnames):
            unwanted = found
        elif found is not None:
            if new is fid:
                unwanted = fid.file
            new.file = found
        waiting = unwanted.clunk() if unwanted is not None else None
        return m.Rwalk(qids) if waiting is None else await self._ended(waiting, m.Rwalk(qids))

    def _open(self, request: m.Topen) -> Maybe[m.Reply]:
        return self._alone(self._fids[request.fid], self._do_open, request)

    def _do_open(self, fid: Fid, request: m.Topen) -> Maybe[m.Reply]:
        file = _file(fid)
        if fid.mode != UNOPENED:
            raise BadFidUse
        mode = request.mode & ~m.OCEXEC
        directory = bool(file.qid.type & QTDIR)
        if not legal(mode, directory=directory):
            raise IsDirectory if directory else IllegalMode
        waiting = file.open(mode)
        if waiting is not None:
            return self._opening(fid, file, mode, waiting)
        fid.mode = mode
        return m.Ropen(file.qid, min(file.iounit, self._most))

    async def _opening(self, fid: Fid, file: File, mode: int, work: Coroutine[Any, Any, None]) -> m.Reply:
        await work
        fid.mode = mode
        return m.Ropen(file.qid, min(file.iounit, self._most))

    def _create(self, request: m.Tcreate) -> Maybe[m.Reply]:
        return self._alone(self._fids[request.fid], self._do_create, request)

    def _do_create(self, fid: Fid, request: m.Tcreate) -> Maybe[m.Reply]:
        _, name, perm, mode = request
        file = _file(fid)
        if fid.mode != UNOPENED:
            raise BadFidUse
        if not file.qid.type & QTDIR:
            raise NotDirectory
        if name == ".." or not _good_names([name]):
            raise IllegalName
        mode &= ~m.OCEXEC
        if not legal(mode & ~m.ORCLOSE if perm & DMDIR else mode, directory=bool(perm & DMDIR)):
            raise IllegalMode
        made = file.create(name, perm, mode)
        if not isinstance(made, File):
            return self._creating(fid, file, mode, made)
        fid.file, fid.mode = made, mode
        waiting = file.clunk()
        reply = m.Rcreate(made.qid, min(made.iounit, self._most))
        return reply if waiting is None else self._ended(waiting, reply)

    async def _creating(self, fid: Fid, directory: File, mode: int, work: Coroutine[Any, Any, File]) -> m.Reply:
        made = await work
        fid.file, fid.mode = made, mode
        waiting = directory.clunk()
        reply = m.Rcreate(made.qid, min(made.iounit, self._most))
        return reply if waiting is None else await self._ended(waiting, reply)

    def _read(self, request: m.Tread) -> Maybe[m.Reply]:
        number, offset, count = request
        fid = self._fids[number]
        file = fid.file
        if fid.held or file is None or file.qid.type & QTDIR:
            return self._read_otherwise(fid, request)
        if not readable(fid.mode):
            raise BadFidUse
        data = file.read(offset, count if count < self._most else self._most)
        if type(data) is CoroutineType:
            return self._sharing(fid, data, m.Rread)
        return m.Rread(cast("Buffer", data))

    def _read_otherwise(self, fid: Fid, request: m.Tread) -> Maybe[m.Reply]:
        if fid.file is not None and fid.file.qid.type & QTDIR and fid.mode != UNOPENED:
            return self._alone(fid, self._do_list, request)
        return self._queued(fid, self._do_read, request, alone=False)

    def _do_read(self, fid: Fid, request: m.Tread) -> Maybe[m.Reply]:
        """A read that had to wait for an open, say; what it waited for may have made the fid a directory's."""
        file = _file(fid)
        if not readable(fid.mode):
            raise BadFidUse
        if file.qid.type & QTDIR:
            return self._do_list(fid, request)
        data = file.read(request.offset, min(request.count, self._most))
        return _made(data, m.Rread) if type(data) is CoroutineType else m.Rread(cast("Buffer", data))

    def _do_list(self, fid: Fid, request: m.Tread) -> Maybe[m.Reply]:
        file, offset, count = _file(fid), request.offset, min(request.count, self._most)
        if offset and offset != fid.offset:
            raise BadDirectoryOffset
        rewind = offset == 0
        if rewind:
            fid.entries = []
            fid.offset = 0
        while sum(map(len, fid.entries)) < count:
            found = file.list(rewind)
            if type(found) is CoroutineType:
                return self._listing(fid, file, count, found)
            rewind = False
            if not found:
                break
            fid.entries += [stat.pack() for stat in cast("Sequence[Stat]", found)]
        return _entries(fid, count)

    async def _listing(self, fid: Fid, file: File, count: int, work: Coroutine[Any, Any, Sequence[Stat]]) -> m.Reply:
        found = await work
        while found:
            fid.entries += [stat.pack() for stat in found]
            if sum(map(len, fid.entries)) >= count:
                break
            more = file.list(False)
            found = await more if isinstance(more, CoroutineType) else cast("Sequence[Stat]", more)
        return _entries(fid, count)

    def _write(self, request: m.Twrite) -> Maybe[m.Reply]:
        fid = self._fids[request.fid]
        file = fid.file
        if fid.held or file is None:
            return self._queued(fid, self._do_write, request._replace(data=bytes(request.data)), alone=False)
        if not writable(fid.mode):
            raise BadFidUse
        count = file.write(request.offset, request.data)
        if type(count) is CoroutineType:
            return self._sharing(fid, count, m.Rwrite)
        return m.Rwrite(cast("int", count))

    def _do_write(self, fid: Fid, request: m.Twrite) -> Maybe[m.Reply]:
        file = _file(fid)
        if not writable(fid.mode):
            raise BadFidUse
        count = file.write(request.offset, request.data)
        return _made(count, m.Rwrite) if type(count) is CoroutineType else m.Rwrite(cast("int", count))

    def _clunk(self, request: m.Tclunk) -> Maybe[m.Reply]:
        return self._alone(self._fids.take(request.fid), self._do_clunk, request, shield=True)

    def _do_clunk(self, fid: Fid, request: m.Tclunk) -> Maybe[m.Reply]:
        file = _file(fid)
        waiting = file.remove() if _removes(fid) else file.clunk()
        return m.Rclunk() if waiting is None else self._ended(waiting, m.Rclunk())

    def _remove(self, request: m.Tremove) -> Maybe[m.Reply]:
        return self._alone(self._fids.take(request.fid), self._do_remove, request, shield=True)

    def _do_remove(self, fid: Fid, request: m.Tremove) -> Maybe[m.Reply]:
        waiting = _file(fid).remove()
        return m.Rremove() if waiting is None else self._ended(waiting, m.Rremove())

    async def _ended(self, work: Coroutine[Any, Any, None], reply: m.Reply) -> m.Reply:
        """A view is given up: its file must hear of that even if the client gives the request up."""
        with trio.move_on_after(CLUNK_PATIENCE, shield=True) as scope:
            await work
        if scope.cancelled_caught:
            raise FileError("timed out")
        return reply

    def _stat(self, request: m.Tstat) -> Maybe[m.Reply]:
        fid = self._fids[request.fid]
        if fid.file is None:
            return self._queued(fid, self._do_stat, request, alone=False)
        stat = fid.file.stat()
        if type(stat) is CoroutineType:
            return self._sharing(fid, stat, m.Rstat)
        return m.Rstat(cast("Stat", stat))

    def _do_stat(self, fid: Fid, request: m.Tstat) -> Maybe[m.Reply]:
        stat = _file(fid).stat()
        return _made(stat, m.Rstat) if type(stat) is CoroutineType else m.Rstat(cast("Stat", stat))

    def _wstat(self, request: m.Twstat) -> Maybe[m.Reply]:
        return self._alone(self._fids[request.fid], self._do_wstat, request)

    def _do_wstat(self, fid: Fid, request: m.Twstat) -> Maybe[m.Reply]:
        file, name = _file(fid), request.stat.name
        if name and name != "/" and (name == ".." or not _good_names([name])):
            raise IllegalName
        waiting = file.wstat(request.stat)
        return m.Rwstat() if waiting is None else _made(waiting, lambda _: m.Rwstat())

    # Holding fids while something waits.

    def _alone(
        self, fid: Fid, do: Callable[..., Maybe[m.Reply]], request: Any, *extra: Any, shield: bool = False
    ) -> Maybe[m.Reply]:
        """Does it now if the fid is idle, else when its turn has come; the fid is had alone until it is done."""
        if fid.busy:
            return self._queued(fid, do, request, *extra, alone=True, shield=shield)
        result = do(fid, request, *extra)
        if type(result) is CoroutineType:
            fid.alone = True
            return _releasing(fid, result, alone=True)
        return result

    def _sharing(self, fid: Fid, work: Coroutine[Any, Any, T], reply: Callable[[T], m.Reply]) -> Maybe[m.Reply]:
        fid.shared += 1
        return _releasing(fid, _made(work, reply), alone=False)

    def _queued(
        self,
        fid: Fid,
        do: Callable[..., Maybe[m.Reply]],
        request: Any,
        *extra: Any,
        alone: bool,
        shield: bool = False,
    ) -> Maybe[m.Reply]:
        """Does it when the fid's turn has come; places in the queue go in the order of arrival.

        With ``shield`` it is done even if the client loses interest: a fid that is being given up.
        """
        turn = fid.queue(alone=alone)

        async def wait() -> m.Reply:
            with trio.CancelScope(shield=shield):
                await fid.wait(turn)
                try:
                    result = do(fid, request, *extra)
                    return await result if isinstance(result, CoroutineType) else cast("m.Reply", result)
                finally:
                    fid.release(alone=alone)
            raise AssertionError("a scope that nobody cancels")

        return wait()


async def _releasing(fid: Fid, work: Coroutine[Any, Any, m.Reply], *, alone: bool) -> m.Reply:
    try:
        return await work
    finally:
        fid.release(alone=alone)


async def _made(work: Coroutine[Any, Any, T], reply: Callable[[T], m.Reply]) -> m.Reply:
    return reply(await work)


def _file(fid: Fid) -> File:
    """What the fid stands for; a fid that was to be and did not come to be is unknown."""
    if fid.file is None:
        raise UnknownFid
    return fid.file


def _removes(fid: Fid) -> bool:
    return fid.mode != UNOPENED and bool(fid.mode & m.ORCLOSE)


def _good_names(names: Sequence[str]) -> int:
    """How many names from the first on can be those of files."""
    for position, name in enumerate(names):
        if not name or name == "." or "/" in name or (not name.isprintable() and _odd(name)):
            return position
    return len(names)


def _odd(name: str) -> bool:
    """Control characters, and bytes that were no UTF-8, cannot be in a name."""
    return any(letter < " " or letter == "\x7f" or "\ud800" <= letter <= "\udfff" for letter in name)


def _entries(fid: Fid, count: int) -> m.Reply:
    """As many whole entries as fit."""
    size = 0
    taken = 0
    for entry in fid.entries:
        if size + len(entry) > count:
            break
        size += len(entry)
        taken += 1
    if fid.entries and not taken:
        raise FileError(f"count too small: the next directory entry has {len(fid.entries[0])} bytes")
    data = b"".join(fid.entries[:taken])
    del fid.entries[:taken]
    fid.offset += size
    return m.Rread(data)
