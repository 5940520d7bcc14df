"""Passes authentication through: the conversation is between the client and the file server.

Nothing of it is kept, nothing is sent twice, and what was proven counts on the link where it was proven, nowhere else.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from cfs.errors import Interrupted, ProofLost
from cfs.upstream.upstream import Upstream
from ninep.client.remote import RemoteFile
from ninep.protocol import messages as m
from ninep.protocol.qid import Qid
from ninep.server.files import File
from ninep.wire.dialect import Buffer


class Proven:
    """An attach at the file server by a client that has proven who it is, for as long as its link and its fids last."""

    def __init__(self, root: RemoteFile) -> None:
        """``root`` is a fid for the root that nobody else uses."""
        self._root = root
        self._holders = 0

    @property
    def root(self) -> RemoteFile:
        """Where walks start, on the same link. Raises ``ProofLost``."""
        if self._root.connection.lost is not None:
            raise ProofLost
        return self._root

    def hold(self) -> None:
        """One fid more has come of it."""
        self._holders += 1

    def release(self) -> None:
        """One less; with the last the root is given up, too."""
        self._holders -= 1
        if not self._holders:
            self._root.connection.discard(self._root.fid)


class PassedOn(File):
    """A client's authentication file: what it reads and writes goes to the file server's, in the same order."""

    def __init__(self, upstream: Upstream, remote: RemoteFile) -> None:
        self._upstream = upstream
        self._remote = remote

    @property
    def qid(self) -> Qid:
        """The file server's."""
        return self._remote.qid

    def read(self, offset: int, count: int) -> Coroutine[Any, Any, Buffer]:
        """What the file server says next."""
        self._upstream.counts.asked["Tread"] += 1
        remote = self._standing()
        count = min(count, remote.iounit)
        return _data(self._upstream.asked(remote.connection, m.Tread(remote.fid, offset, count)), count)

    def write(self, offset: int, data: Buffer) -> Coroutine[Any, Any, int]:
        """What the client says; as much as the file server takes in one message."""
        self._upstream.counts.asked["Twrite"] += 1
        remote = self._standing()
        piece = bytes(memoryview(data)[: remote.iounit])
        return _count(self._upstream.asked(remote.connection, m.Twrite(remote.fid, offset, piece)), len(piece))

    async def attach(self, uname: str, aname: str) -> tuple[RemoteFile, Proven]:
        """Attaches at the file server by this conversation.

        Raises:
            Interrupted: the link broke before the answer came.
            ProofLost: it had broken before.
        """
        remote = self._standing()
        passed = self._upstream.passed
        root = await passed(m.Tattach, remote.connection.attach(uname, aname, auth=remote))
        try:
            return root, Proven(await passed(m.Twalk, root.walk([])))
        except BaseException:
            root.connection.discard(root.fid)
            raise

    async def clunk(self) -> None:
        """The file server hears of it. Where the link is lost the conversation is over anyhow."""
        self._upstream.counts.asked["Tclunk"] += 1
        await self._upstream.passed(m.Tclunk, self._remote.clunk())

    def _standing(self) -> RemoteFile:
        if self._remote.connection.lost is not None:
            raise ProofLost
        return self._remote


async def _data(answer: Coroutine[Any, Any, Any], most: int) -> Buffer:
    data: Buffer = (await answer).data
    if len(data) > most:
        raise Interrupted
    return data


async def _count(answer: Coroutine[Any, Any, Any], most: int) -> int:
    count = int((await answer).count)
    if count > most:
        raise Interrupted
    return count
