"""How bytes are fetched: once for all who want them, ahead of who reads on, with the open, and given up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import trio
from trio.testing import MockClock

from fakes.slow_tree import SlowTree
from ninep.protocol import messages as m
from programs.behind_cache import MIB, grid
from programs.cached_file import DATA, setting, whole


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
