"""A local directory served: the contract of every tree, and what only a directory of a real system has."""

from __future__ import annotations

import errno
import os
import random
import stat as unix
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from contracts.served_dialects import DialectContract, unix_dialects
from contracts.served_file import OWNER, ServedTreeContract
from fakes.ninep_client import connected
from ninep.client.connection import DIALECTS
from ninep.client.connection import connected as client_connection
from ninep.export.accounts import Accounts, Identity
from ninep.export.mounts import Away, Mounts
from ninep.export.tree import ExportTree
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol import stat as st
from ninep.protocol.attributes import SetAttributes, device
from ninep.protocol.errors import FileError, NinepError, NotPermitted, UnknownUser
from ninep.protocol.stat import Stat
from ninep.server.files import FileTree
from ninep.server.serve import serve_stream

ROOT = os.geteuid() == 0
OWN = Identity(54321, 54321, (54321,))
OTHER = Identity(54322, 54322, (54322,))


def far() -> Away:
    """What is known of a directory that is not on this machine."""
    away = Away()
    away.here = True
    return away


class Renamed(Accounts):
    """The contract's owner: an invented user where we may act as one, else this process's own."""

    def identity(self, uname: str) -> Identity | None:
        return (OWN if uname == OWNER else OTHER) if ROOT else None

    def user(self, uid: int) -> str:
        return OWNER if uid == (OWN.uid if ROOT else os.geteuid()) else super().user(uid)

    def group(self, gid: int) -> str:
        return OWNER if gid == (OWN.gid if ROOT else os.getegid()) else super().group(gid)


class TestExport(ServedTreeContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "served"
        self.path.mkdir()
        if ROOT:
            os.chown(self.path, OWN.uid, OWN.gid)

    @asynccontextmanager
    async def tree(self) -> AsyncIterator[FileTree]:
        tree = ExportTree(self.path, accounts=Renamed())
        open_before = len(os.listdir("/proc/self/fd"))
        yield tree
        assert len(os.listdir("/proc/self/fd")) == open_before
        tree.close()

    async def test_append_only(self) -> None:
        """Unix has no such files that any user could make."""
        async with self.client() as raw:
            fid = await raw.walk()
            assert "append-only" in await raw.refused(m.Tcreate(fid, "log", st.DMAPPEND | 0o644, m.OWRITE))
            assert await raw.list() == []

    async def test_exclusive_use(self) -> None:
        async with self.client() as raw:
            fid = await raw.walk()
            assert "exclusive" in await raw.refused(m.Tcreate(fid, "lock", st.DMEXCL | 0o644, m.OWRITE))

    async def test_a_new_mode_shows_in_the_qid(self) -> None:
        async with self.client() as raw:
            await raw.made("file", data=b"x")
            before = await raw.stat("file")
            assert await raw.refused(m.Twstat(await raw.walk("file"), Stat(mode=st.DMAPPEND | 0o644)))
            assert await raw.stat("file") == before
            await raw.ask(m.Twstat(await raw.walk("file"), Stat(mode=0o640)))
            after = await raw.stat("file")
            assert (after.mode, after.qid.path) == (0o640, before.qid.path)
            assert after.qid.version != before.qid.version


class TestExportThatMayHang(TestExport):
    """The same as if all were behind a network: every call is made by a thread."""

    @pytest.fixture(autouse=True)
    def _far(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Mounts, "read", lambda _: far())

    async def test_requests_sent_in_one_go_keep_their_order(self) -> None:
        """Those that need a fid do; a walk to a file that is being made beside it comes too early."""
        async with self.client() as raw:
            requests: list[m.Request] = [
                m.Twalk(0, 50, []),
                m.Tcreate(50, "file", 0o644, m.ORDWR),
                m.Twrite(50, 0, b"pipelined"),
                m.Tread(50, 0, 100),
                m.Tstat(50),
                m.Tremove(50),
            ]
            calls = [raw.client.begin(request) for request in requests]
            replies = [await raw.client.wait(call) for call in calls]
            assert bytes(replies[3].data) == b"pipelined"
            assert replies[4].stat.length == 9

    async def test_what_has_nothing_to_say_at_the_moment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Such as /proc/kmsg."""

        def nothing(*arguments: object) -> bytes:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        async with self.client() as raw:
            await raw.made("file", data=b"x")
            fid = await raw.open("file")
            monkeypatch.setattr(os, "pread", nothing)
            assert "try again" in await raw.refused(m.Tread(fid, 0, 10))


class TestExportInEveryDialect(DialectContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path

    @asynccontextmanager
    async def tree(self) -> AsyncIterator[FileTree]:
        path = self.path / f"served {len(os.listdir(self.path))}"
        path.mkdir()
        if ROOT:
            os.chown(path, OWN.uid, OWN.gid)
        tree = ExportTree(path, accounts=Renamed())
        yield tree
        tree.close()

    @unix_dialects
    async def test_owners(self, version: str) -> None:
        """The numbers are those of the files."""
        async with self.client(version) as remote:
            await remote.write_bytes("file", b"x")
            async with await remote.walk("file") as file:
                found = await file.getattr()
                assert found.uid == (OWN.uid if ROOT else os.geteuid())
                await file.setattr(SetAttributes(uid=found.uid, gid=found.gid))
                assert (await file.getattr())[1:4] == found[1:4]

    @unix_dialects
    async def test_special_files(self, version: str) -> None:
        """Of devices, the kernel decides who makes them: not everybody."""
        async with self.client(version) as remote:
            await remote.root.mknod("pipe", unix.S_IFIFO | 0o600)
            await remote.root.mknod("socket", unix.S_IFSOCK | 0o700)
            with pytest.raises(NotPermitted):
                await remote.root.mknod("disk", unix.S_IFBLK | 0o640, device(8, 1))
            for name, mode in (("pipe", unix.S_IFIFO | 0o600), ("socket", unix.S_IFSOCK | 0o700)):
                async with await remote.walk(name) as file:
                    assert (await file.getattr()).mode == mode
                with pytest.raises(FileError):
                    await remote.read_bytes(name)


class TestExportThatMayHangInEveryDialect(TestExportInEveryDialect):
    @pytest.fixture(autouse=True)
    def _far(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Mounts, "read", lambda _: far())


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory with an exported one in it, and a secret beside that."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("content")
    return tmp_path


@asynccontextmanager
async def exported(path: Path, **keywords: bool) -> AsyncIterator[ExportTree]:
    tree = ExportTree(path, accounts=Accounts(switch=False), **keywords)
    yield tree
    tree.close()


async def test_nothing_leads_outside(outside: Path) -> None:
    inside = outside / "in"
    (inside / "up").symlink_to("../secret")
    (inside / "parent").symlink_to("..")
    (inside / "absolute").symlink_to(outside / "secret")
    (inside / "deep").mkdir()
    async with exported(inside) as tree, connected(tree) as raw:
        reply = await raw.ask(m.Twalk(0, 50, ["..", "..", "deep", "..", "..", "file"]))
        assert len(reply.wqids) == 6
        await raw.ask(m.Topen(50, m.OREAD))
        assert await raw.read(50) == b"content"
        assert len((await raw.ask(m.Twalk(0, 51, ["..", "secret"]))).wqids) == 1
        for name, target in (("up", b"../secret"), ("absolute", os.fsencode(outside / "secret"))):
            assert await raw.content(name) == target, "the link itself"
            fid = await raw.walk(name)
            for mode in (m.ORDWR, m.OWRITE | m.OTRUNC):
                assert await raw.refused(m.Topen(fid, mode))
        assert await raw.refused(m.Twalk(await raw.walk("parent"), 52, ["secret"]))
        await raw.ask(m.Tattach(60, m.NOFID, "glenda", "../.."))
        assert {entry.name for entry in await raw.list()} == {"up", "parent", "absolute", "deep", "file"}
    assert (outside / "secret").read_text() == "secret"


async def test_a_directory_that_becomes_a_link_leads_nowhere_else(outside: Path) -> None:
    inside = outside / "in"
    (inside / "dir").mkdir()
    (inside / "dir" / "secret").write_text("ours")
    async with exported(inside) as tree, connected(tree) as raw:
        fid = await raw.walk("dir")
        (inside / "dir").rename(inside / "moved")
        (inside / "dir").symlink_to("..")
        await raw.ask(m.Twalk(fid, 50, ["secret"]))
        await raw.ask(m.Topen(50, m.OREAD))
        assert await raw.read(50) == b"ours"
        assert await raw.refused(m.Tremove(fid)) == "file has been removed"
        assert (outside / "secret").read_text() == "secret"


async def test_devices_and_pipes_are_listed_and_never_opened(outside: Path) -> None:
    os.mkfifo(outside / "in" / "pipe")
    async with exported(outside / "in") as tree, connected(tree) as raw:
        assert {entry.name for entry in await raw.list()} == {"file", "pipe"}
        for mode in (m.OREAD, m.OWRITE):
            assert "plain files" in await raw.refused(m.Topen(await raw.walk("pipe"), mode))


async def test_a_read_only_tree(outside: Path) -> None:
    async with exported(outside / "in", read_only=True) as tree, connected(tree) as raw:
        assert await raw.content("file") == b"content"
        fid = await raw.walk("file")
        for request in (
            m.Topen(fid, m.OWRITE),
            m.Topen(fid, m.OREAD | m.OTRUNC),
            m.Topen(fid, m.OREAD | m.ORCLOSE),
            m.Tcreate(await raw.walk(), "new", 0o644, m.OWRITE),
            m.Tcreate(await raw.walk(), "new", st.DMDIR | 0o755, m.OREAD),
            m.Twstat(fid, Stat(mode=0o600)),
            m.Twstat(fid, Stat(name="other")),
            m.Tremove(fid),
        ):
            assert await raw.refused(request) == "read only file system", request
        assert os.listdir(outside / "in") == ["file"]


async def test_a_name_keeps_its_file_for_all_fids(outside: Path) -> None:
    async with exported(outside / "in") as tree, connected(tree) as raw:
        one, two = await raw.walk("file"), await raw.walk("file")
        await raw.ask(m.Twstat(one, Stat(name="renamed")))
        assert (await raw.ask(m.Tstat(two))).stat.name == "renamed"
        await raw.ask(m.Tremove(two))
        assert os.listdir(outside / "in") == []
        assert await raw.refused(m.Tremove(one)) == "file has been removed"


async def test_what_this_machine_changes_is_seen(outside: Path) -> None:
    inside = outside / "in"
    async with exported(inside) as tree, connected(tree) as raw:
        before = await raw.stat("file")
        (inside / "file").write_text("changed by somebody else")
        assert await raw.content("file") == b"changed by somebody else"
        assert (await raw.stat("file")).qid.version != before.qid.version
        (inside / "file").rename(inside / "elsewhere")
        assert await raw.content("elsewhere") == b"changed by somebody else"


async def test_aname_is_a_directory_below(outside: Path) -> None:
    (outside / "in" / "sub").mkdir()
    async with exported(outside / "in") as tree, connected(tree, aname="/sub") as raw:
        assert await raw.list() == []
        assert "directory" in await raw.refused(m.Tattach(90, m.NOFID, "glenda", "file"))
        assert await raw.refused(m.Tattach(90, m.NOFID, "glenda", "none")) == "file does not exist"


async def test_names_that_are_no_text_are_names_in_unix(outside: Path) -> None:
    """9P2000 has text alone: no new file is called so, but what is can be had by the name that is listed."""
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    (outside / "in" / name).write_text("latin")
    async with exported(outside / "in") as tree:
        async with connected(tree) as raw:
            assert name in {entry.name for entry in await raw.list()}
            assert await raw.content(name) == b"latin"
            assert await raw.refused(m.Tcreate(await raw.walk(), f"{name}2", 0o644, m.OWRITE)) == "illegal name"
            assert await raw.refused(m.Twstat(await raw.walk(name), Stat(name=f"{name}2"))) == "illegal name"
        near, far = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_stream, far, tree)
            async with (
                client_connection(near, version=DIALECTS[-1]) as connection,
                await (await connection.attach("glenda")).walk([name]) as file,
            ):
                await file.open()
                assert await file.read_all() == b"latin"


def test_who_is_who() -> None:
    nobody = Accounts(switch=True)
    root, unknown = nobody.identity("root"), nobody.identity("no such user")
    assert root is not None
    assert root.uid != 0
    assert root == unknown
    allowed = Accounts({"root": "root"}, switch=True).identity("root")
    assert allowed is None if ROOT else allowed is not None
    assert Accounts(switch=False).identity("anybody") is None
    strict = Accounts({"*": ""}, switch=False)
    with pytest.raises(UnknownUser, match="may not attach"):
        strict.identity("glenda")


@pytest.mark.parametrize("setting", ["glenda", "=bob", "", "glenda=no-such-user-here"])
def test_mappings_that_mean_nothing(setting: str) -> None:
    with pytest.raises(NinepError, match="--map-users"):
        Accounts.parse([setting])


@pytest.mark.skipif(ROOT, reason="root can act as everybody")
def test_only_root_acts_as_others() -> None:
    with pytest.raises(NinepError, match="only root"):
        Accounts({"glenda": "root"})


async def test_appending_on_a_slow_disk_keeps_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes that come together go through threads then, of which any may be the first."""
    tree = ExportTree(tmp_path, accounts=Accounts(switch=False))
    pieces = [b"%03d;" % number for number in range(200)]
    chance = random.Random(1)
    pwrite = os.pwrite

    def slow(*arguments: Any) -> int:
        time.sleep(chance.random() * 0.002)
        return pwrite(*arguments)

    monkeypatch.setattr(os, "pwrite", slow)
    monkeypatch.setattr("ninep.export.contents.SLOW", 0.001)
    monkeypatch.setattr("ninep.export.contents.PAUSE", 0.01)
    async with connected(tree, OWNER, version=lm.VERSION) as raw:
        await raw.ask(m.Twalk(0, 1, []))
        await raw.ask(lm.Tlcreate(1, "log", lm.L_WRONLY | lm.L_APPEND, 0o644, 0))
        calls = [raw.client.begin(m.Twrite(1, 0, piece)) for piece in pieces]
        for call in calls:
            await raw.client.wait(call)
    tree.close()
    assert (tmp_path / "log").read_bytes() == b"".join(pieces)
