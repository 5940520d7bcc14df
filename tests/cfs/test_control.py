"""The statistics file, and what is pinned."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio

from cfs.statistics import Counts, Statistics, parse
from fakes.ninep_client import Raw
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.errors import PermissionDenied
from ninep.ram.tree import RamTree
from programs.behind_cache import MIB, grid

OWNER = "glenda"
DATA = Random(1).randbytes(MIB)


async def tell(raw: Raw, line: str) -> None:
    fid = await raw.open("cfsctl", mode=m.OWRITE)
    await raw.ask(m.Twrite(fid, 0, line.encode()))
    await raw.ask(m.Tclunk(fid))


async def read(raw: Raw, *names: str) -> bytes:
    data = await raw.content(*names)
    await trio.testing.wait_all_tasks_blocked()
    return data


async def test_statistics_tell_what_the_link_was_spared(tmp_path: Path) -> None:
    async with grid(RamTree(OWNER), tmp_path) as one, one.client() as raw:
        await raw.made("f", data=DATA[:100_000])
        for _ in range(3):
            assert await read(raw, "f") == DATA[:100_000]
        await one.written_out()
        sample = parse((await raw.content("cfsctl")).decode())
        values = sample["values"]
        assert values["bytesread"] == 300_000
        assert values["bytesfromserver"] == 100_000
        assert values["bytesfromcache"] >= 200_000
        assert values["bytessaved"] == 200_000
        assert values["bytestocache"] == 100_000
        assert values["byteswritten"] == 100_000
        assert values["hits"] > values["misses"] > 0
        assert values["ninsert"] == 1
        assert 0 < values["used"] <= values["size"] == 64 * MIB
        assert values["upstream_us"] > 0
        assert sample["messages"]["Topen"] == {
            "client": 3,
            "server": 3,
            "ms_per_call": sample["messages"]["Topen"]["ms_per_call"],
        }
        assert sample["messages"]["Tread"]["client"] > sample["messages"]["Tread"]["server"]


async def test_the_file_itself(tmp_path: Path) -> None:
    async with grid(RamTree(OWNER), tmp_path) as one, one.client(local=True) as raw:
        await raw.made("dir", perm=st.DMDIR | 0o755)
        assert [entry.name for entry in await raw.list()] == ["dir"], "it is not listed"
        stat = await raw.stat("cfsctl")
        assert (stat.name, stat.mode) == ("cfsctl", 0o644)
        before = stat.qid
        await raw.content("cfsctl")
        assert (await raw.stat("cfsctl")).qid.path == before.path
        assert (await raw.stat("cfsctl")).qid.version != before.version, "or a kernel would show an old one"
        fid = await raw.walk("dir")
        assert "not exist" in await raw.refused(m.Twalk(fid, 900, ["cfsctl"]))
        assert await raw.refused(m.Tremove(await raw.walk("cfsctl"))) == "permission denied"
        fid = await raw.walk("cfsctl")
        assert (await raw.ask(m.Twalk(fid, 901, []))).wqids == []
        assert await raw.refused(m.Twalk(fid, 902, ["x"])) == "not a directory"


def test_growth_since_the_last_sample() -> None:
    counts, store = Counts(), Statistics(100, 10, 0, 0, 0, 0)
    counts.asked["Tread"] = 3
    counts.values["hits"] = 5
    counts.sample(store)
    counts.asked["Tread"] = 10
    counts.values["hits"] = 6
    lines = [line.split() for line in counts.sample(store).splitlines()]
    assert [fields[:2] for fields in lines if fields[-1] == "Tread"] == [["10", "7"]]
    assert [fields[:2] for fields in lines if fields[-1] == "hits"] == [["6", "1"]]


@pytest.mark.parametrize("text", ["", "hello\n", "1 2 hits\n"])
def test_what_is_no_sample(text: str) -> None:
    with pytest.raises(ValueError, match="no statistics"):
        parse(text)


async def test_what_is_pinned_stays(tmp_path: Path) -> None:
    async with grid(RamTree(OWNER), tmp_path, size=4 * MIB) as one, one.client(local=True) as raw:
        await raw.made("dir", perm=st.DMDIR | 0o755)
        await raw.made("dir", "pinned", data=DATA)
        await raw.made("other", data=DATA)
        await tell(raw, "pin dir\n")
        assert await read(raw, "dir", "pinned") == DATA
        await one.written_out()
        for number in range(8):
            await raw.made(f"more-{number}", data=DATA)
            assert await read(raw, f"more-{number}") == DATA
            await one.written_out()
        assert one.store.statistics.evicted
        assert one.store.statistics.used <= 4 * MIB
        one.forget_sent()
        assert await read(raw, "dir", "pinned") == DATA
        assert not one.sent["Tread"]


async def test_pins_survive_a_restart_and_end(tmp_path: Path) -> None:
    tree = RamTree(OWNER)
    async with grid(tree, tmp_path, size=4 * MIB) as one, one.client(local=True) as raw:
        await raw.made("pinned", data=DATA)
        assert await read(raw, "pinned") == DATA
        await one.written_out()
        await tell(raw, "pin /pinned\n")
        assert await read(raw, "pinned") == DATA
    async with grid(tree, tmp_path, size=4 * MIB) as one, one.client(local=True) as raw:
        assert list(one.cache.pins) == [("", "pinned")]

        async def fill(turn: int) -> bool:
            for number in range(8):
                await raw.made(f"more-{turn}-{number}", data=DATA)
                await read(raw, f"more-{turn}-{number}")
                await one.written_out()
            one.forget_sent()
            assert await read(raw, "pinned") == DATA
            return bool(one.sent["Tread"])

        assert not await fill(1)
        await tell(raw, "unpin pinned")
        assert list(one.cache.pins) == []
        assert await fill(2)


async def test_pins_that_fill_the_bound_keep_everything_else_out_and_nothing_fails(tmp_path: Path) -> None:
    async with grid(RamTree(OWNER), tmp_path, size=3 * MIB) as one, one.client(local=True) as raw:
        await tell(raw, "pin /\n")
        for number in range(5):
            await raw.made(f"{number}", data=DATA)
            assert await read(raw, f"{number}") == DATA
            await one.written_out()
            assert one.store.statistics.used <= 3 * MIB
        for number in range(5):
            assert await read(raw, f"{number}") == DATA
        assert one.store.statistics.refused
        assert not one.store.statistics.evicted


async def test_what_the_file_refuses(tmp_path: Path) -> None:
    async with grid(RamTree(OWNER), tmp_path) as one:
        async with one.client(local=True) as raw:
            fid = await raw.open("cfsctl", mode=m.ORDWR)
            assert "unknown command 'drop'" in await raw.refused(m.Twrite(fid, 0, b"drop everything"))
            assert await raw.refused(m.Twrite(fid, 0, b"unpin a/b")) == "cfsctl: a/b is not pinned"
            assert "UTF-8" in await raw.refused(m.Twrite(fid, 0, b"pin \xff"))
        async with one.client(local=False) as raw:
            with pytest.raises(PermissionDenied):
                await raw.open("cfsctl", mode=m.OWRITE)
            assert await raw.content("cfsctl")
