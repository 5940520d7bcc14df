"""Links to the file server that break: what comes back, what is repeated, what is refused, and for how long."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from cfs.errors import Interrupted, ServerGone, StaleFile
from cfs.server import serve_client
from cfs.upstream.handle import Handle
from cfs.upstream.upstream import Upstream
from fakes.ninep_client import Raw, connected
from ninep.client.connection import connected as speaking
from ninep.client.tree import RemoteTree
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol import stat as st
from ninep.protocol.errors import FileError, from_text
from ninep.protocol.stat import Stat
from ninep.ram.tree import RamTree
from ninep.server.serve import serve_stream
from programs.behind_cache import MIB, Grid, grid

OWNER = "glenda"
MANY = int(os.environ.get("CFS_OPEN_FILES", "3000"))
DATA = bytes(range(256)) * 12 * 1024


@asynccontextmanager
async def setting(directory: Path, **options: float) -> AsyncIterator[tuple[Grid, Raw, Raw]]:
    """A file ``f`` and a directory ``d`` with a file in it; a client of the cache, one of the file server itself."""
    tree = RamTree(OWNER, mode=0o777)
    async with grid(tree, directory) as one, connected(tree, OWNER, msize=8 * MIB) as direct:
        fid = await direct.create("f")
        for at in range(0, len(DATA), MIB):
            await direct.ask(m.Twrite(fid, at, DATA[at : at + MIB]))
        await direct.made("d", perm=st.DMDIR | 0o755)
        await direct.made("d", "inner", data=b"inside")
        async with one.client(**options) as raw:
            yield one, raw, direct


async def test_everything_goes_on_after_a_cut(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path) as (one, raw, direct):
        fid = await raw.open("f")
        writer = await raw.open("f", mode=m.ORDWR)
        inner = await raw.walk("d", "inner")
        for turn in range(3):
            await one.cut()
            assert await raw.read(fid, turn * MIB, 100) == DATA[turn * MIB :][:100]
            assert (await raw.ask(m.Tstat(inner))).stat.name == "inner"
            assert (await raw.ask(m.Twrite(writer, 0, DATA[:10]))).count == 10
            assert len((await raw.ask(m.Twalk(0, 900, ["d"]))).wqids) == 1
            assert [entry.name for entry in await raw.list("d")] == ["inner"]
            await raw.ask(m.Tclunk(900))
        await raw.made("new", data=b"made")
        assert await direct.content("new") == b"made"


async def test_fids_come_back_before_anybody_asks(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path) as (one, raw, _):
        await raw.open("f")
        await raw.walk("d")
        await one.cut()
        await trio.sleep(1)
        assert one.cache.counts.values["nrevived"] == 3, "and the root"


async def test_another_file_in_its_place_is_stale(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path) as (one, raw, direct):
        gone, replaced, kept = await raw.walk("d", "inner"), await raw.open("f"), await raw.walk("d")
        one.reachable = False
        await one.cut()
        await direct.ask(m.Tremove(await direct.walk("d", "inner")))
        await direct.ask(m.Tremove(await direct.walk("f")))
        await direct.made("f", data=b"another")
        one.reachable = True
        for request in (m.Tstat(gone), m.Tstat(replaced), m.Tread(replaced, 0, 9)):
            assert await raw.refused(request) == StaleFile.text
        assert (await raw.ask(m.Tstat(kept))).stat.name == "d"
        for fid in (gone, replaced):
            await raw.ask(m.Tclunk(fid))
        assert await raw.content("f") == b"another"
        assert one.cache.counts.values["nstale"] == 2


async def test_a_file_that_was_written_meanwhile_is_not_mixed_with_what_is_held(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with setting(tmp_path) as (one, raw, direct):
        fid = await raw.open("f")
        assert await raw.read(fid, 0, 100) == DATA[:100]
        one.reachable = False
        await one.cut()
        writer = await direct.open("f", mode=m.OWRITE)
        for at in range(0, len(DATA), MIB):
            await direct.ask(m.Twrite(writer, at, (b"new" * MIB)[at : at + MIB]))
        one.reachable = True
        await trio.sleep(60)
        assert await raw.read(fid, 2 * MIB, 6) == (b"new" * MIB)[2 * MIB :][:6]
        assert await raw.read(fid, 0, 6) == b"newnew"


async def test_what_was_renamed_through_the_cache_is_found_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path) as (one, raw, _), one.client() as other:
        inner = await other.open("d", "inner")
        await raw.ask(m.Twstat(await raw.walk("d"), Stat(name="e")))
        await one.cut()
        assert (await other.ask(m.Tstat(inner))).stat.name == "inner"
        assert await other.read(inner) == b"inside"


async def test_a_write_under_way_is_not_repeated(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path) as (one, raw, direct):
        writer = await raw.open("f", mode=m.OWRITE)
        reader = await raw.open("f")
        one.gate.shut()
        requests: list[m.Request] = [
            m.Twrite(writer, 0, b"lost?"),
            m.Tcreate(await _clone(one, raw), "made?", 0o644, m.OWRITE),
            m.Tread(reader, MIB, 10),
            m.Tstat(reader),
        ]
        one.gate.shut()
        calls = [raw.client.begin(request) for request in requests]
        raw.client.send()
        await trio.testing.wait_all_tasks_blocked()
        await one.cut()
        one.gate.open()
        for call in calls[:2]:
            with pytest.raises(FileError) as info:
                await raw.client.wait(call)
            assert str(info.value) == Interrupted.text
        assert (await raw.client.wait(calls[2])).data == DATA[MIB : MIB + 10]
        assert (await raw.client.wait(calls[3])).stat.name == "f"
        assert "made?" not in {entry.name for entry in await direct.list()}
        assert (await direct.content("f"))[:5] == DATA[:5]
        assert (await raw.ask(m.Twrite(writer, 0, b"again"))).count == 5
        assert (await direct.content("f"))[:5] == b"again"


async def _clone(one: Grid, raw: Raw) -> int:
    one.gate.open()
    return await raw.walk()


async def test_a_listing_goes_on_where_it_was(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path) as (one, raw, direct):
        for number in range(3000):
            await direct.made("d", f"file-{number}")
        fid = await raw.open("d")
        names: list[str] = []
        offset = 0
        while data := await raw.read(fid, offset, 8192):
            offset += len(data)
            names += [entry.name for entry in st.unpack_directory(data)]
            if len(names) < 1500:
                await one.cut()
        assert sorted(names) == sorted(["inner", *(f"file-{number}" for number in range(3000))])


async def test_requests_wait_for_the_server_and_then_give_up(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path, patience=30) as (one, raw, _):
        fid = await raw.open("f")
        one.reachable = False
        await one.cut()
        begun = trio.current_time()
        for request in (m.Tstat(fid), m.Twalk(0, 900, ["f"]), m.Tattach(901, m.NOFID, OWNER, ""), m.Tread(fid, MIB, 1)):
            before = trio.current_time()
            assert await raw.refused(request) == ServerGone.text
            assert 29 < trio.current_time() - before < 31
        assert 8 < one.dialed < (trio.current_time() - begun), "with growing pauses, and never given up"
        one.reachable = True
        assert (await raw.ask(m.Tstat(fid))).stat.name == "f"


async def test_a_flush_ends_the_waiting(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path, patience=math.inf) as (one, raw, _):
        fid = await raw.open("f")
        one.reachable = False
        await one.cut()
        call = raw.client.begin(m.Tread(fid, MIB, 10))
        raw.client.send()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert await raw.ask(m.Tflush(call.tag)) == m.Rflush()
        assert call.reply is None
        await raw.ask(m.Tclunk(fid))


@pytest.mark.parametrize("offline", [0.0, 100.0, math.inf])
async def test_open_files_are_read_while_the_server_is_away(
    tmp_path: Path, autojump_clock: MockClock, offline: float
) -> None:
    async with setting(tmp_path, offline=offline, patience=5) as (one, raw, _):
        fid = await raw.open("f")
        assert await raw.read(fid, 0, 100) == DATA[:100]
        one.reachable = False
        await one.cut()
        for seconds in (1, 90, 2000):
            await trio.sleep(seconds)
            if offline > seconds:
                assert await raw.read(fid, 0, 100) == DATA[:100]
            else:
                assert await raw.refused(m.Tread(fid, 0, 100)) == ServerGone.text
        one.reachable = True
        await trio.sleep(60)
        assert await raw.read(fid, 0, 100) == DATA[:100]


async def test_a_server_that_hangs_up_on_every_greeting(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path, patience=20) as (one, raw, _):
        fid = await raw.walk("f")
        working = one.dial

        async def dead() -> trio.abc.Stream:
            stream = await working()
            await trio.aclose_forcefully(one.links.pop())
            return stream

        one.dial = dead
        async with one.new_client(patience=20) as other:
            assert await other.refused(m.Tattach(0, m.NOFID, OWNER, "")) == ServerGone.text
        assert (await raw.ask(m.Tstat(fid))).stat.name == "f", "whoever has a link keeps it"


async def test_the_refusals_are_words_that_linux_knows() -> None:
    for kind in (ServerGone, Interrupted, StaleFile):
        assert from_text(kind.text).text == kind.text


async def test_many_files_that_clients_have_open_come_back(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Of two clients: one may have 65536 fids. How many in all says ``CFS_OPEN_FILES``; 100000 take a minute."""
    many, at_once = MANY // 2, 500
    tree = RamTree(OWNER, mode=0o777)
    async with (
        grid(tree, tmp_path) as one,
        connected(tree, OWNER, msize=8 * MIB) as direct,
        one.client() as first,
        one.client() as second,
    ):
        await direct.made("f", data=DATA[:MIB])
        for raw in (first, second):
            for begin in range(1, many + 1, at_once):
                calls = []
                for fid in range(begin, begin + at_once):
                    calls.append(raw.client.begin(m.Twalk(0, fid, ["f"])))
                    calls.append(raw.client.begin(m.Topen(fid, m.OREAD)))
                for call in calls:
                    await raw.client.wait(call)
        await one.cut()
        await trio.sleep(20)
        # And the two roots.
        assert one.cache.counts.values["nrevived"] == 2 * many + 2
        assert not one.cache.counts.values["nstale"]
        for raw in (first, second):
            for fid in (1, many // 2, many):
                assert await raw.read(fid, MIB - 10, 10) == DATA[MIB - 10 : MIB]


async def test_a_hundred_thousand_open_files_come_back(autojump_clock: MockClock) -> None:
    """Without clients of the cache, which would take most of the time; a connection may have 65536 fids."""
    tree = RamTree(OWNER)
    links: list[trio.abc.Stream] = []
    async with connected(tree, OWNER) as direct, trio.open_nursery() as nursery:
        await direct.made("f", data=b"0123456789")

        async def dial() -> trio.abc.Stream:
            near, far = trio.testing.memory_stream_pair()
            links.append(far)
            nursery.start_soon(serve_stream, far, tree)
            return near

        ways = [Upstream(dial, nursery) for _ in range(2)]
        handles: list[Handle] = []
        for way in ways:
            root = await way.root(OWNER, "")
            qid = (await root.walk(["f"])).qid
            # Which fid it was on the link that will be lost does not matter.
            handles += [Handle(way, OWNER, "", ("f",), qid, root) for _ in range(50_000)]
        for handle in handles:
            handle.mode = m.OREAD
        for link in links[:2]:
            await trio.aclose_forcefully(link)
        await trio.sleep(5)
        assert not any(handle.bereft for handle in handles)
        assert sum(way.counts.values["nrevived"] for way in ways) == 100_000
        for handle in handles[::9999]:
            assert (await handle.do(m.Tread, lambda remote: remote.read(0, 100))) == b"0123456789"
        nursery.cancel_scope.cancel()


async def test_what_cannot_be_counted_is_not_waited_for_twice(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A file server that takes one connection and no more: files have one name then."""
    tree = RamTree(OWNER, mode=0o777)
    async with grid(tree, tmp_path) as one, trio.open_nursery() as nursery:
        async with connected(tree, OWNER) as direct:
            await direct.made("f", data=b"x")
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(lambda: serve_client(far, one.cache, one.dial))
        async with speaking(near, version=lm.VERSION) as connection:
            remote = RemoteTree(await connection.attach(OWNER))
            one.reachable = False
            async with await remote.walk("f") as file:
                begun = trio.current_time()
                for _ in range(10):
                    assert (await file.getattr()).nlink == 1
                assert trio.current_time() - begun < 5
            one.reachable = True
            async with await remote.walk("f") as file:
                await remote.root.link("g", file)
                assert (await file.getattr()).nlink == 2
        nursery.cancel_scope.cancel()
