"""What every writable tree of ours does in every dialect, seen through our client. Subclass one and supply ``tree``.

``EveryDialectContract`` is for trees that know 9P2000 only, and are served in the others all the same;
``DialectContract`` is for those that know what Unix wants. What such a tree has not is told by ``has_links`` and
``has_xattrs``: then it is refused as Unix expects it.
"""

from __future__ import annotations

import stat as unix
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from contracts.large_content import LARGE, LAYOUTS, MESSAGE, check_client, model
from ninep.client.connection import DIALECTS, connected
from ninep.client.remote_linux import LinuxFile
from ninep.client.tree import RemoteTree
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol import stat as st
from ninep.protocol.attributes import SECOND, XATTR_CREATE, XATTR_REPLACE, SetAttributes, device
from ninep.protocol.codec_linux import unpack_entries
from ninep.protocol.errors import (
    CrossDevice,
    DirectoryNotEmpty,
    FileError,
    FileExists,
    FileNotFound,
    InvalidArgument,
    IsDirectory,
    NoAttribute,
    NotDirectory,
    NotPermitted,
    NotSupported,
    PermissionDenied,
)
from ninep.protocol.ids import Ids
from ninep.protocol.stat import Stat
from ninep.server.files import FileTree
from ninep.server.serve import serve_stream
from ninep.wire.maybe import arrived as settled

OWNER = "glenda"
every_dialect = pytest.mark.parametrize("version", DIALECTS)
unix_dialects = pytest.mark.parametrize("version", DIALECTS[1:])


class EveryDialectContract:
    """An empty tree whose root belongs to ``OWNER``, mode at least 0755."""

    counts_holes = True
    renames_are_changes = True
    """Whether a rename is seen at once in the time of the last change."""
    """Whether blocks of a file are told apart from holes."""
    aname = ""

    def tree(self) -> AbstractAsyncContextManager[FileTree]:
        raise NotImplementedError

    @asynccontextmanager
    async def client(self, version: str, *, uname: str = OWNER, msize: int = 65536) -> AsyncIterator[RemoteTree]:
        async with self.tree() as tree, self.client_of(tree, version, uname=uname, msize=msize) as remote:
            yield remote

    @asynccontextmanager
    async def client_of(
        self, tree: FileTree, version: str, *, uname: str = OWNER, msize: int = 65536
    ) -> AsyncIterator[RemoteTree]:
        near, far = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_stream, far, tree)
            async with connected(near, msize=msize, version=version, ids=Ids()) as connection:
                assert connection.version == version
                yield RemoteTree(await connection.attach(uname, self.aname))

    @every_dialect
    async def test_a_listing_has_the_qids_of_the_files(self, version: str) -> None:
        async with self.client(version) as remote:
            await remote.mkdir("dir")
            for name in ("file", "dir/file", "dir/other"):
                await remote.write_bytes(name, b"text")
            for folder in ("", "dir"):
                async with await remote.walk(folder) as directory:
                    await directory.open()
                    entries: Sequence[Any] = (
                        await directory.readdir() if isinstance(directory, LinuxFile) else await directory.list()
                    )
                paths = {}
                for entry in entries:
                    async with await remote.walk(f"{folder}/{entry.name}") as file:
                        paths[entry.name] = file.qid.path
                        assert entry.qid.path == file.qid.path == (await file.getattr()).qid.path
                assert len(set(paths.values())) == len(paths) == 2

    @every_dialect
    @pytest.mark.parametrize("msize", [8192, MESSAGE])
    async def test_our_client_reads_holes_and_ends(self, version: str, msize: int) -> None:
        async with self.client(version, msize=msize) as remote:
            for name in ("hole", "spots"):
                async with remote.create(name) as file:
                    for at, data in LAYOUTS[name]:
                        await file.write_range(at, data)
                await remote.wstat(name, Stat(length=LARGE))
                await check_client(remote, name, model(LAYOUTS[name]))

    @every_dialect
    async def test_files_and_directories(self, version: str) -> None:
        async with self.client(version) as remote:
            await remote.mkdir("dir")
            await remote.write_bytes("dir/file", b"hello" * 50000, 0o640)
            assert await remote.read_bytes("dir/file") == b"hello" * 50000
            await remote.write_bytes("dir/file", b"short")
            assert await remote.read_bytes("dir/file") == b"short"
            entry = await remote.stat("dir/file")
            assert (entry.name, entry.length, entry.mode) == ("file", 5, 0o640)
            assert entry.qid.type == 0
            folder = await remote.stat("dir")
            assert folder.is_directory
            assert folder.length == 0
            assert (await remote.stat("")).name == "/"
            with pytest.raises(FileExists):
                await remote.mkdir("dir")
            with pytest.raises(DirectoryNotEmpty):
                await remote.remove("dir")
            await remote.remove("dir/file")
            await remote.remove("dir")
            assert not await remote.exists("dir")

    @every_dialect
    async def test_listings(self, version: str) -> None:
        async with self.client(version, msize=8216) as remote:
            names = sorted([f"file-{number:03}" for number in range(300)] + ["é", "日本"])
            for name in names:
                await remote.write_bytes(name, b"xy")
            await remote.mkdir("folder")
            entries = await remote.listdir()
            assert sorted(entry.name for entry in entries) == sorted([*names, "folder"])
            assert {entry.length for entry in entries if entry.name != "folder"} == {2}
            assert {entry.name for entry in entries if entry.is_directory} == {"folder"}
            assert await remote.listdir("folder") == []

    @every_dialect
    async def test_attributes(self, version: str) -> None:
        async with self.client(version) as remote:
            await remote.write_bytes("file", b"0123456789", 0o644)
            async with await remote.walk("file") as file:
                found = await file.getattr()
                assert found.mode == unix.S_IFREG | 0o644
                assert (found.size, found.nlink) == (10, 1)
                assert found.qid == (await file.stat()).qid
                await file.setattr(SetAttributes(mode=0o600, size=4, mtime=1_000_000_000 * SECOND))
                found = await file.getattr()
                assert (found.mode, found.size) == (unix.S_IFREG | 0o600, 4)
                assert found.mtime == 1_000_000_000 * SECOND
                await file.setattr(SetAttributes(size=6))
                assert await remote.read_bytes("file") == b"0123\0\0"
                await file.wstat(Stat(mode=0o640, length=2))
                assert (await file.stat()).mode == 0o640
                assert (await file.stat()).length == 2
                await file.fsync()
            folder = await remote.root.getattr()
            assert unix.S_ISDIR(folder.mode)

    @every_dialect
    async def test_names_by_directory(self, version: str) -> None:
        async with self.client(version) as remote:
            root = remote.root
            await root.mkdir("dir", 0o750)
            assert (await remote.stat("dir")).mode == st.DMDIR | 0o750
            await remote.write_bytes("file", b"x")
            await root.renameat("file", root, "other")
            with pytest.raises(IsDirectory):
                await root.unlinkat("dir")
            with pytest.raises(NotDirectory):
                await root.unlinkat("other", directory=True)
            with pytest.raises(FileNotFound):
                await root.unlinkat("file")
            await root.unlinkat("other")
            await root.unlinkat("dir", directory=True)
            assert await remote.listdir() == []

    @every_dialect
    async def test_what_is_open_outlives_its_name(self, version: str) -> None:
        async with self.client(version) as remote:
            await remote.write_bytes("file", b"still here")
            async with remote.open("file", m.ORDWR) as file:
                await remote.remove("file")
                assert await file.read_all() == b"still here"
                await file.write_range(0, b"Still")
                assert await file.read_all() == b"Still here"
            assert await remote.listdir() == []

    @every_dialect
    async def test_refusals_are_the_same_in_every_dialect(self, version: str) -> None:
        async with self.tree() as tree, self.client_of(tree, version) as remote:
            await remote.write_bytes("private", b"x", 0o600)
            async with self.client_of(tree, version, uname="none") as other:
                with pytest.raises(PermissionDenied):
                    await other.read_bytes("private")
                with pytest.raises(PermissionDenied):
                    await other.write_bytes("mine", b"")
                async with await other.walk("private") as file:
                    with pytest.raises(FileError):
                        await file.setattr(SetAttributes(mode=0o666))
            with pytest.raises(FileNotFound):
                await remote.read_bytes("missing")
            with pytest.raises((IsDirectory, PermissionDenied)):
                async with remote.open("", m.OWRITE):
                    pass

    @every_dialect
    async def test_many_views_of_one_file(self, version: str) -> None:
        async with self.client(version) as remote, remote.create("file", mode=m.ORDWR) as file:
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(file.write_range, number * 1000, bytes([number]) * 1000)
            assert await remote.read_bytes("file") == b"".join(bytes([number]) * 1000 for number in range(20))


class DialectContract(EveryDialectContract):
    """The same, and what only Unix has."""

    has_links = True
    has_xattrs = True

    @unix_dialects
    async def test_modes_are_taken_as_they_are(self, version: str) -> None:
        async with self.client(version) as remote:
            await remote.root.mkdir("dir", 0o1777)
            async with await remote.walk("dir") as directory:
                assert (await directory.getattr()).mode == unix.S_IFDIR | 0o1777
                await directory.setattr(SetAttributes(mode=0o700))
                async with await directory.walk([]) as made:
                    await made.create("file", 0o666)
                    assert (await made.getattr()).mode == unix.S_IFREG | 0o666
                    await made.setattr(SetAttributes(mode=0o4711))
                    assert (await made.getattr()).mode == unix.S_IFREG | 0o4711

    @unix_dialects
    async def test_symbolic_links(self, version: str) -> None:
        async with self.client(version) as remote:
            await remote.mkdir("dir")
            await remote.write_bytes("dir/file", b"x")
            await remote.symlink("dir/link", "file")
            await remote.symlink("dangling", "../no/where")
            assert await remote.readlink("dir/link") == "file"
            assert await remote.readlink("dangling") == "../no/where"
            async with await remote.walk("dangling") as link:
                found = await link.getattr()
                assert found.mode == unix.S_IFLNK | 0o777
                assert found.size == len("../no/where")
                assert link.qid.type == 0x02
                assert (await link.stat()).extension == "../no/where"
            entries = {entry.name: entry for entry in await remote.listdir("dir")}
            assert entries["link"].mode == st.DMSYMLINK | 0o777
            assert entries["link"].extension == "file"
            with pytest.raises(FileExists):
                await remote.symlink("dangling", "x")
            with pytest.raises(InvalidArgument):
                await remote.readlink("dir/file")
            with pytest.raises(FileError):
                await remote.read_bytes("dir/link/x")
            await remote.rename("dangling", "renamed")
            assert await remote.readlink("renamed") == "../no/where"
            await remote.remove("renamed")
            assert [entry.name for entry in await remote.listdir()] == ["dir"]

    @unix_dialects
    async def test_links_in_9p2000(self, version: str) -> None:
        """A client that does not know links finds a file that holds the target."""
        async with self.tree() as tree:
            async with self.client_of(tree, version) as remote:
                await remote.symlink("link", "to/there")
            async with self.client_of(tree, m.VERSION) as remote:
                assert await remote.read_bytes("link") == b"to/there"
                assert (await remote.stat("link")).length == 8
                with pytest.raises(FileError):
                    async with remote.open("link", m.OWRITE):
                        pass
                await remote.wstat("link", Stat(mtime=1_000_000_000))
                await remote.remove("link")

    @unix_dialects
    async def test_renaming_replaces(self, version: str) -> None:
        async with self.client(version) as remote:
            await remote.write_bytes("new", b"new")
            await remote.write_bytes("old", b"old")
            async with remote.open("old") as file:
                await remote.rename("new", "old")
                assert await file.read_all() == b"old"
            assert await remote.read_bytes("old") == b"new"
            assert [entry.name for entry in await remote.listdir()] == ["old"]
            await remote.mkdir("dir")
            for old, new, refusal in (("old", "dir", IsDirectory), ("dir", "old", NotDirectory)):
                with pytest.raises(refusal):
                    await remote.rename(old, new)
            await remote.write_bytes("dir/file", b"")
            await remote.mkdir("empty")
            with pytest.raises(DirectoryNotEmpty):
                await remote.rename("empty", "dir")
            await remote.rename("dir", "empty")
            assert sorted(entry.name for entry in await remote.listdir()) == ["empty", "old"]
            assert await remote.exists("empty/file")
            await remote.rename("old", "old")
            assert await remote.read_bytes("old") == b"new"

    @unix_dialects
    async def test_owners(self, version: str) -> None:
        async with self.client(version) as remote:
            await remote.write_bytes("file", b"x")
            async with await remote.walk("file") as file:
                found = await file.getattr()
                assert found.uid == Ids().uid(OWNER)
                await file.setattr(SetAttributes(uid=found.uid, gid=found.gid))
                assert (await file.getattr())[1:4] == found[1:4]

    @unix_dialects
    async def test_only_some_may_give_files_away(self, version: str) -> None:
        async with self.tree() as tree, self.client_of(tree, version) as remote:
            await remote.write_bytes("file", b"x")
            async with self.client_of(tree, version, uname="none") as other, await other.walk("file") as file:
                with pytest.raises(FileError):
                    await file.setattr(SetAttributes(uid=65534))
            async with await remote.walk("file") as file:
                assert (await file.getattr()).uid != 65534

    @unix_dialects
    async def test_hard_links(self, version: str) -> None:
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
                assert (await file.getattr()).nlink == 2
                await remote.remove("file")
                assert await remote.read_bytes("other") == b"both"
            with pytest.raises(FileError):
                await remote.root.link("loop", remote.root)

    @unix_dialects
    async def test_special_files(self, version: str) -> None:
        async with self.client(version) as remote:
            await remote.root.mknod("pipe", unix.S_IFIFO | 0o600)
            await remote.root.mknod("socket", unix.S_IFSOCK | 0o700)
            await remote.root.mknod("disk", unix.S_IFBLK | 0o640, device(8, 1))
            await remote.root.mknod("tty", unix.S_IFCHR | 0o620, device(5, 300))
            for name, mode, rdev in (
                ("pipe", unix.S_IFIFO | 0o600, 0),
                ("socket", unix.S_IFSOCK | 0o700, 0),
                ("disk", unix.S_IFBLK | 0o640, device(8, 1)),
                ("tty", unix.S_IFCHR | 0o620, device(5, 300)),
            ):
                async with await remote.walk(name) as file:
                    found = await file.getattr()
                    assert (found.mode, found.rdev) == (mode, rdev), name
                with pytest.raises(FileError):
                    await remote.read_bytes(name)

    # What only 9P2000.L has.

    async def test_moving_to_another_directory(self) -> None:
        async with self.client(lm.VERSION) as remote:
            await remote.mkdir("a")
            await remote.mkdir("a/b")
            await remote.mkdir("c")
            await remote.write_bytes("a/b/file", b"x")
            await remote.rename("a/b", "c/d")
            assert await remote.read_bytes("c/d/file") == b"x"
            async with await remote.walk("c/d") as inside, await inside.walk([".."]) as above:
                assert above.qid.path == (await remote.stat("c")).qid.path
            with pytest.raises(InvalidArgument):
                await remote.rename("c", "c/d/e")
            await remote.write_bytes("a/file", b"y")
            await remote.rename("a/file", "c/d/file")
            assert await remote.read_bytes("c/d/file") == b"y"
            async with await remote.walk("c/d/file") as file, await remote.walk("a") as folder:
                await remote.connection.ask(lm.Trename(file.fid, folder.fid, "back"))
                assert await remote.read_bytes("a/back") == b"y"
        async with self.client(m.VERSION) as remote:
            await remote.mkdir("a")
            with pytest.raises(CrossDevice):
                await remote.rename("a", "b/c")

    async def test_exclusive_and_other_creation(self) -> None:
        async with self.client(lm.VERSION) as remote:
            ask = remote.connection.ask
            await remote.write_bytes("file", b"content")
            async with await remote.walk("") as folder:
                with pytest.raises(FileExists):
                    await ask(lm.Tlcreate(folder.fid, "file", lm.L_RDWR | lm.L_EXCL, 0o644, m.NOFID))
                reply = await ask(lm.Tlcreate(folder.fid, "file", lm.L_RDWR, 0o600, m.NOFID))
                assert reply.qid == (await remote.stat("file")).qid
                assert bytes((await ask(m.Tread(folder.fid, 0, 100))).data) == b"content"
            async with await remote.walk("") as folder:
                await ask(lm.Tlcreate(folder.fid, "file", lm.L_WRONLY | lm.L_TRUNC, 0o600, m.NOFID))
            assert await remote.read_bytes("file") == b""
            async with await remote.walk("") as folder:
                with pytest.raises(InvalidArgument):
                    await ask(lm.Tlcreate(folder.fid, "a/b", lm.L_RDWR, 0o644, m.NOFID))

    async def test_a_read_only_file_is_cut_by_who_has_it_open(self) -> None:
        async with self.client(lm.VERSION) as remote, remote.create("file", 0o400) as file:
            await file.write_range(0, b"0123456789")
            await file.setattr(SetAttributes(size=5))
            assert (await file.getattr()).size == 5

    async def test_appending(self) -> None:
        async with self.client(lm.VERSION) as remote:
            await remote.write_bytes("log", b"one\n")
            async with (
                remote.open("log", m.OWRITE | m.OAPPEND) as first,
                remote.open("log", m.OWRITE | m.OAPPEND) as two,
            ):
                await first.write(0, b"two\n")
                await two.write(0, b"three\n")
            assert await remote.read_bytes("log") == b"one\ntwo\nthree\n"

    async def test_times_in_nanoseconds_and_of_the_server(self) -> None:
        async with self.client(lm.VERSION) as remote:
            await remote.write_bytes("file", b"x")
            async with await remote.walk("file") as file:
                await file.setattr(SetAttributes(atime=7 * SECOND, mtime=9 * SECOND))
                found = await file.getattr()
                assert (found.atime, found.mtime) == (7 * SECOND, 9 * SECOND)
                await file.setattr(SetAttributes(mtime_now=True))
                found = await file.getattr()
                assert found.mtime > 1_600_000_000 * SECOND
                assert found.atime == 7 * SECOND

    async def test_times_that_32_bits_do_not_have(self) -> None:
        """Before 1970, after 2106 and between two seconds. An entry has the nearest that it can tell."""
        async with self.client(lm.VERSION) as remote:
            await remote.write_bytes("file", b"x")
            for moment in (-1, -2 * SECOND, -86_400 * SECOND + 5, (1 << 32) * SECOND + 7, 1_700_000_000_123_456_789):
                async with await remote.walk("file") as file:
                    await file.setattr(SetAttributes(atime=moment, mtime=moment))
                    found = await file.getattr()
                    assert (found.mtime, found.atime) == (moment, moment)
                assert (await remote.stat("file")).mtime == min(max(moment // SECOND, 0), 0xFFFFFFFE)

    async def test_what_changes_an_entry_moves_its_change_time(self) -> None:
        """chmod, a rename and a time that is set, and neither a look nor a time of change that is older."""
        async with self.client(lm.VERSION) as remote:
            await remote.write_bytes("file", b"x")
            async with await remote.walk("file") as file, await remote.walk("") as root:

                async def changed() -> bool:
                    nonlocal last
                    before, last = last, (await file.getattr()).ctime
                    return last > before

                last = 0
                assert await changed()
                assert not await changed()
                for changes in (SetAttributes(mode=0o640), SetAttributes(mtime=5 * SECOND), SetAttributes(size=3)):
                    await trio.sleep(0.02)
                    await file.setattr(changes)
                    assert await changed(), changes
                if self.renames_are_changes:
                    await trio.sleep(0.02)
                    await root.renameat("file", root, "other")
                    assert await changed()

    async def test_holes_take_no_blocks(self) -> None:
        """``du`` and ``cp --sparse`` go by them; there are no fewer than what was written."""
        if not self.counts_holes:
            return
        async with self.client(lm.VERSION, msize=MESSAGE) as remote:
            for name in ("hole", "spots"):
                async with remote.create(name) as file:
                    for at, data in LAYOUTS[name]:
                        await file.write_range(at, data)
                await remote.wstat(name, Stat(length=LARGE))
                written = sum(len(data) for _, data in LAYOUTS[name])
                async with await remote.walk(name) as file:
                    found = await file.getattr()
                assert found.size == LARGE
                assert written <= found.blocks * 512 <= written + len(LAYOUTS[name]) * 128 * 1024

    async def test_the_room(self) -> None:
        async with self.client(lm.VERSION) as remote:
            room = await remote.root.statfs()
            assert room.bsize > 0
            assert room.blocks >= room.bfree >= room.bavail > 0
            assert room.namelen >= 255

    async def test_extended_attributes(self) -> None:
        async with self.client(lm.VERSION) as remote:
            await remote.write_bytes("file", b"x")
            async with await remote.walk("file") as file:
                if not self.has_xattrs:
                    for asking in (file.listxattr(), file.getxattr("user.a"), file.setxattr("user.a", b"")):
                        with pytest.raises(NotSupported):
                            await asking
                    return
                with pytest.raises(NoAttribute):
                    await file.getxattr("user.a")
                await file.setxattr("user.a", b"value", XATTR_CREATE)
                await file.setxattr("user.b", b"")
                assert await file.getxattr("user.a") == b"value"
                assert await file.getxattr("user.b") == b""
                assert sorted(await file.listxattr()) == ["user.a", "user.b"]
                with pytest.raises(FileExists):
                    await file.setxattr("user.a", b"other", XATTR_CREATE)
                with pytest.raises(NoAttribute):
                    await file.setxattr("user.c", b"other", XATTR_REPLACE)
                await file.setxattr("user.a", b"other", XATTR_REPLACE)
                await file.removexattr("user.b")
                assert await file.listxattr() == ["user.a"]
                with pytest.raises(FileError):
                    await file.setxattr("user.big", bytes(1 << 20))
            async with await remote.walk("file") as file:
                assert await file.getxattr("user.a") == b"other"

    async def test_record_locks(self) -> None:
        async with (
            self.tree() as tree,
            self.client_of(tree, lm.VERSION) as remote,
            self.client_of(tree, lm.VERSION) as other,
        ):
            await remote.write_bytes("file", b"x")
            async with other.open("file", m.ORDWR) as theirs:
                async with remote.open("file", m.ORDWR) as ours:
                    assert await ours.lock(lm.LOCK_WRITE, 0, 10, process=1, client="here")
                    assert not await theirs.lock(lm.LOCK_READ, 5, 1, process=1, client="here")
                    assert await theirs.lock(lm.LOCK_WRITE, 10, 0, process=1, client="here")
                    assert await ours.lock(lm.LOCK_UNLOCK, 0, 5, process=1, client="here")
                    assert await theirs.lock(lm.LOCK_READ, 0, 5, process=1, client="here")
                    assert not await theirs.lock(lm.LOCK_READ, 5, 1, process=1, client="here")
                assert await theirs.lock(lm.LOCK_READ, 5, 1, process=1, client="here")
            locks = (await settled(tree.attach(OWNER, self.aname))).locks
            assert len(tree.locks if locks is None else locks) == 0

    async def test_cookies_outlive_removals(self) -> None:
        async with self.client(lm.VERSION, msize=4096) as remote:
            for number in range(150):
                await remote.write_bytes(f"{number}", b"")
            async with await remote.walk("") as folder:
                await remote.connection.ask(lm.Tlopen(folder.fid, lm.L_DIRECTORY))
                seen: list[str] = []
                cookie = 0
                while True:
                    reply = await remote.connection.ask(lm.Treaddir(folder.fid, cookie, 600))
                    entries = unpack_entries(reply.data)
                    if not entries:
                        break
                    cookie = entries[-1][1]
                    seen += [name for _, _, _, name in entries]
                    for _, _, _, name in entries:
                        if name not in (".", ".."):
                            await remote.root.unlinkat(name)
            assert sorted(seen) == sorted([".", "..", *map(str, range(150))])
            assert await remote.listdir() == []
