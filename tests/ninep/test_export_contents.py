"""A slow disk under one client is nothing to the others."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from fakes.ninep_client import connected
from ninep.export import contents as module
from ninep.export.accounts import Accounts
from ninep.export.tree import ExportTree
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm

NOWAIT = os.preadv


@pytest.fixture
def served(tmp_path: Path) -> Path:
    (tmp_path / "cold").write_bytes(b"c" * 300_000)
    (tmp_path / "warm").write_bytes(b"w" * 300_000)
    return tmp_path


@pytest.mark.parametrize("count", [4096, 200_000])
async def test_a_read_from_the_disk_keeps_nobody_waiting(
    served: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    cold = os.stat(served / "cold").st_ino
    disk = threading.Event()

    def preadv(descriptor: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if os.fstat(descriptor).st_ino == cold:
            raise BlockingIOError
        return NOWAIT(descriptor, buffers, offset, flags)

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if os.fstat(descriptor).st_ino == cold:
            assert disk.wait(30), "the read was done in the event loop"
        return original(descriptor, size, offset)

    original = os.pread
    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr(os, "pread", pread)
    tree = ExportTree(served, accounts=Accounts(switch=False))
    async with connected(tree, msize=1 << 20) as slow, connected(tree, msize=1 << 20) as quick:
        fid = await slow.open("cold")
        call = slow.client.begin(m.Tread(fid, 0, count))
        slow.client.send_soon()
        for _ in range(10):
            assert len(await quick.content("warm")) == 300_000
            assert (await slow.stat("warm")).length == 300_000, "nor the client itself"
        assert call.reply is None
        disk.set()
        assert bytes((await slow.client.wait(call)).data) == b"c" * count
    tree.close()


async def test_writes_go_through_threads_while_the_disk_is_slow(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[bool] = []
    original = os.pwrite
    now = 0.0

    def pwrite(descriptor: int, data: Any, offset: int) -> int:
        nonlocal now
        threads.append(threading.current_thread() is not threading.main_thread())
        now += 0.5 if len(threads) == 1 else 0.0
        return original(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    monkeypatch.setattr(module, "monotonic", lambda: now)
    tree = ExportTree(served, accounts=Accounts(switch=False))
    async with connected(tree) as raw:
        fid = await raw.open("warm", mode=m.OWRITE)
        for _ in range(3):
            await raw.ask(m.Twrite(fid, 0, b"x" * 1000))
        now += module.PAUSE
        await raw.ask(m.Twrite(fid, 0, b"y" * 1000))
    tree.close()
    assert threads == [False, True, True, False]
    assert (served / "warm").read_bytes()[:1001] == b"y" * 1000 + b"w"


async def test_a_file_system_that_cannot_say_what_it_has_cached(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def preadv(descriptor: int, buffers: Any, offset: int, flags: int = 0) -> int:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "preadv", preadv)
    tree = ExportTree(served, accounts=Accounts(switch=False))
    async with connected(tree) as raw:
        assert await raw.content("warm") == b"w" * 300_000
    tree.close()


async def test_a_full_disk_is_told(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwrite(descriptor: int, data: Any, offset: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    tree = ExportTree(served, accounts=Accounts(switch=False))
    async with connected(tree) as raw:
        fid = await raw.open("warm", mode=m.OWRITE)
        monkeypatch.setattr(os, "pwrite", pwrite)
        assert await raw.refused(m.Twrite(fid, 0, b"x")) == "file system is full"
    tree.close()


@pytest.mark.parametrize("how", ["remove", "unlinkat", "renameat"])
async def test_removing_much_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The name goes at once; the blocks are given back when the last descriptor is closed, and that in a thread."""
    for name in ("large", "other"):
        (tmp_path / name).write_bytes(b"x" * 300_000)
    large = os.stat(tmp_path / "large").st_ino
    disk, begun = threading.Event(), threading.Event()
    last: list[bool] = []

    def close(descriptor: int) -> None:
        if threading.current_thread() is not threading.main_thread() and os.fstat(descriptor).st_ino == large:
            last.append(os.fstat(descriptor).st_nlink == 0)
            begun.set()
            assert disk.wait(30)
        original(descriptor)

    original = os.close
    monkeypatch.setattr(os, "close", close)
    monkeypatch.setattr(module, "HUGE", 100_000)
    tree = ExportTree(tmp_path, accounts=Accounts(switch=False))
    before = len(os.listdir("/proc/self/fd"))
    async with (
        connected(tree, version=lm.VERSION) as slow,
        connected(tree, version=lm.VERSION) as quick,
    ):
        requests: dict[str, Any] = {
            "remove": m.Tremove(await slow.walk("large")),
            "unlinkat": lm.Tunlinkat(0, "large", 0),
            "renameat": lm.Trenameat(0, "other", 0, "large"),
        }
        if how != "remove":
            await slow.ask(m.Tclunk(requests["remove"].fid))
        call = slow.client.begin(requests[how])
        slow.client.send()
        assert await trio.to_thread.run_sync(begun.wait, 10)
        for _ in range(10):
            await quick.ask(m.Tclunk(await quick.walk("other" if how != "renameat" else "large")))
        assert call.reply is None
        disk.set()
        await slow.client.wait(call)
    assert last == [True]
    tree.close()
    assert len(os.listdir("/proc/self/fd")) < before
