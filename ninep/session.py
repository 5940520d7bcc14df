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
    BadFidUse,
    FileError,
    FileNotFound,
    IllegalMode,
    IllegalName,
    IsDirectory,
    NotDirectory,
    UnknownFid,
)
from ninep.fids import Fid, FidTable
from ninep.files import File, FileTree, Walked
from ninep.permissions import legal
from ninep.qid import QTDIR
from ninep.stat import DMDIR, Stat
from ninep.wire.dialect import Maybe

T = TypeVar("T")

log = logging.getLogger(__name__)

LEAST_MSIZE = 256
"""A full Rwalk has 217 bytes."""
MOST_FIDS = 65536
CLUNK_PATIENCE = 10.0
"""Seconds that giving up a file may still take after its request was given up itself."""
CLUNKS = 64
"""Files that are given up at once when a connection ends."""

_Method = Callable[[Any], Maybe[m.Reply]]


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
        """``local`` tells the tree that the client is on this machine; ``max_fids`` bounds what it may hold."""
        self._tree = tree
        self._dialect = dialect
        self._max_msize = max_msize
        self._local = local
        self._fids = FidTable(max_fids)
        self._most = 0
        self.commit: Callable[[], Maybe[None]] = tree.commit
        self._unversioned: dict[type, _Method] = {m.Tversion: self._version}
        self._versioned: dict[type, _Method] = {
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
        self._methods = self._unversioned

    def begin(self, request: m.Request) -> m.Reply | Coroutine[Any, Any, m.Reply | None] | None:
        """Checks and reserves, then answers or returns the rest as a coroutine. Raises ``FileError``."""
        method = self._methods.get(type(request))
        if method is None:
            raise FileError("no version agreed: Tversion must come first")
        return method(request)

    async def reset(self) -> None:
        """Gives up all fids, removing what was opened for that; one that fails keeps no other from it."""
        self._methods = self._unversioned
        fids = self._fids.take_all()

        async def give_up() -> None:
            while fids:
                fid = fids.pop()
                try:
                    waiting = _parting(fid)
                    if waiting is not None:
                        await waiting
                except FileError as error:
                    log.debug("giving up a fid: %s", error)
                except Exception:
                    log.exception("giving up a fid failed")

        async with trio.open_nursery() as nursery:
            for _ in range(min(len(fids), CLUNKS)):
                nursery.start_soon(give_up)

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
        self._methods = self._versioned
        return m.Rversion(msize, m.VERSION)

    def _auth(self, request: m.Tauth) -> m.Reply:
        raise AuthenticationNotRequired

    def _attach(self, request: m.Tattach) -> Maybe[m.Reply]:
        number = request.fid
        if request.afid != m.NOFID or number == m.NOFID:
            raise UnknownFid
        fid = self._fids.add(number)
        try:
            root = self._tree.attach(request.uname, request.aname, local=self._local)
        except BaseException:
            del self._fids[number]
            raise
        if isinstance(root, File):
            fid.file = root
            return m.Rattach(root.qid)
        return self._setting_up(fid, number, _attaching(fid, root))

    def _walk(self, request: m.Twalk) -> Maybe[m.Reply]:
        number, newnumber, names = request
        fid = self._fids[number]
        if newnumber == number:
            return fid.run_alone(_walk, fid, names, fid)
        if newnumber == m.NOFID:
            raise UnknownFid
        new = self._fids.add(newnumber)
        try:
            result = fid.run_alone(_walk, fid, names, new)
        except BaseException:
            del self._fids[newnumber]
            raise
        if isinstance(result, CoroutineType):
            return self._setting_up(new, newnumber, result)
        if new.file is None:
            del self._fids[newnumber]
        return cast("m.Reply", result)

    def _setting_up(self, fid: Fid, number: int, work: Coroutine[Any, Any, m.Reply]) -> Coroutine[Any, Any, m.Reply]:
        """Holds a fid that is about to be; if it does not get its file it is taken out again."""
        fid.reserve()

        async def set_up() -> m.Reply:
            try:
                return await work
            finally:
                if fid.file is None:
                    self._fids.forget(number, fid)
                fid.release(alone=True)

        return set_up()

    def _open(self, request: m.Topen) -> Maybe[m.Reply]:
        fid = self._fids[request.fid]
        return fid.run_alone(self._do_open, fid, request.mode & ~m.OCEXEC)

    def _do_open(self, fid: Fid, mode: int) -> Maybe[m.Reply]:
        file = _unopened(fid)
        directory = bool(file.qid.type & QTDIR)
        if not legal(mode, directory=directory):
            raise IsDirectory if directory else IllegalMode
        waiting = file.open(mode)
        if waiting is not None:
            return self._opening(fid, file, mode, waiting)
        fid.open(file, mode, self._most)
        return m.Ropen(file.qid, min(file.iounit, self._most))

    async def _opening(self, fid: Fid, file: File, mode: int, work: Coroutine[Any, Any, None]) -> m.Reply:
        await work
        fid.open(file, mode, self._most)
        return m.Ropen(file.qid, min(file.iounit, self._most))

    def _create(self, request: m.Tcreate) -> Maybe[m.Reply]:
        fid = self._fids[request.fid]
        return fid.run_alone(self._do_create, fid, request)

    def _do_create(self, fid: Fid, request: m.Tcreate) -> Maybe[m.Reply]:
        _, name, perm, mode = request
        file = _unopened(fid)
        if not file.qid.type & QTDIR:
            raise NotDirectory
        if name == ".." or not _good_names([name]):
            raise IllegalName
        mode &= ~m.OCEXEC
        if not legal(mode, directory=bool(perm & DMDIR)):
            raise IllegalMode
        made = file.create(name, perm, mode)
        if not isinstance(made, File):
            return self._creating(fid, file, mode, made)
        fid.open(made, mode, self._most)
        reply = m.Rcreate(made.qid, min(made.iounit, self._most))
        leaving = _left(file)
        return reply if leaving is None else _after(leaving, reply)

    async def _creating(self, fid: Fid, directory: File, mode: int, work: Coroutine[Any, Any, File]) -> m.Reply:
        made = await work
        fid.open(made, mode, self._most)
        reply = m.Rcreate(made.qid, min(made.iounit, self._most))
        leaving = _left(directory)
        return reply if leaving is None else await _after(leaving, reply)

    def _read(self, request: m.Tread) -> Maybe[m.Reply]:
        number, offset, count = request
        fid = self._fids[number]
        if fid.held or not fid.readable:
            return self._read_otherwise(fid, offset, count)
        most = fid.most
        data = fid.file.read(offset, count if count < most else most)  # type: ignore[union-attr]
        if type(data) is CoroutineType:
            return fid.run_shared(_made(data, m.Rread))
        return m.Rread(data)  # type: ignore[arg-type]

    def _read_otherwise(self, fid: Fid, offset: int, count: int) -> Maybe[m.Reply]:
        if fid.directory is not None:
            return fid.run_alone(self._do_read, fid, offset, count)
        if fid.held:
            return fid.run_queued(self._do_read, fid, offset, count, alone=False)
        raise BadFidUse

    def _do_read(self, fid: Fid, offset: int, count: int) -> Maybe[m.Reply]:
        """A read of a directory, or one that had to wait for an open, say."""
        file = _file(fid)
        count = min(count, fid.most)
        if fid.readable:
            data = file.read(offset, count)
        elif fid.directory is not None:
            data = fid.directory.read(offset, count)
        else:
            raise BadFidUse
        return _made(data, m.Rread) if isinstance(data, CoroutineType) else m.Rread(data)  # type: ignore[arg-type]

    def _write(self, request: m.Twrite) -> Maybe[m.Reply]:
        number, offset, data = request
        fid = self._fids[number]
        if fid.held:
            # What waits keeps its own bytes and not the whole chunk that they came in.
            return fid.run_queued(_write, fid, offset, bytes(data), alone=False)
        if not fid.writable:
            raise BadFidUse
        count = fid.file.write(offset, data)  # type: ignore[union-attr]
        if type(count) is CoroutineType:
            return fid.run_shared(_made(count, m.Rwrite))
        return m.Rwrite(count)  # type: ignore[arg-type]

    def _clunk(self, request: m.Tclunk) -> Maybe[m.Reply]:
        fid = self._fids.take(request.fid)
        return fid.run_alone(_clunk, fid, shield=True)

    def _remove(self, request: m.Tremove) -> Maybe[m.Reply]:
        fid = self._fids.take(request.fid)
        return fid.run_alone(_remove, fid, shield=True)

    def _stat(self, request: m.Tstat) -> Maybe[m.Reply]:
        fid = self._fids[request.fid]
        if fid.held:
            return fid.run_queued(_stat, fid, alone=False)
        stat = fid.file.stat()  # type: ignore[union-attr]
        if type(stat) is CoroutineType:
            return fid.run_shared(_made(stat, m.Rstat))
        return m.Rstat(stat)  # type: ignore[arg-type]

    def _wstat(self, request: m.Twstat) -> Maybe[m.Reply]:
        fid = self._fids[request.fid]
        return fid.run_alone(_wstat, fid, request.stat)


# What has a fid alone, or its turn after waiting.


async def _attaching(fid: Fid, work: Coroutine[Any, Any, File]) -> m.Reply:
    fid.file = await work
    return m.Rattach(fid.file.qid)


def _walk(fid: Fid, names: Sequence[str], new: Fid) -> Maybe[m.Reply]:
    file = _unopened(fid)
    if not names:
        if new is not fid:
            view = file.clone()
            if not isinstance(view, File):
                return _cloning(new, view)
            new.file = view
        return m.Rwalk([])
    if not file.qid.type & QTDIR:
        raise NotDirectory
    good = _good_names(names)
    if not good:
        raise IllegalName
    walked = file.walk(names if good == len(names) else names[:good])
    if isinstance(walked, CoroutineType):
        return _walking(fid, names, new, walked)
    qids, leaving = _arrived(fid, names, new, walked)  # type: ignore[arg-type]
    return m.Rwalk(qids) if leaving is None else _after(leaving, m.Rwalk(qids))


async def _cloning(new: Fid, work: Coroutine[Any, Any, File]) -> m.Reply:
    new.file = await work
    return m.Rwalk([])


async def _walking(fid: Fid, names: Sequence[str], new: Fid, work: Coroutine[Any, Any, Walked]) -> m.Reply:
    qids, leaving = _arrived(fid, names, new, await work)
    return m.Rwalk(qids) if leaving is None else await _after(leaving, m.Rwalk(qids))


def _arrived(
    fid: Fid, names: Sequence[str], new: Fid, walked: Walked
) -> tuple[Sequence[Any], Coroutine[Any, Any, None] | None]:
    """Gives ``new`` its file if the walk came to its end; with the qids, what is left to do for a view left behind."""
    qids, found = walked
    if not qids:
        raise FileNotFound
    if found is None:
        return qids, None
    if len(qids) < len(names):
        return qids, _left(found)
    old = fid.file if new is fid else None
    new.file = found
    return qids, None if old is None else _left(old)


def _write(fid: Fid, offset: int, data: bytes) -> Maybe[m.Reply]:
    file = _file(fid)
    if not fid.writable:
        raise BadFidUse
    count = file.write(offset, data)
    return _made(count, m.Rwrite) if isinstance(count, CoroutineType) else m.Rwrite(count)  # type: ignore[arg-type]


def _clunk(fid: Fid) -> Maybe[m.Reply]:
    waiting = _parting(fid)
    return m.Rclunk() if waiting is None else _after(waiting, m.Rclunk())


def _remove(fid: Fid) -> Maybe[m.Reply]:
    waiting = _file(fid).remove()
    return m.Rremove() if waiting is None else _after(waiting, m.Rremove())


def _stat(fid: Fid) -> Maybe[m.Reply]:
    stat = _file(fid).stat()
    return _made(stat, m.Rstat) if isinstance(stat, CoroutineType) else m.Rstat(stat)  # type: ignore[arg-type]


def _wstat(fid: Fid, changes: Stat) -> Maybe[m.Reply]:
    file, name = _file(fid), changes.name
    if name == "/":
        stat = file.stat()
        if isinstance(stat, CoroutineType):
            return _wstat_of_root(file, changes, stat)
        changes = _without_name(changes, stat)  # type: ignore[arg-type]
    elif name and (name == ".." or not _good_names([name])):
        raise IllegalName
    waiting = file.wstat(changes)
    return m.Rwstat() if waiting is None else _made(waiting, lambda _: m.Rwstat())


async def _wstat_of_root(file: File, changes: Stat, work: Coroutine[Any, Any, Stat]) -> m.Reply:
    waiting = file.wstat(_without_name(changes, await work))
    if waiting is not None:
        await waiting
    return m.Rwstat()


def _without_name(changes: Stat, current: Stat) -> Stat:
    """A root is called ``/`` and may be told so; nothing else can be."""
    if current.name != "/":
        raise IllegalName
    return changes._replace(name="")


def _file(fid: Fid) -> File:
    """What the fid stands for; a fid that was to be and did not come to be is unknown."""
    if fid.file is None:
        raise UnknownFid
    return fid.file


def _unopened(fid: Fid) -> File:
    file = fid.file
    if file is None:
        raise UnknownFid
    if fid.opened:
        raise BadFidUse
    return file


def _parting(fid: Fid) -> Maybe[None]:
    """The last call on a fid's file."""
    file = _file(fid)
    return file.remove() if fid.removes else file.clunk()


def _left(file: File) -> Coroutine[Any, Any, None] | None:
    """Gives up a view that a request leaves behind. That request is done: a failure is nobody's answer."""
    try:
        waiting = file.clunk()
    except FileError as error:
        log.debug("leaving a file: %s", error)
        return None
    return None if waiting is None else _leaving(waiting)


async def _leaving(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except FileError as error:
        log.debug("leaving a file: %s", error)


async def _made(work: Coroutine[Any, Any, T], reply: Callable[[T], m.Reply]) -> m.Reply:
    return reply(await work)


async def _after(work: Coroutine[Any, Any, None], reply: m.Reply) -> m.Reply:
    """Gives up a view: its file hears of that even if the client gives the request up.

    From then on it gets a bounded time. What is done cannot be undone, so the answer leaves in any case.
    """
    failure: Exception | None = None
    scope = trio.CancelScope(shield=True)

    async def bound() -> None:
        try:
            await trio.sleep_forever()
        finally:
            scope.deadline = trio.current_time() + CLUNK_PATIENCE

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bound)
            with scope:
                try:
                    await work
                except Exception as error:
                    failure = error
            nursery.cancel_scope.cancel()
    except* trio.Cancelled:
        pass
    if failure is not None:
        raise failure
    if scope.cancelled_caught:
        raise FileError("timed out")
    return reply


def _good_names(names: Sequence[str]) -> int:
    """How many names from the first on can be those of files."""
    for position, name in enumerate(names):
        if not name or name == "." or "/" in name or (not name.isprintable() and _odd(name)):
            return position
    return len(names)


def _odd(name: str) -> bool:
    """Control characters, and bytes that were no UTF-8, cannot be in a name."""
    return any(letter < " " or letter == "\x7f" or "\ud800" <= letter <= "\udfff" for letter in name)
