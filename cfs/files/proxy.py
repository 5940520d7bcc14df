"""The served tree of the cache: a ``FileTree`` in front of another file server.

What is asked of the file server, and what is answered without it:

* Bytes of plain files are kept. They belong to a version, and the version is asked for in one go with every open, so
  that an open sees all that was written before it, by whomever. Writes go to the file server first and are answered
  after it has answered. A version is never guessed: a file that was written to through the cache is forgotten, and its
  opens read past the cache until a later open has learned what it has become.
* Walks, directories and attributes go through, unless they are in a tree that cannot change, or the cache was told to
  trust for some seconds (``knowledge``).
* Refusals come through word for word, and so do proofs of who somebody is (``authentication``).

Not kept: append-only, exclusive-use and authentication files; outside of trees that cannot change also files of length
0, which on many servers are devices, and files of version 0, which on many servers means that there are no versions.
"""

from __future__ import annotations

from collections.abc import Sequence

from cfs.errors import Interrupted, ServerGone
from cfs.files.ahead import Ahead
from cfs.files.cache import Cache
from cfs.files.cachedfile import CachedFile
from cfs.files.control import Control
from cfs.known.knowledge import Knowledge
from cfs.statistics import FILE
from cfs.upstream.authentication import PassedOn, Proven
from cfs.upstream.handle import TRIES, Handle
from cfs.upstream.upstream import Upstream
from ninep.client.remote import RemoteFile
from ninep.protocol import messages as m
from ninep.protocol.errors import AuthenticationFailed
from ninep.protocol.ids import Ids
from ninep.server.files import File, FileTree, Walked
from ninep.wire.dialect import Maybe
from ninep.wire.taskless import in_task


class CachedTree(FileTree):
    """What one client sees."""

    ids: Ids
    taskless = True

    def __init__(self, cache: Cache, upstream: Upstream) -> None:
        self.cache = cache
        self.upstream = upstream
        # Between the clients of this cache; the file server is not told.
        self.locks = cache.locks
        self.ids = cache.ids

    async def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        """Attaches at the file server, as the same user; dials it if need be."""
        await in_task()
        self.cache.counts.asked["Tattach"] += 1
        return self._root(uname, aname, await self._attached(uname, aname), None, local=local)

    async def auth(self, uname: str, aname: str) -> File:
        """The file server's own conversation; nothing of it is kept."""
        await in_task()
        self.cache.counts.asked["Tauth"] += 1
        for _ in range(TRIES):
            connection = await self.upstream.connection()
            try:
                remote = await self.upstream.passed(m.Tauth, connection.auth(uname, aname))
            except Interrupted:
                continue
            return PassedOn(self.upstream, remote)
        raise ServerGone

    async def attach_authenticated(self, uname: str, aname: str, auth: File, *, local: bool = False) -> File:
        """The same at the file server, on the link where the conversation was held."""
        await in_task()
        self.cache.counts.asked["Tattach"] += 1
        if not isinstance(auth, PassedOn):
            raise AuthenticationFailed
        remote, proven = await auth.attach(uname, aname)
        return self._root(uname, aname, remote, proven, local=local)

    def _root(self, uname: str, aname: str, remote: RemoteFile, proven: Proven | None, *, local: bool) -> File:
        handle = Handle(self.upstream, uname, aname, (), remote.qid, remote, proven)
        knowledge = Knowledge(self.cache.memory, self.upstream, uname, aname, private=proven is not None)
        return CachedRoot(self.cache, handle, knowledge, Ahead(self.cache, knowledge, handle), local=local)

    async def _attached(self, uname: str, aname: str) -> RemoteFile:
        for _ in range(TRIES):
            connection = await self.upstream.connection()
            try:
                return await self.upstream.passed(m.Tattach, connection.attach(uname, aname))
            except Interrupted:
                continue
        raise ServerGone


class CachedRoot(CachedFile):
    """The root of an attach, where the statistics are."""

    def __init__(self, cache: Cache, handle: Handle, knowledge: Knowledge, ahead: Ahead | None, *, local: bool) -> None:
        super().__init__(cache, handle, knowledge, ahead)
        self._local = local

    def _another(self, handle: Handle) -> CachedFile:
        if handle.names:
            return super()._another(handle)
        return CachedRoot(self._cache, handle, self._knowledge, self._ahead, local=self._local)

    def walk(self, names: Sequence[str]) -> Maybe[Walked]:
        """As everywhere, but one name is ours."""
        if list(names) == [FILE]:
            control = Control(self._cache, self._handle.aname, local=self._local)
            return Walked([control.qid], control)
        return super().walk(names)
