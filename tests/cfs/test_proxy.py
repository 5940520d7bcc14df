"""The proxy: what is asked of the file server, and that nothing it answers is ever stale."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import trio
from trio.testing import MockClock

from contracts.behind_cache import MIB, Grid, grid
from contracts.ninep_client import Raw, connected
from contracts.slow_tree import SlowTree
from ninep import messages as m
from ninep import stat as st
from ninep.errors import FileError, FileNotFound, PermissionDenied, UnknownFid
from ninep.files import File, FileTree, Walked
from ninep.maybe import arrived
from ninep.qid import Qid
from ninep.ramfs import RamTree
from ninep.stat import Stat
from ninep.wire.dialect import Buffer, Maybe

OWNER = "glenda"
DATA = Random(1).randbytes(3 * MIB + 12345)


@asynccontextmanager
async def setting(
    directory: Path, *, data: bytes = DATA, size: int = 64 * MIB, max_msize: int = MIB + 24
) -> AsyncIterator[tuple[Grid, Raw, Raw]]:
    """A file ``f`` with ``data``; a client of the cache, and one of the file server itself."""
    tree = RamTree(OWNER, mode=0o777)
    async with (
        grid(tree, directory, size=size, max_msize=max_msize) as one,
        connected(tree, OWNER, msize=8 * MIB) as direct,
        one.client() as raw,
    ):
        await direct.made("f", data=data[:MIB])
        fid = await direct.open("f", mode=m.OWRITE)
        for at in range(MIB, len(data), MIB):
            await direct.ask(m.Twrite(fid, at, data[at : at + MIB]))
        await direct.ask(m.Tclunk(fid))
        yield one, raw, direct


async def whole(raw: Raw, *names: str, count: int = 65536) -> bytes:
    """The content of a file, read as most programs do."""
    fid = await raw.open(*names)
    data = b""
    while piece := await raw.read(fid, len(data), count):
        data += piece
    await raw.ask(m.Tclunk(fid))
    await trio.testing.wait_all_tasks_blocked()
    return data


@pytest.mark.parametrize("count", [4096, 100_000, MIB])
@pytest.mark.parametrize("max_msize", [8192 + 24, MIB + 24])
async def test_what_was_read_is_not_asked_again(tmp_path: Path, count: int, max_msize: int) -> None:
    async with setting(tmp_path, max_msize=max_msize) as (one, raw, _):
        assert await whole(raw, "f", count=count) == DATA
        assert one.sent["Tread"] * (max_msize - 24) >= len(DATA)
        one.forget_sent()
        assert await whole(raw, "f", count=count) == DATA
        assert one.sent == Counter(Twalk=1, Topen=1, Tstat=1, Tclunk=1)


async def test_another_user_shares_the_bytes_and_not_the_rights(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, raw, direct), one.client("mallory") as other:
        await direct.made("private", perm=0o600, data=b"secret")
        assert await whole(raw, "private") == b"secret"
        with pytest.raises(PermissionDenied):
            await other.open("private")
        assert await whole(raw, "f") == DATA
        one.forget_sent()
        assert await whole(other, "f") == DATA
        assert not one.sent["Tread"]


async def test_kept_across_a_restart(tmp_path: Path) -> None:
    tree = RamTree(OWNER)
    async with grid(tree, tmp_path) as one, one.client() as raw:
        await raw.made("f", data=b"lasting")
        assert await whole(raw, "f") == b"lasting"
    async with grid(tree, tmp_path) as one, one.client() as raw:
        assert await whole(raw, "f") == b"lasting"
        assert not one.sent["Tread"]


async def test_change_behind_the_back_is_seen_at_the_next_open(tmp_path: Path) -> None:
    async with setting(tmp_path) as (_, raw, direct):
        for turn in range(5):
            await whole(raw, "f")
            fid = await direct.open("f", mode=m.OWRITE)
            await direct.ask(m.Twrite(fid, turn * 1000, b"changed %d" % turn))
            await direct.ask(m.Tclunk(fid))
            assert await whole(raw, "f") == await direct.content("f")


async def test_open_file_sees_what_a_stat_has_told(tmp_path: Path) -> None:
    async with setting(tmp_path, data=b"one line\n") as (_, raw, direct):
        fid = await raw.open("f")
        assert await raw.read(fid) == b"one line\n"
        writer = await direct.open("f", mode=m.OWRITE)
        await direct.ask(m.Twrite(writer, 9, b"two lines\n"))
        assert (await raw.ask(m.Tstat(fid))).stat.length == 19
        assert await raw.read(fid, 9) == b"two lines\n"
        assert await raw.read(fid) == b"one line\ntwo lines\n"


async def test_length_changed_without_a_new_version(tmp_path: Path) -> None:
    """Some servers leave the version alone when a wstat cuts a file."""
    async with setting(tmp_path, data=b"0123456789") as (one, raw, _):
        assert await whole(raw, "f") == b"0123456789"
        node = one.tree._root.node.children["f"].node
        one.tree.resize(node, 4)
        assert await whole(raw, "f") == b"0123"


async def test_writes_go_through_and_are_seen_at_once(tmp_path: Path) -> None:
    async with setting(tmp_path) as (_, raw, direct):
        await whole(raw, "f")
        fid = await raw.open("f", mode=m.ORDWR)
        other = await raw.open("f")
        expected = bytearray(DATA)
        for at in (0, 70_000, len(DATA) - 5, len(DATA) + 1000):
            assert await raw.read(fid, at, 10) == expected[at : at + 10]
            expected[at : at + 10] = bytes(max(0, at - len(expected))) + b"0123456789"
            assert (await raw.ask(m.Twrite(fid, at, b"0123456789"))).count == 10
            for reader in (fid, other):
                assert await raw.read(reader, at, 10) == b"0123456789"
            assert await direct.content("f") == expected
        assert await whole(raw, "f") == expected


async def test_a_large_write_to_a_server_of_small_messages(tmp_path: Path) -> None:
    async with setting(tmp_path, max_msize=8192 + 24) as (_, raw, direct):
        fid = await raw.open("f", mode=m.ORDWR)
        assert (await raw.ask(m.Twrite(fid, 5, DATA[:500_000]))).count == 500_000
        assert (await direct.content("f"))[:500_005] == DATA[:5] + DATA[:500_000]
        assert await raw.read(fid, 5, 500_000) == DATA[:500_000]


async def test_a_write_while_the_file_is_being_read(tmp_path: Path) -> None:
    """What was on its way before the write is kept for nobody who opens after it."""
    async with setting(tmp_path) as (one, raw, direct):
        reader = await raw.open("f")
        writer = await raw.open("f", mode=m.OWRITE)
        one.gate.shut()
        read = raw.client.begin(m.Tread(reader, 0, 65536))
        write = raw.client.begin(m.Twrite(writer, 0, b"new"))
        raw.client.send()
        await trio.testing.wait_all_tasks_blocked()
        one.gate.open()
        await raw.client.wait(read)
        await raw.client.wait(write)
        assert await whole(raw, "f") == await direct.content("f") == b"new" + DATA[3:]


async def test_truncation_removal_and_rename(tmp_path: Path) -> None:
    async with setting(tmp_path) as (_, raw, direct):
        await whole(raw, "f")
        await raw.ask(m.Twstat(await raw.walk("f"), Stat(name="g")))
        assert await whole(raw, "g") == DATA
        await raw.ask(m.Twstat(await raw.walk("g"), Stat(length=7)))
        assert await whole(raw, "g") == DATA[:7]
        await raw.ask(m.Tclunk(await raw.open("g", mode=m.OWRITE | m.OTRUNC)))
        assert await whole(raw, "g") == b""
        await raw.ask(m.Tremove(await raw.walk("g")))
        with pytest.raises(FileNotFound):
            await raw.walk("g")
        assert await direct.list() == []


async def test_refusals_come_through_word_for_word(tmp_path: Path) -> None:
    class Fussy(File):
        qid = Qid(0x80, 1, 1)

        def open(self, mode: int) -> None:
            raise FileError("not on a Sunday")

        def stat(self) -> Stat:
            raise FileError("ask my lawyer")

        def wstat(self, changes: Stat) -> None:
            raise FileError("don't touch")

        def create(self, name: str, perm: int, mode: int) -> File:
            raise FileError(f"no {name} here")

        def remove(self) -> None:
            raise FileError("over my dead body")

        def clone(self) -> File:
            return Fussy()

        def step(self, name: str) -> File:
            raise FileError(f"{name}? never heard")

    class Tree(FileTree):
        def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
            if aname:
                raise FileError(f"{uname} may not attach {aname}")
            return Fussy()

    async with grid(Tree(), tmp_path) as one, one.client() as raw:
        assert await raw.refused(m.Tattach(5, m.NOFID, "glenda", "main")) == "glenda may not attach main"
        assert await raw.refused(m.Topen(0, m.OREAD)) == "not on a Sunday"
        assert await raw.refused(m.Tstat(0)) == "ask my lawyer"
        assert await raw.refused(m.Twstat(0, Stat(name="x"))) == "don't touch"
        assert await raw.refused(m.Tcreate(0, "x", 0o644, m.OREAD)) == "no x here"
        assert await raw.refused(m.Twalk(0, 5, ["x"])) == "x? never heard"
        assert await raw.refused(m.Tremove(await raw.walk())) == "over my dead body"


class Device(File):
    """Length 0, or version 0, and other bytes each time."""

    def __init__(self, tree: Devices) -> None:
        self.tree = tree
        self.qid = tree.root

    def step(self, name: str) -> File:
        file = Device(self.tree)
        file.qid = self.tree.stats[name].qid
        return file

    def clone(self) -> File:
        return Device(self.tree)

    def open(self, mode: int) -> None:
        pass

    def read(self, offset: int, count: int) -> bytes:
        self.tree.reads += 1
        return b"%d" % self.tree.reads

    def stat(self) -> Stat:
        return next(stat for stat in self.tree.stats.values() if stat.qid == self.qid)


class Devices(FileTree):
    root = Qid(0x80, 1, 1)

    def __init__(self) -> None:
        self.reads = 0
        self.stats = {
            "empty": Stat(0, 0, Qid(0, 5, 2), 0o444, 0, 0, 0, "empty"),
            "unversioned": Stat(0, 0, Qid(0, 0, 3), 0o444, 0, 0, 100, "unversioned"),
            "log": Stat(0, 0, Qid(0x40, 5, 4), st.DMAPPEND | 0o444, 0, 0, 100, "log"),
            "lock": Stat(0, 0, Qid(0x20, 5, 5), st.DMEXCL | 0o444, 0, 0, 100, "lock"),
        }

    def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        return Device(self)


@pytest.mark.parametrize("name", ["empty", "unversioned", "log", "lock"])
async def test_not_kept(tmp_path: Path, name: str) -> None:
    async with grid(Devices(), tmp_path) as one, one.client() as raw:
        for turn in (1, 2):
            fid = await raw.open(name)
            assert await raw.read(fid) == b"%d" % turn
            await raw.ask(m.Tclunk(fid))
        assert one.sent["Tread"] == 2
        assert one.store.statistics.stored == one.store.queued == 0


async def test_damaged_data_is_fetched_again(tmp_path: Path) -> None:
    tree = RamTree(OWNER)
    async with grid(tree, tmp_path) as one, one.client() as raw:
        await raw.made("f", data=DATA[: 1 << 19])
        assert await whole(raw, "f") == DATA[: 1 << 19]
    for path in tmp_path.glob("*.data"):
        data = bytearray(path.read_bytes())
        data[70_000] ^= 1
        path.write_bytes(data)
    async with grid(tree, tmp_path) as one, one.client() as raw:
        assert await whole(raw, "f") == DATA[: 1 << 19]
        assert one.sent["Tread"] == 1
        assert one.store.statistics.damaged == 1
        one.forget_sent()
        assert await whole(raw, "f") == DATA[: 1 << 19]
        assert not one.sent["Tread"]


async def test_bound_is_kept(tmp_path: Path) -> None:
    async with setting(tmp_path, size=2 * MIB) as (one, raw, _):
        for _turn in range(2):
            assert await whole(raw, "f") == DATA
            await one.written_out()
            assert one.store.statistics.used <= 2 * MIB
        assert one.store.statistics.evicted


async def test_a_disk_that_refuses_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with setting(tmp_path) as (one, raw, _):
        monkeypatch.setattr("cfs.segments.Files.write", full)
        for _turn in range(3):
            assert await whole(raw, "f") == DATA
            await one.written_out()
        assert one.store.off


async def test_pages_that_are_not_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with setting(tmp_path) as (one, raw, _):
        await whole(raw, "f")
        await one.written_out()
        one.forget_sent()
        monkeypatch.setattr("cfs.segments.Files.read_nowait", lambda *_: None)
        assert await whole(raw, "f", count=MIB) == DATA
        assert not one.sent["Tread"]


async def test_one_fetch_for_many_readers(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, raw, _), one.client() as other:
        places = [(raw, await raw.open("f")), (other, await other.open("f")), (raw, await raw.open("f"))]
        one.gate.shut()
        one.forget_sent()
        calls = []
        for client, fid in places:
            calls += [(client, at, client.client.begin(m.Tread(fid, at, 8192))) for at in (MIB, 2 * MIB, MIB + 4096)]
            client.client.send()
        await trio.testing.wait_all_tasks_blocked()
        one.gate.open()
        for client, at, call in calls:
            assert (await client.client.wait(call)).data == DATA[at : at + 8192]
        assert one.sent == Counter(Tread=3), "two places, and the rest of what overlaps"


async def test_the_fetch_of_a_client_that_leaves(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Whoever waited for it fetches on his own."""
    async with setting(tmp_path) as (one, raw, _):
        fid = await raw.open("f")
        async with one.client() as leaving:
            first = await leaving.open("f")
            one.gate.shut()
            leaving.client.begin(m.Tread(first, MIB, 8192))
            leaving.client.send()
            await trio.testing.wait_all_tasks_blocked()
            call = raw.client.begin(m.Tread(fid, MIB, 8192))
            raw.client.send()
            await trio.testing.wait_all_tasks_blocked()
        one.gate.open()
        assert (await raw.client.wait(call)).data == DATA[MIB : MIB + 8192]


async def test_reading_ahead(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, raw, _):
        fid = await raw.open("f")
        await raw.read(fid, 0, 4096)
        await trio.testing.wait_all_tasks_blocked()
        one.forget_sent()
        assert await raw.read(fid, 4096, 4096) == DATA[4096:8192]
        assert not one.sent["Tread"]
        await raw.read(fid, 2 * MIB, 4096)
        await trio.testing.wait_all_tasks_blocked()
        assert one.sent["Tread"] == 1, "a reader that jumps gets what it asks for"


async def test_flush_is_passed_on(tmp_path: Path, autojump_clock: MockClock) -> None:
    tree = SlowTree("walk", "open", "stat", "clunk")
    async with grid(tree, tmp_path) as one, one.client() as raw:
        fid = await raw.open("file", mode=m.ORDWR)
        for request, what in ((m.Tread(fid, 0, 10), "read 0"), (m.Twrite(fid, 0, b"x"), "write 0")):
            call = raw.client.begin(request)
            raw.client.send()
            await trio.sleep(1)
            assert what in tree.log
            assert await raw.ask(m.Tflush(call.tag)) == m.Rflush()
            assert call.reply is None
            assert f"{what} cancelled" in tree.log


async def test_flush_of_a_fetch_that_another_waits_for(tmp_path: Path) -> None:
    """It goes on for that one, and is given up with the last."""
    async with setting(tmp_path) as (one, raw, _):
        fids = [await raw.open("f") for _ in range(2)]
        for last in (False, True):
            one.gate.shut()
            one.forget_sent()
            at = (1 + last) * MIB
            calls = [raw.client.begin(m.Tread(fid, at, 100)) for fid in fids]
            raw.client.send()
            await trio.testing.wait_all_tasks_blocked()
            assert await raw.ask(m.Tflush(calls[0].tag)) == m.Rflush()
            assert calls[0].reply is None
            assert one.sent == Counter(Tread=1)
            if last:
                flush = raw.client.begin(m.Tflush(calls[1].tag))
                raw.client.send()
                await trio.testing.wait_all_tasks_blocked()
                one.gate.open()
                assert await raw.client.wait(flush) == m.Rflush()
                assert calls[1].reply is None
                assert one.sent == Counter(Tread=1, Tflush=1)
            else:
                one.gate.open()
                assert (await raw.client.wait(calls[1])).data == DATA[at : at + 100]


async def test_fids_are_given_up(tmp_path: Path) -> None:
    tree = SlowTree("walk", "open", "stat", "clunk")
    async with grid(tree, tmp_path) as one:
        async with one.client() as raw:
            for _ in range(3):
                await raw.ask(m.Tclunk(await raw.open("file")))
            await trio.testing.wait_all_tasks_blocked()
            assert tree.views == 1
            await raw.open("file")
        await trio.testing.wait_all_tasks_blocked()
        assert tree.views == 0


async def test_the_first_bytes_come_with_the_open(tmp_path: Path) -> None:
    """Of what was listed as a plain file with bytes and is not held; elsewhere a read may take something away."""
    async with setting(tmp_path) as (one, raw, direct):
        await direct.made("small", data=b"small")
        await direct.made("device")
        fid = await raw.open("small")
        assert not one.sent["Tread"], "nothing is known of it"
        await raw.ask(m.Tclunk(fid))
        await raw.list()
        for name, size, reads in (("small", 5, 1), ("device", 0, 0), ("f", len(DATA), 1)):
            one.forget_sent()
            fid = await raw.open(name)
            await trio.testing.wait_all_tasks_blocked()
            assert one.sent["Tread"] == reads, name
            assert len(await raw.read(fid, 0, 1000)) == min(size, 1000)
            await trio.testing.wait_all_tasks_blocked()
            if name == "small":
                assert one.sent["Tread"] == 1
            await raw.ask(m.Tclunk(fid))
        one.forget_sent()
        fid = await raw.open("small")
        assert await raw.read(fid, 0, 10) == b"small"
        assert not one.sent["Tread"], "it is held"


async def test_bytes_that_come_with_the_open_are_of_that_version(tmp_path: Path) -> None:
    async with setting(tmp_path) as (_, raw, direct):
        await direct.made("small", data=b"first")
        await raw.list()
        writer = await direct.open("small", mode=m.OWRITE | m.OTRUNC)
        await direct.ask(m.Twrite(writer, 0, b"the second is longer"))
        await direct.ask(m.Tclunk(writer))
        assert await whole(raw, "small") == b"the second is longer"
        writer = await direct.open("small", mode=m.OWRITE | m.OTRUNC)
        await direct.ask(m.Tclunk(writer))
        assert await whole(raw, "small") == b""


class Disorderly(RamTree):
    """A server that finds a fid not yet open where a read comes together with the open."""

    refused = 0

    def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        return Hasty(self, super().attach(uname, aname, local=local))


class Hasty(File):
    """Refuses the first read after an open that it was sent together with."""

    def __init__(self, tree: Disorderly, file: File) -> None:
        self._tree = tree
        self._file = file

    @property
    def qid(self) -> Qid:
        return self._file.qid

    async def walk(self, names: Sequence[str]) -> Walked:
        qids, file = await arrived(self._file.walk(names))
        return Walked(qids, None if file is None else Hasty(self._tree, file))

    async def clone(self) -> File:
        return Hasty(self._tree, await arrived(self._file.clone()))

    def open(self, mode: int) -> Maybe[None]:
        return self._file.open(mode)

    def read(self, offset: int, count: int) -> Maybe[Buffer]:
        if not self._tree.refused and not self.qid.type:
            self._tree.refused += 1
            raise UnknownFid
        return self._file.read(offset, count)

    def list(self, rewind: bool) -> Maybe[Sequence[Stat]]:
        return self._file.list(rewind)

    def stat(self) -> Maybe[Stat]:
        return self._file.stat()

    def clunk(self) -> Maybe[None]:
        return self._file.clunk()


async def test_a_server_that_does_not_keep_the_order_is_asked_one_thing_after_the_other(tmp_path: Path) -> None:
    tree = Disorderly(OWNER, mode=0o777)
    async with grid(tree, tmp_path) as one, one.client() as raw:
        root = RamTree.attach(tree, OWNER, "")
        for name in ("a", "b"):
            made = await arrived(root.clone())
            new = await arrived(made.create(name, 0o644, m.OWRITE))
            await arrived(new.write(0, b"bytes of " + name.encode()))
            await arrived(new.clunk())
        await raw.list()
        for name in ("a", "b"):
            assert await whole(raw, name) == b"bytes of " + name.encode()
        assert tree.refused == 1
        assert not next(iter(one.cache.clients)).live.in_order
