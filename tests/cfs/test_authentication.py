"""Authentication through the cache: the conversation is the file server's, and so is what it proves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from cfs.errors import Interrupted, ProofLost
from cfs.server import serve_client
from fakes.secret_tree import GUEST, SecretTree, converse, proof
from ninep.client.connection import DIALECTS, Connection, connected
from ninep.client.remote import RemoteFile
from ninep.client.tree import RemoteTree
from ninep.protocol import messages as m
from ninep.protocol.errors import (
    AuthenticationFailed,
    AuthenticationNotRequired,
    FileError,
    PermissionDenied,
    UnknownFid,
)
from ninep.protocol.qid import QTAUTH
from ninep.protocol.stat import Stat
from ninep.ram.tree import RamTree
from programs.behind_cache import Grid, grid

GLENDA, MALLORY = b"rabbit", b"hare"


@asynccontextmanager
async def setting(directory: Path, **options: Any) -> AsyncIterator[tuple[Grid, SecretTree]]:
    tree = SecretTree(RamTree("glenda", mode=0o777), {"glenda": GLENDA, "mallory": MALLORY})
    async with grid(tree, directory, **options) as one:
        yield one, tree


@asynccontextmanager
async def client(one: Grid, version: str = m.VERSION) -> AsyncIterator[Connection]:
    """A client of the cache, not attached."""
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: serve_client(far, one.cache, one.dial))
        async with connected(near, version=version) as connection:
            yield connection


async def proven(connection: Connection, uname: str = "glenda", secret: bytes = GLENDA) -> RemoteTree:
    async with await connection.auth(uname) as auth:
        await converse(auth, secret)
        return RemoteTree(await connection.attach(uname, auth=auth))


@pytest.mark.parametrize("version", DIALECTS)
async def test_a_proof_passes_through(tmp_path: Path, version: str) -> None:
    async with setting(tmp_path) as (one, tree), client(one, version) as connection:
        async with await connection.auth("glenda") as auth:
            assert auth.qid.type == QTAUTH
            await converse(auth, GLENDA)
            files = RemoteTree(await connection.attach("glenda", auth=auth))
        assert tree.talks == 0
        assert tree.users == ["glenda"]
        await files.write_bytes("file", b"hers")
        await files.mkdir("folder")
        await files.rename("file", "other")
        assert await files.read_bytes("other") == b"hers"
        assert one.sent["T102"] == 1, "the conversation is the file server's"
        assert tree.users == ["glenda"], "and nothing is attached without"


async def test_nothing_else_does(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, tree), client(one) as connection:
        with pytest.raises(AuthenticationFailed):
            await connection.attach("glenda")
        auth = await connection.auth("glenda")
        with pytest.raises(AuthenticationFailed):
            await connection.attach("glenda", auth=auth)
        with pytest.raises(AuthenticationFailed):
            await converse(auth, b"guessed")
        with pytest.raises(AuthenticationFailed):
            await connection.attach("glenda", auth=auth)
        afid = auth.fid
        await auth.clunk()
        with pytest.raises(UnknownFid):
            await connection.ask(m.Tattach(99, afid, "glenda", ""))
        assert tree.users == []
        assert tree.talks == 0


async def test_no_proof_asked_for(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, tree), client(one) as connection:
        with pytest.raises(AuthenticationNotRequired):
            await connection.auth(GUEST)
        await connection.attach(GUEST)
        assert tree.users == ["none?"]


async def test_each_client_proves_for_itself(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, tree), client(one) as first, client(one) as second:
        files = await proven(first)
        await files.write_bytes("private", b"secret", 0o600)
        assert await files.read_bytes("private") == b"secret"
        with pytest.raises(AuthenticationFailed):
            await second.attach("glenda")
        others = await proven(second, "mallory", MALLORY)
        with pytest.raises(PermissionDenied):
            await others.read_bytes("private")
        assert tree.users == ["glenda", "mallory"]


async def test_what_one_was_let_do_is_nobody_elses(tmp_path: Path) -> None:
    """Not even of who calls himself the same: a file server goes by the proof and not by the name."""

    class Lenient(SecretTree):
        def attach(self, uname: str, aname: str, *, local: bool = False) -> object:
            return self.tree.attach(GUEST, aname, local=local)

    tree = Lenient(RamTree("glenda", mode=0o777), {"glenda": GLENDA})
    async with grid(tree, tmp_path, trust=1000.0) as one, client(one) as first, client(one) as second:
        files = await proven(first)
        await files.mkdir("private", 0o700)
        await files.write_bytes("private/file", b"secret", 0o600)
        for _ in range(2):
            assert await files.read_bytes("private/file") == b"secret"
        others = RemoteTree(await second.attach("glenda"))
        with pytest.raises(PermissionDenied):
            await others.read_bytes("private/file")
        assert (await others.stat("private")).uid == "glenda"


async def test_trust_is_of_use_to_who_proved_it(tmp_path: Path) -> None:
    async with setting(tmp_path, trust=1000.0) as (one, tree), client(one) as connection:
        files = await proven(connection)
        await files.write_bytes("file", b"hers")
        for _ in range(2):
            await files.stat("file")
        one.forget_sent()
        await files.stat("file")
        assert not one.sent["Tstat"]
        await files.wstat("file", Stat(mode=0o600))
        assert tree.users == ["glenda"], "a fid that is only needed now comes from what was proven"


async def test_a_tree_that_never_changes_is_not_asked_about(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path, frozen=["*:snapshot/*"]) as (one, tree), client(one) as connection:
        files = await proven(connection)
        await files.mkdir("snapshot")
        await files.mkdir("snapshot/one")
        await files.write_bytes("snapshot/one/file", b"hers")
        for _ in range(3):
            assert await files.read_bytes("snapshot/one/file") == b"hers"
            await trio.testing.wait_all_tasks_blocked()
        one.forget_sent()
        assert await files.read_bytes("snapshot/one/file") == b"hers"
        assert not one.sent
        assert tree.users == ["glenda"]
        await one.cut()
        await trio.sleep(5)
        with pytest.raises(FileError, match=ProofLost.text):
            await files.read_bytes("snapshot/one/file")
        assert await (await proven(connection)).read_bytes("snapshot/one/file") == b"hers"


async def waiting(connection: Connection) -> tuple[RemoteFile, bytes]:
    """A conversation that waits for the proof, and that."""
    auth = await connection.auth("glenda")
    return auth, proof(GLENDA, bytes(await auth.read(0, 100)))


async def test_a_read_that_waits_is_given_up_alone(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path) as (one, _), client(one) as connection:
        auth, said = await waiting(connection)
        with trio.move_on_after(1) as scope:
            await auth.read(0, 100)
        assert scope.cancelled_caught
        assert one.sent["Tflush"] == 1
        await auth.write(0, said)
        assert bytes(await auth.read(0, 100)) == b"ok"


async def test_a_lost_link_ends_the_conversation(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path) as (one, tree), client(one) as connection:
        auth, said = await waiting(connection)
        call = connection.client.begin(m.Tread(auth.fid, 0, 100))
        connection.client.send()
        await trio.testing.wait_all_tasks_blocked()
        await one.cut()
        with pytest.raises(FileError, match=Interrupted.text):
            await connection.client.wait(call)
        with pytest.raises(FileError, match=ProofLost.text):
            await auth.write(0, said)
        with pytest.raises(FileError, match=ProofLost.text):
            await connection.attach("glenda", auth=auth)
        await auth.clunk()
        files = await proven(connection)
        assert await files.listdir() == []
        assert tree.talks == 0


@pytest.mark.parametrize("trust", [0.0, 1000.0])
async def test_a_lost_link_ends_what_was_proven(tmp_path: Path, autojump_clock: MockClock, trust: float) -> None:
    """The keys are the client's: nothing is attached in its name behind its back, not even as it was before."""
    async with setting(tmp_path, trust=trust) as (one, tree), client(one) as connection:
        files = await proven(connection)
        guest = RemoteTree(await connection.attach(GUEST))
        await files.write_bytes("file", b"hers")
        async with files.open("file") as file, guest.open("file") as other:
            assert await file.read(0, 100) == b"hers"
            await one.cut()
            await trio.sleep(5)
            assert await other.read(0, 100) == b"hers"
            assert await file.read(0, 100) == b"hers", "what is cached of an open file stays readable"
            for work in (
                lambda: file.wstat(Stat(mode=0o600)),
                lambda: files.walk("new"),
                lambda: files.listdir(),
                lambda: files.write_bytes("file", b"more"),
            ):
                with pytest.raises(FileError, match=ProofLost.text):
                    await work()
        assert tree.users == ["glenda", "none?", "none?"]
        await files.root.clunk()
        again = await proven(connection)
        assert await again.read_bytes("file") == b"hers"
        assert one.cache.counts.values["nstale"] >= 1


async def test_what_is_not_cached_of_an_open_file_is_lost(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path) as (one, _), client(one) as connection:
        files = await proven(connection)
        await files.write_bytes("file", bytes(8 << 20))
        async with files.open("file") as file:
            assert await file.read(0, 100) == bytes(100)
            await one.cut()
            with pytest.raises(FileError, match=ProofLost.text):
                await file.read(7 << 20, 100)


async def test_what_is_cached_stays_readable_while_the_server_is_away(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with setting(tmp_path) as (one, _), client(one) as connection:
        files = await proven(connection)
        await files.write_bytes("file", b"hers")
        assert await files.read_bytes("file") == b"hers"
        async with files.open("file") as file:
            assert await file.read(0, 100) == b"hers"
            one.reachable = False
            await one.cut()
            assert await file.read(0, 100) == b"hers"


async def test_attaches_leave_no_fids(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, _), client(one) as connection:
        auth = await connection.auth("glenda")
        await converse(auth, GLENDA)
        one.forget_sent()
        for _ in range(5):
            root = await connection.attach("glenda", auth=auth)
            copy = await root.walk([])
            await root.clunk()
            await copy.clunk()
        await trio.testing.wait_all_tasks_blocked()
        assert one.sent["Tclunk"] == one.sent["Tattach"] + one.sent["Twalk"]
