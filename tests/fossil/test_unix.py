"""The file system in 9P2000.u and 9P2000.L: the contract of all dialects, links in the past and in archives, ids."""

from __future__ import annotations

import stat as unix
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as some

from contracts.served_dialects import DialectContract
from contracts.served_file import OWNER
from fakes.flaky_venti import FlakyVenti
from fossil.archive.restored import restore
from fossil.archive.vacmode import from_vac, to_vac
from fossil.files.vacfs import VacTree
from fossil.live.ids import FossilIds, stored_id
from fossil.live.users import User, Users, first_table
from fossil.server.service import Fossil, open_fossil
from ninep.client.connection import connected
from ninep.client.tree import RemoteTree
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol import stat as st
from ninep.protocol.attributes import SetAttributes, device
from ninep.protocol.errors import FileError, FileNotFound, NotPermitted, PermissionDenied, ReadOnly
from ninep.protocol.ids import Ids
from ninep.server.files import FileTree
from ninep.server.serve import serve_stream
from programs.opened_fossil import Emptied, Opened
from venti.vac import label
from venti.vac import mode as vac
from venti.vac.reader import open_archive


class TestFossilInEveryDialect(DialectContract):
    has_xattrs = False

    @asynccontextmanager
    async def tree(self) -> AsyncIterator[FileTree]:
        with tempfile.TemporaryDirectory() as path, Opened(Path(path)) as opened:
            # Who may make devices and give files away is the table's to say.
            opened.system.users = opened.system.users.joined("adm", OWNER)
            yield Emptied(opened)


@asynccontextmanager
async def mounted(opened: Opened | Fossil | FileTree, user: str = OWNER, aname: str = "") -> AsyncIterator[RemoteTree]:
    tree = opened if isinstance(opened, FileTree) else opened.tree
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, tree)
        async with connected(near, version=lm.VERSION, ids=Ids()) as connection:
            yield RemoteTree(await connection.attach(user, aname))


async def test_links_and_moves_outlive_a_restart_and_are_in_the_past(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        async with mounted(opened) as remote:
            await remote.mkdir("a")
            await remote.mkdir("b")
            await remote.symlink("a/link", "../b/file")
            await remote.write_bytes("a/file", b"first")
        opened.history.take("snapshot")
        async with mounted(opened) as remote:
            await remote.rename("a/file", "b/file")
            await remote.rename("a/link", "b/other")
    with Opened(tmp_path) as opened:
        async with mounted(opened) as remote:
            assert [entry.name for entry in await remote.listdir("a")] == []
            assert await remote.read_bytes("b/file") == b"first"
            assert await remote.readlink("b/other") == "../b/file"
        (name,) = (snapshot.name for snapshot in opened.history.all("snapshot"))
        async with mounted(opened, aname=f"main/snapshot/{name}") as remote:
            assert sorted(entry.name for entry in await remote.listdir("a")) == ["file", "link"]
            assert await remote.listdir("b") == []
            assert await remote.readlink("a/link") == "../b/file"
            assert await remote.read_bytes("a/file") == b"first"
            for refused in (remote.symlink("x", "y"), remote.rename("a/file", "b/file"), remote.remove("a/file")):
                with pytest.raises((ReadOnly, NotPermitted, FileError)):
                    await refused
            async with await remote.walk("a/file") as file:
                with pytest.raises(ReadOnly):
                    await file.setattr(SetAttributes(mode=0o600))


async def test_links_in_archives_and_back(tmp_path: Path) -> None:
    venti = FlakyVenti()

    @asynccontextmanager
    async def running(name: str) -> AsyncIterator[tuple[Fossil, RemoteTree]]:
        async with open_fossil(tmp_path / name, owner=OWNER, open_store=venti.connect) as fossil:
            fossil.system.users = fossil.system.users.joined("adm", OWNER)
            async with mounted(fossil) as remote:
                yield fossil, remote

    async with running("old") as (fossil, remote):
        await remote.symlink("link", "to/there")
        await remote.root.mknod("tty", unix.S_IFCHR | 0o620, device(5, 0))
        await remote.root.mknod("socket", unix.S_IFSOCK | 0o620)
        await remote.write_bytes("program", b"#!")
        async with await remote.walk("program") as file:
            await file.setattr(SetAttributes(mode=0o4711))
        fossil.history.take("archive")
        await fossil.archiver.idle()
        score = label.parse(fossil.history.last().score or "")
    archive = await open_archive(venti.store, score)
    link = await archive.walk(["active", "link"])
    assert link.info.mode == vac.LINK | 0o777
    assert await link.read(0, 100) == b"to/there"
    async with mounted(VacTree(venti.store, score), aname="active") as remote:
        assert await remote.readlink("link") == "to/there"
        entries = {entry.name: entry for entry in await remote.listdir()}
        assert entries["link"].extension == "to/there"
        assert (entries["tty"].mode, entries["tty"].extension) == (st.DMDEVICE | 0o620, "c 5 0")
    await restore(tmp_path / "new", venti.store, score)
    async with running("new") as (_, remote):
        assert await remote.readlink("link") == "to/there"
        entries = {entry.name: entry for entry in await remote.listdir()}
        assert entries["link"].extension == "to/there"
        assert entries["tty"].extension == "c 5 0"
        assert entries["program"].mode == st.DMSETUID | 0o711
        assert "socket" not in entries


async def test_a_moved_directory_takes_everything_along(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        async with mounted(opened) as remote:
            await remote.mkdir("a")
            await remote.mkdir("a/b")
            await remote.write_bytes("a/b/file", b"x")
            await remote.mkdir("c")
            async with remote.open("a/b/file") as file:
                await remote.rename("a/b", "c/d")
                await remote.rename("c", "a/c")
                assert await file.read_all() == b"x"
                assert await remote.read_bytes("a/c/d/file") == b"x"
    with Opened(tmp_path) as opened:
        async with mounted(opened) as remote:
            assert await remote.read_bytes("a/c/d/file") == b"x"
            assert [entry.name for entry in await remote.listdir("a")] == ["c"]


async def test_replaced_files_give_their_room_back(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        async with mounted(opened) as remote:
            for number in range(5):
                await remote.write_bytes("new", bytes([number]) * 100_000)
                await remote.rename("new", "file")
            assert await remote.read_bytes("file") == bytes([4]) * 100_000
            assert sum(stored for _, stored in opened.system.freed.pieces) == 400_000


async def test_administrators_give_files_away(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        opened.system.users = Users.parse(first_table(OWNER) + "1000:bob:bob:\n").joined("adm", OWNER)
        async with mounted(opened) as remote:
            await remote.write_bytes("file", b"x", 0o600)
            async with await remote.walk("file") as file:
                await file.setattr(SetAttributes(uid=1000, gid=1000))
                assert (await file.getattr())[2:4] == (1000, 1000)
                assert (await remote.stat("file")).uid == "1000"
            assert opened.system.node(opened.system.children(opened.system.node(2))["file"][0]).uid == "1000"
            async with mounted(opened, "bob") as bob:
                assert await bob.read_bytes("file") == b"x"
                async with await bob.walk("file") as file:
                    with pytest.raises(NotPermitted):
                        await file.setattr(SetAttributes(uid=1001))
                    await file.setattr(SetAttributes(mode=0o604))
            async with await remote.walk("file") as file:
                await file.setattr(SetAttributes(uid=4711))
                assert (await file.getattr()).uid == 4711, "a number needs no line in the table"


async def test_attaching_by_number(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        opened.system.users = Users.parse(first_table(OWNER) + "1000:bob:bob:\n")
        async with mounted(opened) as remote:
            await remote.root.mkdir("open", 0o777)
            bob = await remote.connection.attach("", n_uname=1000)
            await (await bob.walk(["open"])).create("file")
            assert opened.tree.system.node(opened.system.next_path - 1).uid == "1000"
            stranger = await remote.connection.attach("", n_uname=4242)
            with pytest.raises(PermissionDenied):
                await stranger.create("mine")


async def test_groups_of_new_files(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        opened.system.users = Users.parse(first_table(OWNER) + "50:staff:staff:bob\n1000:bob:bob:\n")
        async with mounted(opened) as remote:
            await remote.root.mkdir("open", 0o777)
            async with mounted(opened, "bob") as bob, await bob.walk("open") as folder:
                for gid, expected in ((50, 50), (1000, 1000), (77, folder.ids.gid(OWNER)), (0xFFFFFFFF, None)):
                    await folder.mkdir(f"{gid}", 0o755, gid)
                    async with await bob.walk(f"open/{gid}") as made:
                        found = (await made.getattr()).gid
                        assert found == (await folder.getattr()).gid if expected is None else expected


async def test_special_files_in_9p2000(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        opened.system.users = opened.system.users.joined("adm", OWNER)
        async with mounted(opened) as remote:
            await remote.root.mknod("tty", unix.S_IFCHR | 0o620, device(5, 0))
            async with await remote.walk("tty") as tty:
                assert (await tty.getattr()).size == 0
            with pytest.raises(FileNotFound):
                await remote.symlink("empty", "")


def test_numbers_of_the_table() -> None:
    ids = FossilIds(Users.parse(first_table(OWNER) + "1000:bob:bob:\n"), Ids({"carol": 1001, "bob": 5}))
    assert (ids.uid("bob"), ids.gid("bob"), ids.user(1000), ids.group(1000)) == (1000, 1000, "bob", "bob")
    assert (ids.uid("carol"), ids.user(1001)) == (1001, "carol")
    assert (ids.uid("(77)"), ids.user(77)) == (77, "77")
    assert ids.uid("none") == 65534


def test_what_is_stored_for_a_name() -> None:
    users = Users([User("1000", "bob"), User("none", "none")])
    assert stored_id(users, "bob") == "1000"
    assert stored_id(users, "77") == "77"
    assert stored_id(users, "none") == "none"
    assert stored_id(users, "mallory") is None


@given(some.integers(0, 0o777), some.lists(some.sampled_from([st.DMSETUID, st.DMSETGID, st.DMSETVTX, st.DMAPPEND])))
def test_modes_in_archives(bits: int, more: list[int]) -> None:
    for kind in (0, st.DMDIR, st.DMSYMLINK, st.DMDEVICE, st.DMNAMEDPIPE):
        mode = kind | bits
        for bit in more:
            mode |= bit
        assert from_vac(to_vac(mode)) == mode


async def test_who_makes_a_file_may_open_it_again_while_it_is_open(tmp_path: Path) -> None:
    """With its caches Linux opens a new file a second time, to write what they have, and git makes files read-only."""
    with Opened(tmp_path) as opened:
        async with mounted(opened) as remote, mounted(opened, "mallory") as other:
            made = await remote.root.walk([])
            await made.create("object", 0o444, m.OWRITE)
            again = await remote.walk("object")
            await again.open(m.ORDWR)
            assert await again.write(0, b"content") == 7
            stranger = await other.walk("object")
            with pytest.raises(PermissionDenied):
                await stranger.open(m.OWRITE)
            await made.clunk()
            assert await again.read(0, 100) == b"content"
            await again.clunk()
            late = await remote.walk("object")
            with pytest.raises(PermissionDenied):
                await late.open(m.OWRITE)
            await late.clunk()
            await stranger.clunk()
            assert not opened.tree.makers
