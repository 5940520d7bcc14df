"""What every writable tree of ours does, seen through its messages. Subclass it and supply ``tree``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from contracts.large_content import LAYOUTS, MESSAGE, check_nothing_is_written, check_reads, lay_out, model
from contracts.walked_tree import all_of, check_unique
from fakes.ninep_client import Raw, connected
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.errors import FileError, FileNotFound, PermissionDenied
from ninep.protocol.qid import QTDIR
from ninep.protocol.stat import Stat
from ninep.server.files import FileTree

OWNER = "glenda"


class ServedTreeContract:
    """An empty tree whose root belongs to ``OWNER``, mode at least 0755."""

    def tree(self) -> AbstractAsyncContextManager[FileTree]:
        raise NotImplementedError

    def __init_subclass__(cls) -> None:
        assert cls.tree is not ServedTreeContract.tree

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Raw]:
        async with self.tree() as tree, connected(tree, OWNER) as raw:
            yield raw

    async def test_root(self) -> None:
        async with self.tree() as tree, connected(tree, attach=False) as raw:
            reply = await raw.ask(m.Tattach(0, m.NOFID, OWNER, ""))
            assert reply.qid.type & QTDIR
            assert reply.qid.path == (await raw.stat()).qid.path
            assert (await raw.stat()).mode & st.DMDIR

    async def test_no_two_files_have_one_qid_path(self) -> None:
        """And one file has one, whoever tells it: a listing, a walk, a stat."""
        async with self.client() as raw:
            for place in ((), ("dir",), ("dir", "inner")):
                if place:
                    await raw.made(*place, perm=st.DMDIR | 0o755)
                for name in ("a", "b", "c"):
                    await raw.made(*place, name, data=b"the same")
            for number in range(5):
                # An inode that is free is given to the next file.
                await raw.ask(m.Tremove(await raw.walk("a")))
                await raw.made("a", data=b"%d" % number)
            found = await all_of(raw)
            assert len(found) == 12
            check_unique(found)
            for place, qid in found.items():
                assert (await raw.stat(*(place.split("/") if place else ()))).qid.path == qid.path
            above = (await raw.ask(m.Twalk(0, raw.fid(), ["dir", "inner", "..", "..", "dir"]))).wqids
            assert [qid.path for qid in above] == [
                found[place].path for place in ("dir", "dir/inner", "dir", "", "dir")
            ]

    async def test_a_walk_to_where_it_is(self) -> None:
        """The C programs take it, and diod's clients ask for it."""
        async with self.client() as raw:
            await raw.made("dir", perm=st.DMDIR | 0o755)
            await raw.made("dir", "file", data=b"text")
            root, inner, file = [(await raw.stat(*names)).qid for names in ((), ("dir",), ("dir", "file"))]
            for names, expected in (
                (["."], [root]),
                ([".", "."], [root, root]),
                (["dir", "."], [inner, inner]),
                ([".", "dir", ".", "file"], [root, inner, inner, file]),
                (["dir", ".", ".."], [inner, inner, root]),
            ):
                fid = raw.fid()
                walked = (await raw.ask(m.Twalk(0, fid, names))).wqids
                assert [qid.path for qid in walked] == [qid.path for qid in expected], names
                assert (await raw.ask(m.Tstat(fid))).stat.qid.path == expected[-1].path
                await raw.ask(m.Tclunk(fid))
            for names, count in (([".", "nosuch"], 1), (["dir", ".", "nosuch"], 2), (["dir", "file", "."], 2)):
                fid = raw.fid()
                assert len((await raw.ask(m.Twalk(0, fid, names))).wqids) == count
                assert await raw.refused(m.Tstat(fid)), "a walk that is short makes no fid"
            fid = await raw.walk("dir")
            await raw.ask(m.Twalk(fid, fid, ["."]))
            assert (await raw.ask(m.Tstat(fid))).stat.qid.path == inner.path
            await raw.ask(m.Twalk(fid, fid, [".", "file"]))
            assert (await raw.ask(m.Tstat(fid))).stat.qid.path == file.path
            assert "not a directory" in await raw.refused(m.Twalk(fid, raw.fid(), ["."]))
            assert await raw.refused(m.Twalk(0, raw.fid(), ["nosuch", "."])) == "file does not exist"

    async def test_what_is_written_is_read(self) -> None:
        async with self.client() as raw:
            await raw.made("file", data=b"hello, world\n")
            assert await raw.content("file") == b"hello, world\n"
            stat = await raw.stat("file")
            assert (stat.name, stat.length, stat.uid, stat.muid) == ("file", 13, OWNER, OWNER)
            assert stat.mode == 0o644

    async def test_partial_and_sparse_writes(self) -> None:
        async with self.client() as raw:
            fid = await raw.create("file", data=b"abcdef")
            await raw.ask(m.Twrite(fid, 2, b"XY"))
            await raw.ask(m.Twrite(fid, 10, b"end"))
            assert await raw.read(fid) == b"abXYef\0\0\0\0end"
            assert await raw.read(fid, 3, 2) == b"Ye"
            assert await raw.read(fid, 13) == b""
            assert await raw.read(fid, 1 << 40) == b""

    async def test_many_kilobytes_in_odd_pieces(self) -> None:
        async with self.client() as raw:
            whole = bytes(range(256)) * 700
            fid = await raw.create("file")
            for at in range(0, len(whole), 7919):
                await raw.ask(m.Twrite(fid, at, whole[at : at + 7919]))
            await raw.ask(m.Tclunk(fid))
            assert await raw.content("file") == whole

    @pytest.mark.parametrize("layout", LAYOUTS)
    async def test_reads_of_any_size_in_holes_and_at_the_ends(self, layout: str) -> None:
        async with self.tree() as tree, connected(tree, OWNER, msize=MESSAGE) as raw:
            fid = await lay_out(raw, "file", LAYOUTS[layout])
            await check_reads(raw, fid, model(LAYOUTS[layout]))
            await raw.ask(m.Tclunk(fid))
            await check_reads(raw, await raw.open("file"), model(LAYOUTS[layout]))

    async def test_writes_of_nothing_and_beyond_any_file(self) -> None:
        async with self.tree() as tree, connected(tree, OWNER, msize=MESSAGE) as raw:
            fid = await lay_out(raw, "file", LAYOUTS["spots"])
            await check_nothing_is_written(raw, fid)
            await check_reads(raw, fid, model(LAYOUTS["spots"]))

    async def test_qid_version_follows_content(self) -> None:
        async with self.client() as raw:
            await raw.made("file")
            before = (await raw.stat("file")).qid
            fid = await raw.open("file", mode=m.OWRITE)
            await raw.ask(m.Twrite(fid, 0, b"x"))
            after = (await raw.stat("file")).qid
            assert after.path == before.path
            assert after.version != before.version

    async def test_create_refusals(self) -> None:
        async with self.client() as raw:
            await raw.made("file")
            await raw.made("dir", perm=st.DMDIR | 0o755)
            for names, name, perm, mode, text in (
                ((), "file", 0o644, m.OREAD, "file already exists"),
                ((), "dir", st.DMDIR | 0o755, m.OREAD, "file already exists"),
                ((), "", 0o644, m.OREAD, "illegal name"),
                ((), ".", 0o644, m.OREAD, "illegal name"),
                ((), "..", 0o644, m.OREAD, "illegal name"),
                ((), "a/b", 0o644, m.OREAD, "illegal name"),
                ((), "a\nb", 0o644, m.OREAD, "illegal name"),
                ((), "d", st.DMDIR | 0o755, m.OWRITE, "illegal mode"),
                (("file",), "x", 0o644, m.OREAD, "not a directory"),
            ):
                fid = await raw.walk(*names)
                assert await raw.refused(m.Tcreate(fid, name, perm, mode)) == text, (names, name)
                await raw.ask(m.Tclunk(fid))

    async def test_a_name_that_is_too_long_harms_no_listing(self) -> None:
        """An entry must fit in a message and its counts in 16 bits."""
        async with self.client() as raw:
            await raw.made("file")
            for size in (256, 1024, 60000, 65000):
                fid = await raw.walk()
                assert await raw.refused(m.Tcreate(fid, "x" * size, 0o644, m.OREAD)) == "File name too long"
                assert await raw.refused(m.Twstat(await raw.walk("file"), Stat(name="x" * size)))
            assert [entry.name for entry in await raw.list()] == ["file"]
            await raw.made("x" * 255)
            assert {entry.name for entry in await raw.list()} == {"file", "x" * 255}

    async def test_remove_on_close_when_the_connection_ends(self) -> None:
        async with self.tree() as tree:
            async with connected(tree, OWNER) as raw:
                await raw.create("temporary", mode=m.ORDWR | m.ORCLOSE)
                await raw.made("kept")
                await raw.open("kept")
            async with connected(tree, OWNER) as raw:
                assert [entry.name for entry in await raw.list()] == ["kept"]

    async def test_remove_on_close_needs_the_right_to_remove(self) -> None:
        async with self.client() as raw:
            await raw.made("dir", perm=st.DMDIR | 0o755)
            await raw.made("dir", "file")
            await raw.ask(m.Twstat(await raw.walk("dir"), Stat(mode=st.DMDIR | 0o555)))
            assert await raw.refused(m.Topen(await raw.walk("dir", "file"), m.ORCLOSE)) == "permission denied"
            assert await raw.refused(m.Tremove(await raw.walk("dir", "file"))) == "permission denied"
            assert await raw.content("dir", "file") == b""

    async def test_a_directory_that_cannot_be_searched(self) -> None:
        async with self.client() as raw:
            await raw.made("dir", perm=st.DMDIR | 0o755)
            await raw.made("dir", "file")
            inside = await raw.walk("dir", "file")
            await raw.ask(m.Twstat(await raw.walk("dir"), Stat(mode=st.DMDIR | 0o600)))
            assert await raw.refused(m.Twalk(await raw.walk("dir"), 900, ["file"])) == "permission denied"
            assert len((await raw.ask(m.Twalk(0, 900, ["dir", "file"]))).wqids) == 1
            assert [entry.name for entry in await raw.list("dir")] == ["file"]
            assert (await raw.ask(m.Tstat(inside))).stat.name == "file"

    async def test_executable_files_can_be_opened_to_execute(self) -> None:
        async with self.client() as raw:
            await raw.made("program", perm=0o711, data=b"#!")
            fid = await raw.open("program", mode=m.OEXEC)
            assert await raw.read(fid) == b"#!"
            assert await raw.refused(m.Twrite(fid, 0, b"x")) == "bad use of fid"

    async def test_close_on_exec_is_the_clients_affair(self) -> None:
        async with self.client() as raw:
            await raw.made("file", data=b"x")
            assert await raw.read(await raw.open("file", mode=m.OREAD | m.OCEXEC)) == b"x"

    async def test_directory_versions_follow_their_entries(self) -> None:
        async with self.client() as raw:
            versions = [(await raw.stat()).qid.version]
            await raw.made("file")
            versions.append((await raw.stat()).qid.version)
            await raw.ask(m.Twstat(await raw.walk("file"), Stat(name="other")))
            versions.append((await raw.stat()).qid.version)
            await raw.ask(m.Tremove(await raw.walk("other")))
            versions.append((await raw.stat()).qid.version)
            assert len(set(versions)) == 4, versions

    async def test_a_change_of_length_is_a_new_version(self) -> None:
        async with self.client() as raw:
            await raw.made("file", data=b"0123456789")
            before = (await raw.stat("file")).qid.version
            await raw.ask(m.Twstat(await raw.walk("file"), Stat(length=3)))
            assert (await raw.stat("file")).qid.version != before

    @pytest.mark.parametrize(("perm", "directory", "result"), [(0o666, 0o755, 0o644), (0o777, 0o700, 0o711)])
    async def test_new_files_inherit(self, perm: int, directory: int, result: int) -> None:
        async with self.client() as raw:
            await raw.made("dir", perm=st.DMDIR | directory)
            await raw.made("dir", "file", perm=perm)
            assert (await raw.stat("dir", "file")).mode == result

    async def test_read_only_file_can_be_created_for_writing(self) -> None:
        async with self.client() as raw:
            fid = await raw.create("file", perm=0o444, mode=m.OWRITE, data=b"once")
            await raw.ask(m.Tclunk(fid))
            assert await raw.content("file") == b"once"
            other = await raw.walk("file")
            assert await raw.refused(m.Topen(other, m.OWRITE)) == "permission denied"

    async def test_walks(self) -> None:
        async with self.client() as raw:
            for depth in range(1, 17):
                await raw.made(*["d"] * depth, perm=st.DMDIR | 0o755)
            fid = await raw.walk(*["d"] * 16)
            assert (await raw.ask(m.Twalk(fid, fid, [".."] * 16))).wqids[-1].path == (await raw.stat()).qid.path
            reply = await raw.ask(m.Twalk(0, 900, ["d", "missing", "d"]))
            assert len(reply.wqids) == 1
            assert await raw.refused(m.Tstat(900)) == "fid unknown or out of range"
            assert await raw.refused(m.Twalk(0, 900, ["missing"])) == "file does not exist"
            assert await raw.refused(m.Twalk(0, 0, ["missing"])) == "file does not exist"
            assert (await raw.ask(m.Tstat(0))).stat.mode & st.DMDIR
            parent = (await raw.ask(m.Twalk(fid, fid, [".."]))).wqids[0]
            assert parent.path == (await raw.stat()).qid.path, "the parent of the root is the root"

    async def test_walk_through_a_file(self) -> None:
        async with self.client() as raw:
            await raw.made("file")
            assert len((await raw.ask(m.Twalk(0, 900, ["file", "x"]))).wqids) == 1
            fid = await raw.walk("file")
            assert await raw.refused(m.Twalk(fid, 900, ["x"])) == "not a directory"

    async def test_listing(self) -> None:
        async with self.client() as raw:
            names = {f"file-{n}" for n in range(150)} | {"é", "日本"}
            for name in names:
                await raw.made(name)
            for count in (200, 1000, 60000):
                found = [entry.name for entry in await raw.list(count=count)]
                assert sorted(found) == sorted(names)
            fid = await raw.open()
            first = await raw.read(fid, 0, 500)
            assert await raw.refused(m.Tread(fid, len(first) + 1, 500)) == "bad offset in directory read"
            await raw.read(fid, len(first), 500)
            assert await raw.read(fid, 0, 500) == first
            assert "too small" in await raw.refused(m.Tread(fid, 0, 20))

    async def test_listing_while_files_go_away(self) -> None:
        async with self.client() as raw:
            for n in range(100):
                await raw.made(f"{n}")
            fid = await raw.open()
            seen: list[str] = []
            offset = 0
            gone = 0
            while data := await raw.read(fid, offset, 600):
                offset += len(data)
                seen += [entry.name for entry in st.unpack_directory(data)]
                await raw.ask(m.Tremove(await raw.walk(f"{gone}")))
                gone += 1
            assert len(seen) == len(set(seen))
            assert set(seen) >= {f"{n}" for n in range(gone, 100)}

    async def test_open_refusals(self) -> None:
        async with self.client() as raw:
            await raw.made("file")
            await raw.made("dir", perm=st.DMDIR | 0o755)
            for name, mode, text in (
                ("dir", m.OWRITE, "Is a directory"),
                ("dir", m.OREAD | m.OTRUNC, "Is a directory"),
                ("file", 0x80, "illegal mode"),
                ("file", m.OEXEC, "permission denied"),
            ):
                assert await raw.refused(m.Topen(await raw.walk(name), mode)) == text
            fid = await raw.open("file")
            assert await raw.refused(m.Topen(fid, m.OREAD)) == "bad use of fid"
            assert await raw.refused(m.Twrite(fid, 0, b"x")) == "bad use of fid"
            assert await raw.refused(m.Twalk(fid, 900, [])) == "bad use of fid"
            assert await raw.refused(m.Tread(await raw.walk("file"), 0, 1)) == "bad use of fid"

    async def test_truncation_at_open(self) -> None:
        async with self.client() as raw:
            await raw.made("file", data=b"long content")
            await raw.ask(m.Tclunk(await raw.open("file", mode=m.OWRITE | m.OTRUNC)))
            assert (await raw.stat("file")).length == 0

    async def test_append_only(self) -> None:
        async with self.client() as raw:
            await raw.made("log", perm=st.DMAPPEND | 0o644, data=b"one\n")
            fid = await raw.open("log", mode=m.OWRITE | m.OTRUNC)
            await raw.ask(m.Twrite(fid, 0, b"two\n"))
            assert await raw.content("log") == b"one\ntwo\n"
            assert (await raw.stat("log")).qid.type == 0x40

    async def test_exclusive_use(self) -> None:
        async with self.client() as raw:
            fid = await raw.create("lock", perm=st.DMEXCL | 0o644)
            other = await raw.walk("lock")
            assert await raw.refused(m.Topen(other, m.OREAD)) == "exclusive use file already open"
            await raw.ask(m.Tclunk(fid))
            await raw.ask(m.Topen(other, m.OREAD))

    async def test_remove(self) -> None:
        async with self.client() as raw:
            await raw.made("dir", perm=st.DMDIR | 0o755)
            await raw.made("dir", "file", data=b"x")
            fid = await raw.walk("dir")
            assert await raw.refused(m.Tremove(fid)) == "directory is not empty"
            assert await raw.refused(m.Tstat(fid)) == "fid unknown or out of range"
            await raw.ask(m.Tremove(await raw.walk("dir", "file")))
            await raw.ask(m.Tremove(await raw.walk("dir")))
            assert await raw.list() == []
            with pytest.raises(FileError):
                await raw.ask(m.Tremove(await raw.walk()))

    async def test_remove_on_close(self) -> None:
        async with self.client() as raw:
            await raw.made("file")
            fid = await raw.open("file", mode=m.OREAD | m.ORCLOSE)
            assert await raw.content("file") == b""
            await raw.ask(m.Tclunk(fid))
            with pytest.raises(FileNotFound):
                await raw.walk("file")

    async def test_new_file_under_an_old_name(self) -> None:
        async with self.client() as raw:
            await raw.made("file", data=b"old")
            before = await raw.stat("file")
            await raw.ask(m.Tremove(await raw.walk("file")))
            await raw.made("file", data=b"new")
            assert (await raw.stat("file")).qid.path != before.qid.path
            assert await raw.content("file") == b"new"

    async def test_rename(self) -> None:
        async with self.client() as raw:
            await raw.made("dir", perm=st.DMDIR | 0o755)
            await raw.made("dir", "a", data=b"a")
            await raw.made("dir", "b")
            fid = await raw.walk("dir", "a")
            assert await raw.refused(m.Twstat(fid, Stat(name="b"))) == "file already exists"
            assert await raw.refused(m.Twstat(fid, Stat(name="x/y"))) == "illegal name"
            await raw.ask(m.Twstat(fid, Stat(name="c")))
            await raw.ask(m.Twstat(await raw.walk("dir"), Stat(name="box")))
            assert await raw.content("box", "c") == b"a"
            assert {entry.name for entry in await raw.list("box")} == {"b", "c"}
            with pytest.raises(FileNotFound):
                await raw.walk("dir")

    async def test_wstat_of_length_mode_and_time(self) -> None:
        async with self.client() as raw:
            await raw.made("file", data=b"0123456789")
            fid = await raw.walk("file")
            await raw.ask(m.Twstat(fid, Stat(length=4, mtime=1_000_000_000, mode=0o600)))
            stat = await raw.stat("file")
            assert (stat.length, stat.mtime, stat.mode) == (4, 1_000_000_000, 0o600)
            await raw.ask(m.Twstat(fid, Stat(length=6)))
            assert await raw.content("file") == b"0123\0\0"
            await raw.ask(m.Twstat(fid, Stat()))
            await raw.ask(m.Twstat(fid, await raw.stat("file")))

    @pytest.mark.parametrize(
        "changes",
        [
            Stat(uid="mallory"),
            Stat(muid="mallory"),
            Stat(mode=st.DMDIR | 0o755),
            Stat(type=7),
            Stat(name="ok", uid="mallory"),
            Stat(length=3, muid="mallory"),
        ],
    )
    async def test_wstat_is_all_or_nothing(self, changes: Stat) -> None:
        async with self.client() as raw:
            await raw.made("file", data=b"0123456789")
            before = await raw.stat("file")
            assert await raw.refused(m.Twstat(await raw.walk("file"), changes))
            assert await raw.stat("file") == before

    async def test_a_new_mode_shows_in_the_qid(self) -> None:
        async with self.client() as raw:
            await raw.made("file", data=b"x")
            await raw.ask(m.Twstat(await raw.walk("file"), Stat(mode=st.DMAPPEND | 0o644)))
            stat = await raw.stat("file")
            assert (stat.mode, stat.qid.type) == (st.DMAPPEND | 0o644, 0x40)

    async def test_the_root_keeps_its_name(self) -> None:
        async with self.client() as raw:
            assert (await raw.stat()).name == "/"
            assert await raw.refused(m.Twstat(0, Stat(name="other")))
            assert (await raw.stat()).name == "/"

    async def test_directories_have_no_length(self) -> None:
        async with self.client() as raw:
            await raw.made("dir", perm=st.DMDIR | 0o755)
            fid = await raw.walk("dir")
            assert await raw.refused(m.Twstat(fid, Stat(length=1)))
            await raw.ask(m.Twstat(fid, Stat(length=0)))

    async def test_other_users(self) -> None:
        async with self.tree() as tree, connected(tree, OWNER) as raw, connected(tree, "none") as other:
            await raw.made("private", perm=0o600, data=b"secret")
            await raw.made("dir", perm=st.DMDIR | 0o700)
            await raw.made("dir", "inner")
            with pytest.raises(PermissionDenied):
                await other.open("private")
            with pytest.raises(PermissionDenied):
                await other.open("dir")
            assert (await other.stat("private")).length == 6
            fid = await other.walk("private")
            assert await other.refused(m.Twstat(fid, Stat(mode=0o666)))
            reply = await other.ask(m.Twalk(0, 900, ["dir", "inner"]))
            assert len(reply.wqids) == 1

    async def test_one_users_changes_are_seen_by_others(self) -> None:
        async with self.tree() as tree, connected(tree, OWNER) as raw, connected(tree, OWNER) as other:
            await raw.made("file", data=b"one")
            fid = await other.open("file", mode=m.ORDWR)
            assert await other.read(fid) == b"one"
            writer = await raw.open("file", mode=m.OWRITE)
            await raw.ask(m.Twrite(writer, 0, b"two"))
            await other.ask(m.Tclunk(fid))
            assert await other.content("file") == b"two"

    async def test_requests_sent_in_one_go_keep_their_order(self) -> None:
        async with self.client() as raw:
            begin, wait = raw.client.begin, raw.client.wait
            requests: list[m.Request] = [
                m.Twalk(0, 50, []),
                m.Tcreate(50, "file", 0o644, m.ORDWR),
                m.Twrite(50, 0, b"pipelined"),
                m.Tread(50, 0, 100),
                m.Tstat(50),
                m.Tclunk(50),
                m.Twalk(0, 50, ["file"]),
                m.Topen(50, m.OREAD),
                m.Tread(50, 4, 100),
                m.Tremove(50),
            ]
            calls = [begin(request) for request in requests]
            replies = [await wait(call) for call in calls]
            assert bytes(replies[3].data) == b"pipelined"
            assert replies[4].stat.length == 9
            assert bytes(replies[8].data) == b"lined"
