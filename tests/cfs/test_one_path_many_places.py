"""A file server that gives a file and all that snapshots have of it one qid path, behind the cache: never confused."""

from __future__ import annotations

from pathlib import Path

import pytest
from trio.testing import MockClock

from contracts.served_file import OWNER
from contracts.walked_tree import all_of, check_unique
from fakes.ninep_client import Raw
from fossil.past import past
from fossil.past.history import ARCHIVE, SNAPSHOT
from ninep.protocol import messages as m
from programs.behind_cache import grid
from programs.opened_fossil import Opened


async def write(raw: Raw, number: int) -> None:
    fid = await raw.open("active", "file", mode=m.OWRITE | m.OTRUNC)
    await raw.ask(m.Twrite(fid, 0, b"%d" % number * 10_000))
    await raw.ask(m.Tclunk(fid))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("frozen", [(), ("main:archive/*/*", "main:snapshot/*/*/*")])
async def test_each_moment_has_its_content(
    tmp_path: Path,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    shared: bool,
    frozen: tuple[str, ...],
) -> None:
    if shared:
        monkeypatch.setattr(past, "past_path", lambda epoch, path: path)
    (tmp_path / "fossil").mkdir()
    with Opened(tmp_path / "fossil") as opened:
        async with grid(opened.tree, tmp_path / "cache", frozen=frozen) as one, one.client(OWNER, aname="main") as raw:
            await raw.made("active", "file", data=b"")
            moments = {("active",): 3}
            for number, kind in enumerate((SNAPSHOT, ARCHIVE, ARCHIVE)):
                await write(raw, number)
                opened.history.take(kind, f"2026/110{number}/0900" if kind == SNAPSHOT else f"2026/110{number}")
                names = opened.history.all(kind)[-1].name.split("/")
                moments[kind, *names] = number
            await write(raw, 3)
            for _ in range(3):
                for moment, number in moments.items():
                    assert await raw.content(*moment, "file") == b"%d" % number * 10_000
                moments = dict(reversed(moments.items()))
            held = {moment: await raw.open(*moment, "file") for moment in moments}
            await write(raw, 4)
            for moment, number in moments.items():
                if moment != ("active",):
                    assert await raw.read(held[moment], 5000, 3) == b"%d" % number * 3
                    assert await raw.content(*moment, "file") == b"%d" % number * 10_000
            assert await raw.content("active", "file") == b"4" * 10_000
            if not shared:
                whole = await all_of(raw)
                check_unique(whole)
                async with one.client(OWNER, aname="main") as again:
                    assert await all_of(again) == whole
