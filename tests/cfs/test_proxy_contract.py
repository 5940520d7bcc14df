"""A tree looks the same through the cache."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from contracts.served_dialects import DialectContract, unix_dialects
from contracts.served_file import OWNER, ServedTreeContract
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.attributes import SetAttributes
from ninep.protocol.errors import NotPermitted, PermissionDenied
from ninep.ram.tree import RamTree
from ninep.server.files import FileTree
from programs.behind_cache import cached
from programs.opened_fossil import Emptied, Opened


class CachedTreeContract(ServedTreeContract):
    """``trust`` is how many seconds the cache believes what it was told."""

    trust = 0.0

    @pytest.fixture(autouse=True)
    def cache_directory(self, tmp_path: Path) -> None:
        self.path = tmp_path / "cache"
        self.data = tmp_path / "data"
        self.data.mkdir()

    @asynccontextmanager
    async def server(self) -> AsyncIterator[FileTree]:
        raise NotImplementedError
        yield

    @asynccontextmanager
    async def tree(self) -> AsyncIterator[FileTree]:
        async with self.server() as tree, cached(tree, self.path, trust=self.trust) as seen:
            yield seen

    async def test_requests_sent_in_one_go_keep_their_order(self) -> None:
        """On each fid. What is asked through another fid at the same time may reach the file server earlier."""
        async with self.client() as raw:
            for requests in (
                [
                    m.Twalk(0, 50, []),
                    m.Tcreate(50, "file", 0o644, m.ORDWR),
                    m.Twrite(50, 0, b"pipelined"),
                    m.Tread(50, 0, 100),
                    m.Tstat(50),
                    m.Tclunk(50),
                ],
                [m.Twalk(0, 50, ["file"]), m.Topen(50, m.OREAD), m.Tread(50, 4, 100), m.Tremove(50)],
            ):
                calls = [raw.client.begin(request) for request in requests]
                replies = [await raw.client.wait(call) for call in calls]
                if len(replies) == 6:
                    assert bytes(replies[3].data) == b"pipelined"
                    assert replies[4].stat.length == 9
            assert bytes(replies[2].data) == b"lined"


class TestCachedRamfs(CachedTreeContract):
    @asynccontextmanager
    async def server(self) -> AsyncIterator[FileTree]:
        yield RamTree(OWNER)


class TestTrustingRamfs(TestCachedRamfs):
    """All changes go through the cache, so they are seen however long it trusts."""

    trust = 1000.0


class TestCachedFossil(CachedTreeContract):
    @asynccontextmanager
    async def server(self) -> AsyncIterator[FileTree]:
        with Opened(self.data) as opened:
            yield Emptied(opened)


class TestTrustingFossil(TestCachedFossil):
    trust = 1000.0


class CachedDialectContract(DialectContract):
    counts_holes = False
    renames_are_changes = False

    def tree(self) -> AbstractAsyncContextManager[FileTree]:
        raise NotImplementedError

    @unix_dialects
    async def test_hard_links(self, version: str) -> None:
        """They are there, and counted for clients of 9P2000.L; what the cache asks for others does not tell."""
        async with self.client(version) as remote:
            await remote.write_bytes("file", b"x")
            async with await remote.walk("file") as file:
                if not self.has_links:
                    with pytest.raises(NotPermitted):
                        await remote.root.link("other", file)
                    return
                await remote.root.link("other", file)
                async with remote.open("other", m.OWRITE | m.OTRUNC) as other:
                    await other.write_range(0, b"both")
                assert await remote.read_bytes("file") == b"both"
                assert (await remote.stat("other")).qid == (await remote.stat("file")).qid
                assert (await file.getattr()).nlink == (2 if version == lm.VERSION else 1)
                await remote.remove("file")
                assert await remote.read_bytes("other") == b"both"

    async def test_a_read_only_file_is_cut_by_who_has_it_open(self) -> None:
        """In 9P2000 that is a wstat, and needs the right to write."""
        async with self.client(lm.VERSION) as remote, remote.create("file", 0o400) as file:
            await file.write_range(0, b"0123456789")
            with pytest.raises(PermissionDenied):
                await file.setattr(SetAttributes(size=5))

    async def test_appending(self) -> None:
        """Writes come where the client thinks that the end is."""
        async with self.client(lm.VERSION) as remote:
            await remote.write_bytes("log", b"one\n")
            async with await remote.walk("log") as file:
                await file.open(m.OWRITE | m.OAPPEND)
                await file.write_range(4, b"two\n")
            assert await remote.read_bytes("log") == b"one\ntwo\n"


class TestDialectsOfCachedRamfs(CachedDialectContract):
    @asynccontextmanager
    async def tree(self) -> AsyncIterator[FileTree]:
        with tempfile.TemporaryDirectory() as scratch:
            async with cached(RamTree(OWNER), Path(scratch)) as seen:
                yield seen


class TestDialectsOfCachedFossil(CachedDialectContract):
    has_xattrs = False

    @asynccontextmanager
    async def tree(self) -> AsyncIterator[FileTree]:
        temporary = tempfile.TemporaryDirectory
        with temporary() as scratch, temporary() as data, Opened(Path(data)) as fossil:
            fossil.system.users = fossil.system.users.joined("adm", OWNER)
            async with cached(Emptied(fossil), Path(scratch)) as seen:
                yield seen
