"""What is on the disk of the cache: kept across restarts, within the bound, and fetched again where it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from ninep.ram.tree import RamTree
from programs.behind_cache import MIB, grid
from programs.cached_file import DATA, OWNER, setting, whole


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
        monkeypatch.setattr("cfs.disk.segments.Files.write", full)
        for _turn in range(3):
            assert await whole(raw, "f") == DATA
            await one.written_out()
        assert one.store.off


async def test_pages_that_are_not_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with setting(tmp_path) as (one, raw, _):
        await whole(raw, "f")
        await one.written_out()
        one.forget_sent()
        monkeypatch.setattr("cfs.disk.segments.Files.read_nowait", lambda *_: None)
        assert await whole(raw, "f", count=MIB) == DATA
        assert not one.sent["Tread"]


async def test_kept_across_a_restart(tmp_path: Path) -> None:
    tree = RamTree(OWNER)
    async with grid(tree, tmp_path) as one, one.client() as raw:
        await raw.made("f", data=b"lasting")
        assert await whole(raw, "f") == b"lasting"
    async with grid(tree, tmp_path) as one, one.client() as raw:
        assert await whole(raw, "f") == b"lasting"
        assert not one.sent["Tread"]
