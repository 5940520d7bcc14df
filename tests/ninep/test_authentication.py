"""Proving who one is: the client against a tree that asks for it, in every dialect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from fakes.ninep_client import connected as raw_connected
from fakes.secret_tree import GUEST, SecretTree, converse, proof
from ninep.client.connection import DIALECTS, Connection, connected
from ninep.client.tree import RemoteTree
from ninep.protocol import messages as m
from ninep.protocol.errors import AuthenticationFailed, AuthenticationNotRequired, FileError, NinepError, UnknownFid
from ninep.protocol.ids import Ids
from ninep.protocol.qid import QTAUTH
from ninep.ram.tree import RamTree
from ninep.server.files import File, FileTree
from ninep.server.serve import serve_stream

GLENDA, MALLORY = b"rabbit", b"hare"


def secret_tree() -> SecretTree:
    return SecretTree(RamTree("glenda", mode=0o777), {"glenda": GLENDA, "mallory": MALLORY})


@asynccontextmanager
async def talking(tree: FileTree, version: str = m.VERSION) -> AsyncIterator[Connection]:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, tree)
        async with connected(near, version=version) as connection:
            assert connection.version == version
            yield connection


@pytest.mark.parametrize("version", DIALECTS)
async def test_a_proof_lets_in(version: str) -> None:
    tree = secret_tree()
    async with talking(tree, version) as connection:
        async with await connection.auth("glenda") as auth:
            assert auth.qid.type == QTAUTH
            await converse(auth, GLENDA)
            files = RemoteTree(await connection.attach("glenda", auth=auth))
            await connection.attach("glenda", auth=auth)
        assert tree.talks == 0
        await files.write_bytes("file", b"hers", 0o600)
        assert await files.read_bytes("file") == b"hers"
        assert tree.users == ["glenda", "glenda"]


@pytest.mark.parametrize("version", DIALECTS)
async def test_nothing_else_does(version: str) -> None:
    tree = secret_tree()
    async with talking(tree, version) as connection:
        with pytest.raises(AuthenticationFailed if version != DIALECTS[2] else FileError):
            await connection.attach("glenda")
        auth = await connection.auth("glenda")
        with pytest.raises(FileError):
            await converse(auth, b"guessed")
        for uname, proven in (("glenda", auth), ("mallory", auth)):
            with pytest.raises(FileError):
                await connection.attach(uname, auth=proven)
        await auth.clunk()
        with pytest.raises(UnknownFid):
            await connection.attach("glenda", auth=auth)
        assert tree.users == []
        assert tree.talks == 0


async def test_the_guest_proves_nothing() -> None:
    tree = secret_tree()
    async with talking(tree) as connection:
        with pytest.raises(AuthenticationNotRequired):
            await connection.auth(GUEST)
        await connection.attach(GUEST)
        assert tree.users == ["none?"]


async def test_a_tree_that_asks_for_no_proof() -> None:
    async with talking(RamTree("glenda")) as connection:
        with pytest.raises(AuthenticationNotRequired):
            await connection.auth("glenda")
        await connection.attach("glenda")


async def test_a_proof_is_worth_nothing_on_another_connection() -> None:
    tree = secret_tree()
    async with talking(tree) as one, talking(tree) as other:
        auth = await one.auth("glenda")
        await converse(auth, GLENDA)
        with pytest.raises(ValueError, match="another"):
            await other.attach("glenda", auth=auth)


@pytest.mark.parametrize("version", DIALECTS[1:])
async def test_users_by_number(version: str) -> None:
    """The number that is attached is the one that was proven."""
    tree = secret_tree()
    tree.ids = Ids({"glenda": 1000, "mallory": 1001})
    async with talking(tree, version) as connection:
        auth = await connection.auth("", n_uname=1000)
        await converse(auth, GLENDA)
        with pytest.raises(NinepError):
            await connection.attach("", n_uname=1001, auth=auth)
        await connection.attach("", n_uname=1000, auth=auth)
        await connection.attach("glenda", auth=auth)
        assert tree.users == ["glenda", "glenda"]


async def test_a_read_that_waits_is_given_up_alone(autojump_clock: MockClock) -> None:
    tree = secret_tree()
    async with talking(tree) as connection:
        auth = await connection.auth("glenda")
        challenge = bytes(await auth.read(0, 100))
        with trio.move_on_after(1) as scope:
            await auth.read(0, 100)
        assert scope.cancelled_caught
        await auth.write(0, proof(GLENDA, challenge))
        assert bytes(await auth.read(0, 100)) == b"ok"


async def test_an_auth_that_is_given_up_leaves_nothing() -> None:
    tree = secret_tree()
    async with talking(tree) as connection:
        with trio.CancelScope() as scope:
            scope.cancel()
            await connection.auth("glenda")
        auth = await connection.auth("glenda")
        await auth.clunk()
        await trio.testing.wait_all_tasks_blocked()
        assert tree.talks == 0


async def test_hanging_up_ends_conversations(autojump_clock: MockClock) -> None:
    tree = secret_tree()
    async with raw_connected(tree, GUEST) as raw:
        await raw.ask(m.Tauth(5, "glenda", ""))
        call = raw.client.begin(m.Tread(5, 0, 100))
        await raw.client.wait(call)
        raw.client.begin(m.Tread(5, 0, 100))
        raw.client.send()
        await trio.testing.wait_all_tasks_blocked()
        assert tree.talks == 1
    assert tree.talks == 0


async def test_a_tree_with_conversations_and_no_attach_for_them() -> None:
    class Half(RamTree):
        def auth(self, uname: str, aname: str) -> File:
            return Talk()

    class Talk(File):
        qid = RamTree("x").attach("x", "").qid

        def read(self, offset: int, count: int) -> Any:
            return b"hello"

    async with talking(Half("glenda")) as connection:
        auth = await connection.auth("glenda")
        assert auth.qid.type == QTAUTH
        assert await auth.read(0, 10) == b"hello"
        with pytest.raises(AuthenticationFailed):
            await connection.attach("glenda", auth=auth)
