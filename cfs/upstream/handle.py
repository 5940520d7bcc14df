"""An upstream fid that can be re-established after a reconnect: attach, walk, compare qids, reopen.

There may be none at first (what is known of the place was enough so far), and none after the link was lost. It is then
made by the same steps: attach, walk by name, compare the qid, open in the same mode. A place where another file is now
makes the handle stale for good, and so does a lost link where the client had to prove who it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import trio

from cfs.errors import Interrupted, ProofLost, ServerGone, StaleFile
from cfs.known.knowledge import Knowledge, Names
from cfs.upstream.authentication import Proven
from cfs.upstream.upstream import Upstream
from ninep.client.remote import RemoteFile
from ninep.net.errors import ConnectionLost
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError
from ninep.protocol.messages import OTRUNC
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat
from ninep.wire.taskless import in_task

T = TypeVar("T")

TRIES = 8
"""How often a request is repeated on links that break one after the other."""


class Handle:
    """One place at the file server, open or not.

    Attributes:
        upstream: the way to the file server.
        uname: who attached.
        aname: to which tree.
        names: the way from the root of the attach.
        qid: of the file; its path is what makes it the same.
        proven: the attach, where the client has proven who it is; None where the file server asks for no proof.
        mode: how it is open, None if it is not.
        verify: told the entry of an open file that was opened anew.
    """

    __slots__ = (
        "_coming",
        "_over",
        "_remote",
        "_stale",
        "aname",
        "mode",
        "names",
        "proven",
        "qid",
        "uname",
        "upstream",
        "verify",
    )

    def __init__(
        self,
        upstream: Upstream,
        uname: str,
        aname: str,
        names: Names,
        qid: Qid,
        remote: RemoteFile | None,
        proven: Proven | None = None,
    ) -> None:
        self.names = names
        self.qid = qid
        self.mode: int | None = None
        self.verify: Callable[[Stat], None] | None = None
        self.upstream = upstream
        self.uname = uname
        self.aname = aname
        self._remote = remote
        self._stale: FileError | None = None
        self._over = False
        self._coming: trio.Event | None = None
        self.proven = proven
        if proven is not None:
            proven.hold()
        upstream.files.add(self)

    @property
    def live(self) -> RemoteFile | None:
        """The fid, if there is one on a link that is not known to be lost."""
        remote = self._remote
        return remote if remote is not None and remote.connection.lost is None else None

    @property
    def bereft(self) -> bool:
        """Whether there was a fid, and its link is lost."""
        return self._remote is not None and self.live is None and self._stale is None

    def at(self, names: Names, qid: Qid, remote: RemoteFile | None) -> Handle:
        """A handle of the same user for another place."""
        return Handle(self.upstream, self.uname, self.aname, names, qid, remote, self.proven)

    async def revived(self) -> RemoteFile:
        """The fid, made anew if need be. Cancelled, it is left to the next who asks.

        Raises:
            StaleFile: another file is there now, or none.
            ProofLost: the client had proven who it is, on a link that was lost.
            ServerGone: there is no link within the time that a request waits.
            FileError: the file cannot be opened any more.
        """
        while (remote := self.live) is None:
            if self._stale is not None:
                raise self._stale
            await in_task()
            if self._coming is not None:
                await self._coming.wait()
                continue
            self._coming = trio.Event()
            try:
                await self._come_back()
            except ConnectionLost:
                pass
            finally:
                self._coming.set()
                self._coming = None
        return remote

    async def _come_back(self) -> None:
        again = self._remote is not None
        try:
            root = await self.root()
        except ProofLost as error:
            self._turn_stale(error)
            raise
        counts = self.upstream.counts
        begun = counts.begin(m.Twalk)
        try:
            remote = await root.walk(self.names)
        except FileError as error:
            self._turn_stale(StaleFile())
            raise StaleFile from error
        finally:
            counts.end(m.Twalk, begun)
        try:
            if (remote.qid.path, remote.qid.type) != (self.qid.path, self.qid.type):
                self._turn_stale(StaleFile())
                raise StaleFile
            if self.mode is not None:
                await self._open_again(remote, self.mode & ~OTRUNC)
        except FileError:
            await remote.leave()
            raise
        except trio.Cancelled:
            remote.connection.discard(remote.fid)
            raise
        if self._over:
            await remote.leave()
            return
        self._remote = remote
        counts.values["nrevived"] += again

    def _turn_stale(self, error: FileError) -> None:
        self.upstream.counts.values["nstale"] += 1
        self._stale = error

    async def root(self) -> RemoteFile:
        """The root of the attach, on the present connection.

        Raises:
            ProofLost, FileError, WireError: see ``Proven.root`` and ``Upstream.root``.
        """
        if self.proven is not None:
            return self.proven.root
        return await self.upstream.root(self.uname, self.aname)

    async def unix_root(self) -> RemoteFile:
        """The same where more can be said than in 9P2000; but who had to prove who it is, is known on one link only."""
        if self.proven is not None:
            return self.proven.root
        return await self.upstream.unix().root(self.uname, self.aname)

    async def _open_again(self, remote: RemoteFile, mode: int) -> None:
        counts = self.upstream.counts
        begun = counts.begin(m.Topen)
        try:
            await remote.open(mode)
        finally:
            counts.end(m.Topen, begun)
        if self.verify is not None:
            self.verify(await remote.stat())

    async def look(self, knowledge: Knowledge, root: Names) -> bool:
        """Looks at the root of a tree that cannot change; from memory, if nobody can be asked. False: it is not there.

        Raises:
            ServerGone, ProofLost: nobody can be asked, and nothing is remembered.
        """
        await in_task()
        upstream = self.upstream
        if upstream.live is None and knowledge.recall_root(root):
            return True
        for _ in range(TRIES):
            try:
                top = await self.root()
                qids, file = await top.walk_far(root)
                if file is None:
                    return False
                async with file:
                    knowledge.saw_root(root, (top.qid, *qids), await file.stat())
                return True
            except (ServerGone, ProofLost):
                raise
            except FileError:
                return False
            except ConnectionLost:
                continue
        raise ServerGone

    def repeat(self, make: Callable[[RemoteFile], m.Request]) -> Coroutine[Any, Any, Any]:
        """A request that may be sent again: sent now, if there is a link, and again each time one breaks."""
        remote = self.live
        first = None if remote is None else self.upstream.asked(remote.connection, make(remote))
        return self._repeated(make, first)

    async def _repeated(self, make: Callable[[RemoteFile], m.Request], answer: Coroutine[Any, Any, Any] | None) -> Any:
        for _ in range(TRIES):
            if answer is None:
                remote = await self.revived()
                answer = self.upstream.asked(remote.connection, make(remote))
            try:
                return await answer
            except Interrupted:
                answer = None
        raise ServerGone

    def once(self, make: Callable[[RemoteFile], m.Request]) -> Coroutine[Any, Any, Any]:
        """A request that must not be sent twice: sent now, or when there is a link.

        Raises:
            Interrupted: the link broke before the answer came.
        """
        remote = self.live
        if remote is not None:
            return self.upstream.asked(remote.connection, make(remote))
        return self._later(make)

    async def _later(self, make: Callable[[RemoteFile], m.Request]) -> Any:
        remote = await self.revived()
        return await self.upstream.asked(remote.connection, make(remote))

    async def do(self, kind: type, work: Callable[[RemoteFile], Awaitable[T]], *, repeat: bool = True) -> T:
        """The same for what takes more than one message."""
        for _ in range(TRIES):
            remote = await self.revived()
            try:
                return await self.upstream.passed(kind, work(remote))
            except Interrupted:
                if not repeat:
                    raise
        raise ServerGone

    def part(self) -> RemoteFile | None:
        """Ends the handle; the fid, if there is one, is the caller's to give up."""
        if self.proven is not None and not self._over:
            self.proven.release()
        self._over = True
        self.upstream.files.discard(self)
        # Both lead back here; the memory of a file that is done with should not have to wait for the collector.
        self.verify = None
        if self._stale is not None:
            self._stale.__traceback__ = None
        remote, self._remote = self.live, None
        return remote
