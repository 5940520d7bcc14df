"""The requests that every dialect has: attach, walk, read, write, clunk and remove. Source: intro(5) and on."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from types import CoroutineType
from typing import Any, TypeVar

from ninep.protocol import messages as m
from ninep.protocol.errors import (
    AuthenticationFailed,
    BadFidUse,
    FileError,
    FileNotFound,
    IllegalName,
    NotDirectory,
    UnknownFid,
)
from ninep.protocol.ids import NONUNAME
from ninep.protocol.qid import Qid
from ninep.server.authentication import Authentication
from ninep.server.clunk import after, left, parting
from ninep.server.conversation import Conversation, standing, unopened
from ninep.server.fids import Fid
from ninep.server.files import File, Walked
from ninep.wire.dialect import Maybe
from ninep.wire.maybe import arrived, later, then

T = TypeVar("T")

Method = Callable[[Any], Maybe[Any]]
"""Takes a request; answers, or returns a coroutine that will."""
_CLUNKED = m.Rclunk()


class Requests:
    """Answers them, for one connection."""

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk
        self._fids = talk.fids

    @property
    def methods(self) -> dict[type, Method]:
        """What answers which request. Made anew each time: kept here it would refer to this object, and so for ever."""
        return {
            m.Tauth: self._auth,
            m.Tattach: self._attach,
            m.Twalk: self._walk,
            m.Tread: self._read,
            m.Twrite: self._write,
            m.Tclunk: self._clunk,
            m.Tremove: self._remove,
        }

    def _auth(self, request: m.Tauth) -> Maybe[m.Reply]:
        number, uname, aname, n_uname = request
        if number == m.NOFID:
            raise UnknownFid
        talk = self._talk
        if n_uname != NONUNAME:
            uname = talk.tree.user(n_uname, uname, aname)
        fid = self._fids.add(number)
        try:
            begun = talk.tree.auth(uname, aname)
        except BaseException:
            del self._fids[number]
            raise

        def bind(file: File) -> m.Reply:
            auth = Authentication(file, uname, aname)
            fid.open(auth, m.ORDWR, talk.most)
            return m.Rauth(auth.qid)

        return bind(begun) if isinstance(begun, File) else self.setting_up(fid, number, later(begun, bind))

    def _attach(self, request: m.Tattach) -> Maybe[m.Reply]:
        number, afid, uname, aname, n_uname = request
        if number == m.NOFID:
            raise UnknownFid
        talk = self._talk
        auth = None if afid == m.NOFID else self._fids[afid]
        if n_uname != NONUNAME:
            uname = talk.tree.user(n_uname, uname, aname)
        fid = self._fids.add(number)
        try:
            if auth is None:
                root = talk.tree.attach(uname, aname, local=talk.local)
            else:
                root = auth.run_beside(self._do_attach, auth, uname, aname)
        except BaseException:
            del self._fids[number]
            raise
        if isinstance(root, File):
            fid.file = root
            return m.Rattach(root.qid)
        return self.setting_up(fid, number, _attaching(fid, root))

    def _do_attach(self, auth: Fid, uname: str, aname: str) -> Maybe[File]:
        file = standing(auth)
        if not isinstance(file, Authentication):
            raise AuthenticationFailed("authentication failed: afid is no authentication fid")
        return file.attach(self._talk.tree, uname, aname, local=self._talk.local)

    def _walk(self, request: m.Twalk) -> Maybe[m.Reply]:
        number, newnumber, names = request
        fid = self._fids[number]
        if newnumber == number:
            return fid.run_alone(self._do_walk, fid, names, fid)
        if newnumber == m.NOFID:
            raise UnknownFid
        new = self._fids.add(newnumber)
        try:
            # A proxy's walk takes a round trip: many from one directory take no longer.
            result: Maybe[m.Reply] = fid.run_beside(self._do_walk, fid, names, new)
        except BaseException:
            del self._fids[newnumber]
            raise
        if type(result) is CoroutineType:
            return self.setting_up(new, newnumber, result)
        if new.file is None:
            del self._fids[newnumber]
        return result

    def setting_up(self, fid: Fid, number: int, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Holds a fid that is about to be; if it does not get its file it is taken out again."""
        fid.reserve()

        async def set_up() -> T:
            try:
                return await work
            finally:
                if fid.file is None:
                    self._fids.forget(number, fid)
                fid.release(alone=True)

        return set_up()

    def _do_walk(self, fid: Fid, names: Sequence[str], new: Fid) -> Maybe[m.Reply]:
        file = standing(fid) if self._talk.walks_open and new is not fid else unopened(fid)
        if not names:
            if new is not fid:
                view = file.clone()
                if not isinstance(view, File):
                    return _cloning(new, view)
                new.file = view
            return m.Rwalk([])
        if not file.is_directory:
            raise NotDirectory
        if "." in names:
            return self._walk_in_place(fid, file, names, new)
        good = self._talk.good_names(file, names)
        if not good:
            raise IllegalName
        walked = file.walk(names if good == len(names) else names[:good])
        if not isinstance(walked, Walked):
            return _walking(fid, names, new, walked)
        qids, leaving = _arrived(fid, names, new, walked)
        return m.Rwalk(qids) if leaving is None else after(leaving, m.Rwalk(qids))

    def _walk_in_place(self, fid: Fid, file: File, names: Sequence[str], new: Fid) -> Maybe[m.Reply]:
        """A walk with ``.`` among its names, which is where it is: diod's clients ask for it, and fossil knows it."""
        good = self._talk.good_names(file, [".." if name == "." else name for name in names])
        if not good:
            raise IllegalName
        steps = [name for name in names[:good] if name != "."]
        here = file.qid

        def arrive(walked: Walked) -> Maybe[m.Reply]:
            found = Walked(_with_places(here, names[:good], walked.qids), walked.file)
            qids, leaving = _arrived(fid, names, new, found)
            return m.Rwalk(qids) if leaving is None else after(leaving, m.Rwalk(qids))

        async def wait(work: Coroutine[Any, Any, Walked]) -> m.Reply:
            try:
                walked = await work
            except FileError:
                if names[0] != ".":
                    raise
                walked = Walked([], None)
            return await arrived(arrive(walked))

        async def cloned(work: Coroutine[Any, Any, File]) -> m.Reply:
            return await arrived(arrive(Walked([], await work)))

        if steps:
            try:
                walked = file.walk(steps)
            except FileError:
                if names[0] != ".":
                    raise
                walked = Walked([], None)
            return arrive(walked) if isinstance(walked, Walked) else wait(walked)
        if new is fid or good < len(names):
            return m.Rwalk([here] * good)
        view = file.clone()
        return arrive(Walked([], view)) if isinstance(view, File) else cloned(view)

    def _read(self, request: m.Tread) -> Maybe[m.Reply]:
        number, offset, count = request
        fid = self._fids[number]
        if fid.held or not fid.readable:
            return self._read_otherwise(fid, offset, count)
        most = fid.most
        data = fid.file.read(offset, count if count < most else most)  # type: ignore[union-attr]  # it is readable
        if type(data) is CoroutineType:
            return fid.run_shared(later(data, m.Rread))
        return m.Rread(data)  # type: ignore[arg-type]  # no coroutine: see above

    def _read_otherwise(self, fid: Fid, offset: int, count: int) -> Maybe[m.Reply]:
        if fid.directory is not None:
            return fid.run_alone(_do_read, fid, offset, count)
        if fid.held:
            return fid.run_queued(_do_read, fid, offset, count, alone=False)
        raise BadFidUse

    def _write(self, request: m.Twrite) -> Maybe[m.Reply]:
        number, offset, data = request
        fid = self._fids[number]
        if fid.held:
            # What waits keeps its own bytes and not the whole chunk that they came in.
            return fid.run_queued(_do_write, fid, offset, bytes(data), alone=False)
        if not fid.writable:
            raise BadFidUse
        count = fid.file.write(offset, data)  # type: ignore[union-attr]  # it is writable
        if type(count) is CoroutineType:
            return fid.run_shared(later(count, m.Rwrite))
        return m.Rwrite(count)  # type: ignore[arg-type]  # no coroutine: see above

    def _clunk(self, request: m.Tclunk) -> Maybe[m.Reply]:
        fid = self._fids.take(request.fid)
        return fid.run_alone(self._do_clunk, fid, shield=True)

    def _do_clunk(self, fid: Fid) -> Maybe[m.Reply]:
        waiting = parting(fid)
        if fid.removes:
            # Clunks promise nothing as a rule, so that who only reads gets no error for what others could not write.
            waiting = then(waiting, lambda _: self._talk.tree.commit())
        return _CLUNKED if waiting is None else after(waiting, _CLUNKED)

    def _remove(self, request: m.Tremove) -> Maybe[m.Reply]:
        fid = self._fids.take(request.fid)
        return fid.run_alone(_do_remove, fid, shield=True)


# What has a fid alone, or its turn after waiting.


async def _attaching(fid: Fid, work: Coroutine[Any, Any, File]) -> m.Reply:
    fid.file = await work
    return m.Rattach(fid.file.qid)


async def _cloning(new: Fid, work: Coroutine[Any, Any, File]) -> m.Reply:
    new.file = await work
    return m.Rwalk([])


async def _walking(fid: Fid, names: Sequence[str], new: Fid, work: Coroutine[Any, Any, Walked]) -> m.Reply:
    qids, leaving = _arrived(fid, names, new, await work)
    return m.Rwalk(qids) if leaving is None else await after(leaving, m.Rwalk(qids))


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
        return qids, left(found)
    old = fid.file if new is fid else None
    new.file = found
    return qids, None if old is None else left(old)


def _with_places(start: Qid, names: Sequence[str], walked: Sequence[Qid]) -> list[Qid]:
    """The qids of a walk from ``start`` whose names have ``.`` among them; ``walked`` are those of the others."""
    found: list[Qid] = []
    rest = iter(walked)
    here: Qid | None = start
    for name in names:
        if name != ".":
            here = next(rest, None)
        elif here is not None and not here.is_directory:
            here = None
        if here is None:
            break
        found.append(here)
    return found


def _do_read(fid: Fid, offset: int, count: int) -> Maybe[m.Reply]:
    """A read of a directory, or one that had to wait for an open, say."""
    file = standing(fid)
    count = min(count, fid.most)
    if fid.readable:
        data = file.read(offset, count)
    elif fid.directory is not None:
        data = fid.directory.read(offset, count)
    else:
        raise BadFidUse
    if isinstance(data, CoroutineType):
        return later(data, m.Rread)
    return m.Rread(data)  # type: ignore[arg-type]  # no coroutine: see above


def _do_write(fid: Fid, offset: int, data: bytes) -> Maybe[m.Reply]:
    file = standing(fid)
    if not fid.writable:
        raise BadFidUse
    return then(file.write(offset, data), m.Rwrite)


def _do_remove(fid: Fid) -> Maybe[m.Reply]:
    file = standing(fid)
    fid.release_locks()
    waiting = file.remove()
    return m.Rremove() if waiting is None else after(waiting, m.Rremove())
