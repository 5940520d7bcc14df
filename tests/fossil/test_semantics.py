"""What a client of fossil(4) sees: users, rights, leases, wstat, listings, the past."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from fossil.files.rules import Rules
from fossil.live.filesystem import LARGEST_FILE
from fossil.live.users import Users, first_table
from fossil.past.history import ARCHIVE, SNAPSHOT
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.stat import NO32, Stat, unpack_directory
from programs.opened_fossil import Opened, client

TABLE = first_table("glenda") + "dev:dev:rob:rob,ken\nrob:rob::\nken:ken::\nout:out::\n"


def opened(path: Path, *, more: str = "", **rules: bool) -> Opened:
    """A file system with a few users; its root belongs to glenda."""
    made = Opened(path, rules=Rules(**rules))
    made.system.users = Users.parse(TABLE + more)
    return made


# Rights


@pytest.mark.parametrize(
    ("user", "mode", "rights"),
    [
        ("rob", 0o700, "rwx"),
        ("rob", 0o007, "rwx"),
        ("rob", 0o040, "r"),
        ("ken", 0o700, ""),
        ("ken", 0o040, "r"),
        ("ken", 0o020, "w"),
        ("ken", 0o404, "r"),
        ("out", 0o770, ""),
        ("out", 0o001, "x"),
        ("none", 0o770, ""),
        ("none", 0o004, "r"),
        ("stranger", 0o770, ""),
        ("stranger", 0o006, "rw"),
    ],
)
async def test_who_may_open(tmp_path: Path, user: str, mode: int, rights: str) -> None:
    with opened(tmp_path) as fossil:
        system = fossil.system
        system.create(system.node(2), "file", mode, "rob", "dev")
        async with client(fossil, user) as raw:
            for letter, open_mode in (("r", m.OREAD), ("w", m.OWRITE), ("x", m.OEXEC)):
                fid = await raw.walk("file")
                if letter in rights:
                    await raw.ask(m.Topen(fid, open_mode))
                else:
                    assert await raw.refused(m.Topen(fid, open_mode)) == "permission denied"


async def test_what_strangers_and_none_make_belongs_to_none(tmp_path: Path) -> None:
    with opened(tmp_path) as fossil:
        system = fossil.system
        system.create(system.node(2), "tmp", st.DMDIR | 0o777, "glenda", "dev")
        for user in ("stranger", "none", ""):
            async with client(fossil, user) as raw:
                await raw.made("tmp", f"of-{user}")
                entry = await raw.stat("tmp", f"of-{user}")
                assert (entry.uid, entry.gid, entry.muid) == ("none", "dev", "none")
        async with client(fossil, "none") as raw:
            fid = await raw.walk("tmp", "of-none")
            assert await raw.refused(m.Twstat(fid, Stat(mode=0o600))) == "permission denied"


async def test_only_the_group_write_writes_if_there_is_one(tmp_path: Path) -> None:
    with opened(tmp_path, more="write:write::rob\n") as fossil:
        system = fossil.system
        system.create(system.node(2), "tmp", st.DMDIR | 0o777, "glenda", "glenda")
        async with client(fossil, "rob") as raw:
            await raw.made("tmp", "file", perm=0o666, data=b"text")
        async with client(fossil, "ken") as raw:
            assert await raw.content("tmp", "file") == b"text"
            fid = await raw.walk("tmp", "file")
            for request in (
                m.Tcreate(await raw.walk("tmp"), "x", 0o644, m.OWRITE),
                m.Topen(fid, m.OWRITE),
                m.Topen(fid, m.OREAD | m.OTRUNC),
                m.Topen(fid, m.ORCLOSE),
                m.Twstat(fid, Stat(length=0)),
                m.Tremove(fid),
            ):
                assert await raw.refused(request) == "read only file system"


async def test_noworld_sees_only_what_is_his(tmp_path: Path) -> None:
    with opened(tmp_path, more="guest:guest::\n") as fossil:
        system = fossil.system
        system.users = system.users.joined("noworld", "guest")
        root = system.node(2)
        system.create(root, "world", 0o666, "rob", "dev")
        own = system.create(root, "own", st.DMDIR | 0o777, "rob", "guest")
        system.create(own, "file", 0o660, "rob", "guest")
        async with client(fossil, "guest") as raw:
            assert await raw.content("own", "file") == b""
            assert await raw.refused(m.Topen(await raw.walk("world"), m.OREAD)) == "permission denied"
            assert await raw.refused(m.Tcreate(await raw.walk("own"), "x", 0o644, m.OREAD)) == "permission denied"


async def test_read_only_file_system(tmp_path: Path) -> None:
    with opened(tmp_path) as fossil:
        async with client(fossil) as raw:
            await raw.made("file", data=b"text")
    with opened(tmp_path, read_only=True) as fossil:
        async with client(fossil) as raw:
            assert await raw.content("file") == b"text"
            fid = await raw.walk("file")
            assert await raw.refused(m.Topen(fid, m.OWRITE)) == "read only file system"
            assert await raw.refused(m.Twstat(fid, Stat(mtime=1))) == "read only file system"
            await raw.ask(m.Twstat(fid, Stat()))
        assert not fossil.system.dirty


async def test_halted_file_system_is_read(tmp_path: Path) -> None:
    with opened(tmp_path) as fossil:
        async with client(fossil) as raw:
            fid = await raw.create("file", data=b"text")
            fossil.system.halted = True
            for request in (m.Twrite(fid, 0, b"x"), m.Tcreate(0, "x", 0o644, 0), m.Twstat(fid, Stat(mtime=1))):
                assert await raw.refused(request) == "file system main is halted"
            assert await raw.content("file") == b"text"
            fossil.system.halted = False
            await raw.ask(m.Twrite(fid, 0, b"x"))


# wstat


@pytest.mark.parametrize(
    ("user", "changes", "error"),
    [
        ("rob", Stat(mode=0o600), None),
        ("rob", Stat(mtime=5), None),
        ("rob", Stat(atime=5), None),
        ("out", Stat(atime=5), "not owner"),
        ("ken", Stat(mode=0o600), "not owner"),
        ("out", Stat(mtime=5), "not owner"),
        ("boss", Stat(mode=0o600), None),
        ("ken", Stat(length=1), None),
        ("out", Stat(length=1), "permission denied"),
        ("rob", Stat(gid="rob"), None),
        ("rob", Stat(gid="out"), "not owner"),
        ("rob", Stat(gid="nosuch"), "unknown group"),
        ("ken", Stat(gid="ken"), "not owner"),
        ("boss", Stat(gid="lead"), None),
        ("boss", Stat(gid="ken"), "not owner"),
        ("rob", Stat(uid="ken"), "not owner"),
        ("ken", Stat(name="renamed"), None),
        ("ken", Stat(name="taken"), "file already exists"),
        ("out", Stat(name="renamed"), "permission denied"),
        ("rob", Stat(mode=st.DMDIR | 0o600), "wstat can't convert between files and directories"),
        ("rob", Stat(mode=0o600, gid="out"), "not owner"),
        ("ken", Stat(length=1, mode=0o600), "not owner"),
        ("ken", Stat(length=LARGEST_FILE + 1), "file too big"),
        ("rob", Stat(muid="ken"), "wstat prohibited"),
    ],
)
async def test_who_may_change_what(tmp_path: Path, user: str, changes: Stat, error: str | None) -> None:
    """All of a wstat or nothing."""
    with opened(tmp_path, more="group:group:boss:rob,ken\nboss:boss::\nlead:lead:boss:\n") as fossil:
        system = fossil.system
        folder = system.create(system.node(2), "dir", st.DMDIR | 0o775, "rob", "group")
        file = system.create(folder, "file", 0o664, "rob", "group")
        system.create(folder, "taken", 0o664, "rob", "group")
        system.write(file, 0, b"text", "rob")
        before = file.stat(system.users.names)
        async with client(fossil, user) as raw:
            fid = await raw.walk("dir", "file")
            if error:
                assert await raw.refused(m.Twstat(fid, changes)) == error
                assert (await raw.ask(m.Tstat(fid))).stat == before
            else:
                await raw.ask(m.Twstat(fid, changes))
                after = (await raw.ask(m.Tstat(fid))).stat
                for field in ("mode", "mtime", "atime", "length", "gid", "name"):
                    asked = getattr(changes, field)
                    if asked != getattr(Stat(), field):
                        assert getattr(after, field) == asked


async def test_wstat_of_everything_where_it_is_allowed(tmp_path: Path) -> None:
    with opened(tmp_path, wstat_anything=True) as fossil:
        system = fossil.system
        system.create(system.node(2), "file", 0o600, "rob", "dev")
        async with client(fossil, "out") as raw:
            fid = await raw.walk("file")
            await raw.ask(m.Twstat(fid, Stat(uid="ken", gid="out", mode=0o640)))
            entry = await raw.stat("file")
            assert (entry.uid, entry.gid, entry.mode) == ("ken", "out", 0o640)
            for bad in ("nosuch", "noworld"):
                assert await raw.refused(m.Twstat(fid, Stat(uid=bad))) == "unknown user"


async def test_append_only_files_keep_what_they_have(tmp_path: Path) -> None:
    with opened(tmp_path) as fossil:
        async with client(fossil) as raw:
            await raw.made("log", perm=st.DMAPPEND | 0o644, data=b"first")
            fid = await raw.walk("log")
            assert await raw.refused(m.Twstat(fid, Stat(length=0))) == "an append-only file cannot be cut"
            await raw.ask(m.Twstat(fid, Stat(length=2, mode=0o644)))
            assert await raw.content("log") == b"fi"


async def test_wstat_works_on_a_removed_file(tmp_path: Path) -> None:
    """An fsync or ftruncate of what was unlinked meanwhile is no mistake."""
    with opened(tmp_path) as fossil:
        async with client(fossil) as raw:
            fid = await raw.create("file", data=b"text")
            await raw.ask(m.Tremove(await raw.walk("file")))
            await raw.ask(m.Twstat(fid, Stat()))
            await raw.ask(m.Twstat(fid, Stat(length=2, mode=0o600)))
            assert await raw.read(fid) == b"te"
            await raw.ask(m.Twstat(fid, Stat(length=5)))
            assert await raw.read(fid) == b"te\0\0\0"
            assert await raw.refused(m.Twstat(fid, Stat(name="other"))) == "file has been removed"
            assert [entry.name for entry in await raw.list()] == ["adm"]


# Versions and times


async def test_versions_follow_content(tmp_path: Path) -> None:
    """Every write, every truncation, by opening or by wstat; nothing that leaves the content alone."""
    with opened(tmp_path) as fossil:
        async with client(fossil) as raw:
            fid = await raw.create("file")
            versions = [(await raw.stat("file")).qid.version]
            assert versions == [0]
            for request in (m.Twrite(fid, 0, b"text"), m.Twstat(fid, Stat(length=2)), m.Twstat(fid, Stat(length=9))):
                await raw.ask(request)
                versions.append((await raw.stat("file")).qid.version)
            other = await raw.walk("file")
            versions.append((await raw.ask(m.Topen(other, m.OWRITE | m.OTRUNC))).qid.version)
            assert versions == sorted(set(versions))
            for changes in (Stat(mode=0o600), Stat(mtime=5), Stat(name="renamed"), Stat(length=0)):
                await raw.ask(m.Twstat(fid, changes))
                assert (await raw.ask(m.Tstat(fid))).stat.qid.version == versions[-1]


async def test_directory_versions_follow_what_a_listing_shows(tmp_path: Path) -> None:
    with opened(tmp_path) as fossil:
        async with client(fossil) as raw:
            await raw.made("dir", perm=st.DMDIR | 0o755)
            seen = [(await raw.stat("dir")).qid.version]
            fid = await raw.create("dir", "file")
            seen.append((await raw.stat("dir")).qid.version)
            for changes in (Stat(name="renamed"), Stat(mode=0o600), Stat(mtime=5)):
                await raw.ask(m.Twstat(fid, changes))
                seen.append((await raw.stat("dir")).qid.version)
            await raw.ask(m.Tremove(fid))
            seen.append((await raw.stat("dir")).qid.version)
            assert seen == sorted(set(seen))


async def test_muid_is_who_changed_it_last(tmp_path: Path) -> None:
    with opened(tmp_path) as fossil:
        system = fossil.system
        folder = system.create(system.node(2), "dir", st.DMDIR | 0o777, "glenda", "dev")
        system.create(folder, "file", 0o666, "glenda", "dev")
        async with client(fossil, "ken") as raw:
            fid = await raw.open("dir", "file", mode=m.OWRITE)
            assert (await raw.stat("dir", "file")).muid == "glenda"
            await raw.ask(m.Twrite(fid, 0, b"x"))
            assert (await raw.stat("dir", "file")).muid == "ken"
        async with client(fossil, "rob") as raw:
            await raw.open("dir", "file", mode=m.OWRITE | m.OTRUNC)
            assert (await raw.stat("dir", "file")).muid == "rob"
            await raw.made("dir", "other")
            assert (await raw.stat("dir")).muid == "rob"


@pytest.mark.parametrize("access_times", [True, False])
async def test_access_times(tmp_path: Path, access_times: bool) -> None:
    """Reading is noted if the file was written since the last time, or after a day, unless that is turned off."""
    now = 1_800_000_000.0
    with opened(tmp_path, access_times=access_times) as fossil:
        fossil.system.clock = lambda: now
        async with client(fossil) as raw:
            await raw.made("dir", perm=st.DMDIR | 0o755)
            await raw.made("dir", "file", data=b"text")
            seen = []
            for later in (10, 10, 90_000):
                now += later
                await raw.content("dir", "file")
                await raw.list("dir")
                seen.append([int(now - (await raw.stat(*names)).atime) for names in (["dir", "file"], ["dir"])])
            assert seen == ([[0, 0], [10, 10], [0, 0]] if access_times else [[10, 10], [20, 20], [90_020, 90_020]])
            version = (await raw.stat("dir", "file")).qid.version
            while fossil.system.accesses.store(1):
                fossil.system.commit()
    with opened(tmp_path) as fossil:
        async with client(fossil) as raw:
            entry = await raw.stat("dir", "file")
            assert entry.qid.version == version
            assert entry.atime == (now if access_times else entry.mtime)


# Exclusive use, removal


async def test_an_exclusive_use_file_is_held_while_it_is_used(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    with opened(tmp_path) as fossil:
        async with client(fossil) as raw:
            first = await raw.create("lock", perm=st.DMEXCL | 0o666, data=b"mine")
            second = await raw.walk("lock")
            for _ in range(3):
                await trio.sleep(200)
                await raw.read(first)
                assert await raw.refused(m.Topen(second, m.ORDWR)) == "exclusive use file already open"
            await trio.sleep(301)
            assert await raw.read(first) == b"mine"
            await trio.sleep(301)
            await raw.ask(m.Topen(second, m.ORDWR))
            for request in (m.Tread(first, 0, 1), m.Twrite(first, 0, b"x")):
                assert await raw.refused(request) == "exclusive lock broken"
            await raw.ask(m.Tclunk(first))
            third = await raw.walk("lock")
            assert await raw.refused(m.Topen(third, m.OREAD)) == "exclusive use file already open"
            await raw.ask(m.Tclunk(second))
            await raw.ask(m.Topen(third, m.OREAD))


async def test_a_removed_file_lives_while_it_is_open(tmp_path: Path) -> None:
    with opened(tmp_path) as fossil:
        async with client(fossil) as raw:
            fid = await raw.create("file", data=b"before")
            before = await raw.stat("file")
            await raw.ask(m.Tremove(await raw.walk("file")))
            await raw.made("file", data=b"another")
            fossil.history.take(SNAPSHOT)
            await raw.ask(m.Twrite(fid, 6, b" after"))
            assert await raw.read(fid) == b"before after"
            assert (await raw.ask(m.Tstat(fid))).stat.qid.path == before.qid.path
            assert await raw.content("file") == b"another"
            fossil.system.freed.settle()
            fossil.system.freed.release()
            assert await raw.read(fid) == b"before after"


# Names, sizes, listings


async def test_names_and_sizes_to_the_limit(tmp_path: Path) -> None:
    with opened(tmp_path) as fossil:
        async with client(fossil) as raw:
            for name in ("n" * 255, "ü" * 127, "a b'c", "\N{SNOWMAN}", "-"):
                await raw.made(name, data=b"x")
            assert len(await raw.list()) == 6
            for name in ("n" * 256, "ü" * 128):
                assert await raw.refused(m.Tcreate(0, name, 0o644, 0)) == "File name too long"
            fid = await raw.create("large")
            await raw.ask(m.Twrite(fid, LARGEST_FILE - 1, b"x"))
            assert (await raw.stat("large")).length == LARGEST_FILE
            assert await raw.read(fid, LARGEST_FILE - 3) == b"\0\0x"
            assert await raw.refused(m.Twrite(fid, LARGEST_FILE, b"x")) == "file too big"
            for length in ((1 << 31) - 1, 1 << 31, (1 << 32) + 1):
                await raw.ask(m.Twstat(fid, Stat(length=length)))
                assert (await raw.stat("large")).length == length


async def test_listing_is_consistent_while_the_directory_changes(tmp_path: Path) -> None:
    """What was there from first to last is listed once, under either name; what came later need not be."""
    with opened(tmp_path) as fossil:
        async with client(fossil) as raw:
            await raw.made("dir", perm=st.DMDIR | 0o755)
            for number in range(600):
                await raw.made("dir", f"{number:03}")
            fid = await raw.open("dir")
            entries, offset = [], 0
            for turn in range(1 << 20):
                data = await raw.read(fid, offset, 4000)
                if not data:
                    break
                offset += len(data)
                entries += unpack_directory(data)
                await raw.made("dir", f"new-{turn}")
                await raw.ask(m.Tremove(await raw.walk("dir", f"{599 - turn:03}")))
                await raw.ask(m.Twstat(await raw.walk("dir", f"{turn:03}"), Stat(name=f"renamed-{turn}")))
            paths = [entry.qid.path for entry in entries]
            assert len(paths) == len(set(paths))
            stayed = {entry.qid.path for entry in await raw.list("dir") if not entry.name.startswith("new-")}
            assert stayed <= set(paths)


# The past


async def test_temporary_files_are_in_snapshots_and_not_in_archives(tmp_path: Path) -> None:
    with opened(tmp_path) as fossil:
        async with client(fossil) as raw:
            await raw.made("temp", perm=st.DMTMP | 0o644, data=b"scratch")
            await raw.made("kept", data=b"kept")
        snapshot = fossil.history.take(SNAPSHOT).name.split("/")
        archive = fossil.history.take(ARCHIVE).name.split("/")
        async with client(fossil, aname="main") as raw:
            assert await raw.content(SNAPSHOT, *snapshot, "temp") == b"scratch"
            assert {entry.name for entry in await raw.list(ARCHIVE, *archive)} == {"adm", "kept"}
            fid = await raw.walk(ARCHIVE, *archive)
            assert await raw.refused(m.Twalk(fid, raw.fid(), ["temp"])) == "file does not exist"


async def test_the_past_is_immutable_for_everybody(tmp_path: Path) -> None:
    with opened(tmp_path, permissions=False, wstat_anything=True) as fossil:
        async with client(fossil) as raw:
            await raw.made("file", data=b"text")
        taken = fossil.history.take(SNAPSHOT).name.split("/")
        before = fossil.system.database.total_changes
        for user in ("glenda", "adm", "none"):
            async with client(fossil, user, aname="main/snapshot") as raw:
                fid = await raw.walk(*taken, "file")
                folder = await raw.walk(*taken)
                for request in (
                    m.Topen(fid, m.OWRITE),
                    m.Topen(fid, m.ORDWR),
                    m.Twstat(fid, Stat(mode=0o600)),
                    m.Twstat(folder, Stat(name="other")),
                    m.Tcreate(folder, "x", 0o644, 0),
                    m.Topen(await raw.walk(*taken, "file"), m.OWRITE | m.OTRUNC),
                    m.Topen(await raw.walk(*taken, "file"), m.ORCLOSE),
                    m.Tremove(await raw.walk(*taken, "file")),
                    m.Tremove(await raw.walk(*taken)),
                ):
                    assert await raw.refused(request) == "file is read only"
                for depth in (0, 1, 2):
                    assert await raw.refused(m.Tremove(await raw.walk(*taken[:depth]))) == "permission denied"
                    fid = await raw.walk(*taken[:depth])
                    assert await raw.refused(m.Tcreate(fid, "x", 0o644, 0)) == "file is read only"
        assert fossil.system.database.total_changes == before


async def test_any_directory_can_be_attached(tmp_path: Path) -> None:
    """And ``..`` leads out of it."""
    with opened(tmp_path) as fossil:
        async with client(fossil) as raw:
            await raw.made("dir", perm=st.DMDIR | 0o755)
            await raw.made("dir", "file", data=b"then")
            taken = fossil.history.take(SNAPSHOT).name
            await raw.ask(m.Tremove(await raw.walk("dir", "file")))
        async with client(fossil, aname="main/active/dir") as raw:
            assert await raw.list() == []
            above = await raw.list("..", "..")
            assert [entry.name for entry in above] == ["active", "archive", "snapshot"]
        async with client(fossil, aname=f"main/snapshot/{taken}/dir") as raw:
            assert await raw.content("file") == b"then"
        async with client(fossil, aname=f"main/snapshot/{taken}") as raw:
            assert (await raw.stat()).name == taken.rsplit("/", 1)[1]
            assert {entry.name for entry in await raw.list()} == {"adm", "dir"}
        for aname in ("/", "main/", "main"):
            async with client(fossil, aname=aname) as raw:
                assert [entry.name for entry in await raw.list()] == ["active", "archive", "snapshot"]
        async with client(fossil, aname="/active") as raw:
            assert {entry.name for entry in await raw.list()} == {"adm", "dir"}
        async with client(fossil) as raw:
            for aname in ("//", "main//active", "/nosuch", "main/nosuch"):
                assert await raw.refused(m.Tattach(raw.fid(), m.NOFID, "glenda", aname)) == "file does not exist"


async def test_directories_of_days_have_versions_too(tmp_path: Path) -> None:
    """So that a cache notices a new snapshot."""
    with opened(tmp_path) as fossil:
        async with client(fossil, aname="main") as raw:
            seen = set()
            for _ in range(3):
                seen.add((await raw.stat("snapshot")).qid.version)
                fossil.history.take(SNAPSHOT)
            assert len(seen) == 3
            first = await raw.stat("snapshot")
            assert first == await raw.stat("snapshot")
            assert first.mtime != NO32
