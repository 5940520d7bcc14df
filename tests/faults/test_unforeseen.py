"""Errors that nobody foresaw in the work that servers do in the background: it is logged and tried again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from cfs.disk.store import Store
from cfs.files.cache import opened
from contracts.served_file import OWNER
from fakes.flaky_venti import FlakyVenti
from fakes.ninep_client import connected
from fakes.stored_content import content, version
from fossil.archive.archiver import Archiver
from fossil.archive.eviction import Evictor
from fossil.archive.vault import Vault
from fossil.past.history import ARCHIVE, History
from fossil.past.schedule import Schedule
from fossil.server.service import Fossil, open_fossil
from venti.blocks.blocktype import BlockType
from venti.log.opening import open_disk_store
from venti.log.store import DiskStore

pytestmark = pytest.mark.expects_errors


class Unforeseen(Exception):
    """Nobody catches this by name."""


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds follow each other at once: their threads work by the real clock."""
    for name in (
        "server.service.SETTLE",
        "past.schedule.TICK",
        "archive.eviction.LOOK",
        "archive.archiver.FIRST_WAIT",
        "archive.vault.FIRST_WAIT",
    ):
        monkeypatch.setattr(f"fossil.{name}", 0.01)


async def until(done: Callable[[], bool]) -> None:
    with trio.fail_after(30):
        while not done():  # noqa: ASYNC110 what it waits for has no event
            await trio.sleep(0.01)


class Failing:
    """In place of a method: fails some times, then does what it should."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, times: int) -> None:
        self.left = times
        self.calls = 0
        method: Callable[..., Any] = getattr(owner, name)

        def instead(*arguments: Any, **keywords: Any) -> Any:
            self.calls += 1
            if self.left:
                self.left -= 1
                raise Unforeseen
            return method(*arguments, **keywords)

        monkeypatch.setattr(owner, name, instead)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Fossil, "settle"),
        (History, "sweep"),
        (Schedule, "tick"),
        (Evictor, "evict"),
        (Archiver, "_step"),
        (Vault, "_serve"),
    ],
    ids=str,
)
async def test_fossil(
    owner: type,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    venti = FlakyVenti()
    failing = Failing(monkeypatch, owner, name, 2)
    async with open_fossil(tmp_path, owner=OWNER, open_store=venti.connect, local_size=1 << 30) as fossil:
        async with connected(fossil.tree, OWNER) as raw:
            await raw.made("file", data=b"before")
            fossil.history.take(ARCHIVE)
            fossil.archiver.wake()
            await until(lambda: failing.calls > 2)
            assert await raw.content("file") == b"before"
            await raw.made("other", data=b"after")
        await fossil.archiver.idle()
        assert not fossil.history.waiting()
        assert fossil.system.stopped is None
    assert "Unforeseen" in caplog.text


async def test_fossil_promises_nothing_that_it_can_never_make_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_fossil(tmp_path, owner=OWNER, open_store=FlakyVenti().connect) as fossil,
        connected(fossil.tree, OWNER) as raw,
    ):
        await raw.made("file", data=b"before")
        with monkeypatch.context() as patched:
            Failing(patched, Fossil, "settle", 1000)
            await until(lambda: fossil.system.stopped is not None)
        assert await raw.content("file") == b"before"


async def test_cfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path, 8 << 20, "server") as cache:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.run)
            for number, name in enumerate(("take", "record")):
                failing = Failing(monkeypatch, Store, name, 1)
                for path in range(3):
                    what = 10 * number + path
                    file = cache.store.file("main", what, version(1000))
                    cache.store.add(file, 0, content(what, 1000))
                    cache.store.release(file)
                    await trio.sleep(0.05)
                await until(lambda failing=failing: not failing.left)
            await until(lambda: cache.store.idle)
            nursery.cancel_scope.cancel()


async def test_venti(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("venti.log.store.RETRY", 0.01)
    failing = Failing(monkeypatch, DiskStore, "_settle", 2)
    async with open_disk_store(tmp_path) as store:
        score = await store.write(BlockType.DATA, b"some")
        await store.sync()
        store._wake.set()
        await until(lambda: not failing.left)
        assert await store.read(score, BlockType.DATA, 100) == b"some"
    assert "Unforeseen" in caplog.text
