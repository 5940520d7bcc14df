"""Holes and ends of files as the past shows them: in a snapshot and in an archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.large_content import LAYOUTS, MESSAGE, check_reads, lay_out, model
from contracts.served_file import OWNER
from fakes.ninep_client import connected
from fossil.files.vacfs import VacTree
from fossil.past.history import SNAPSHOT
from ninep.protocol import messages as m
from programs.opened_fossil import Opened
from venti.stores.memory import MemoryStore
from venti.stores.write_behind import write_behind
from venti.vac.direntry import DirEntry
from venti.vac.mode import DIRECTORY
from venti.vac.writer import VacWriter


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_snapshot(tmp_path: Path, layout: str) -> None:
    with Opened(tmp_path) as opened:
        async with connected(opened.tree, OWNER, msize=MESSAGE) as raw:
            await raw.ask(m.Tclunk(await lay_out(raw, "file", LAYOUTS[layout])))
        opened.history.take(SNAPSHOT)
        async with connected(opened.tree, OWNER, aname="main/snapshot", msize=MESSAGE) as raw:
            place: list[str] = []
            for _ in range(3):
                place.append((await raw.list(*place))[0].name)
            await check_reads(raw, await raw.open(*place, "file"), model(LAYOUTS[layout]))


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_an_archive(layout: str) -> None:
    store, content = MemoryStore(), model(LAYOUTS[layout])
    async with write_behind(store) as behind:
        writer = VacWriter(behind)
        top, tree = writer.directory(), writer.tree()
        await tree.write(content)
        await top.add_file(DirEntry("file", qid=2, uid=OWNER, mode=0o444), await tree.finish())
        score = await writer.finish(DirEntry("root", DIRECTORY | 0o755, qid=1, uid=OWNER), await top.finish())
    async with connected(VacTree(store, score), OWNER, msize=MESSAGE) as raw:
        await check_reads(raw, await raw.open("file"), content)
