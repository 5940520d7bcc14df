"""A server that looks after its store: healed from a mirror as it is read, and by the scrub that nobody asked for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trio

from fakes.damaged_store import blocks, fill, harm, memory
from programs.processes import Program, free_port, run, running
from programs.venti_program import serving, venti
from venti.blocks.score import Score
from venti.log.files import OsFolder
from venti.log.opening import open_disk_store
from venti.upkeep.scrub import Journal, alone
from venti.upkeep.service import looked_after
from venti.upkeep.survey import numbers

WRITTEN = blocks(60)


async def scrubbed(path: Path) -> None:
    """Waits until every arena was looked at."""
    wanted = set(numbers(OsFolder(path / "arenas")))
    with trio.fail_after(30):
        while set(Journal(path / "scrub").checked) != wanted:  # noqa: ASYNC110 a file has no event
            await trio.sleep(0.02)


@pytest.mark.expects_errors
@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("arena_size", [20_000, 1 << 30])
async def test_the_scrub_heals_from_the_mirror(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], header: bool, arena_size: int
) -> None:
    places = await fill(tmp_path, WRITTEN, arena_size=arena_size)
    for number in (3, 40):
        harm(tmp_path, places[number], header=header)
    async with (
        serving(await memory(WRITTEN)) as address,
        open_disk_store(tmp_path) as disk,
        looked_after(disk, tmp_path, mirror_address=address, scrub_rate=1 << 30),
    ):
        await scrubbed(tmp_path)
    assert await venti("verify", "--store", tmp_path) == 0
    assert capsys.readouterr().out.endswith(" bytes: 0 damaged, 2 healed\n")


@pytest.mark.expects_errors
async def test_the_scrub_says_what_it_cannot_heal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    places = await fill(tmp_path, WRITTEN)
    harm(tmp_path, places[3])
    async with open_disk_store(tmp_path) as disk, looked_after(disk, tmp_path, mirror_address=None, scrub_rate=1 << 30):
        await scrubbed(tmp_path)
    wanted = f"scrub: arena 0 offset {places[3].offset}: block {Score.of(WRITTEN[3])}/0: "
    assert wanted in caplog.text
    assert Journal(tmp_path / "scrub").damaged[0] == 1


async def test_another_process_scrubs(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """The server waits until that one is done."""
    await fill(tmp_path, WRITTEN)
    async with open_disk_store(tmp_path) as disk:
        with alone(tmp_path):
            async with looked_after(disk, tmp_path, mirror_address=None, scrub_rate=1 << 30):
                await trio.sleep(600)
                assert Journal(tmp_path / "scrub").checked == {}
        async with looked_after(disk, tmp_path, mirror_address=None, scrub_rate=1 << 30):
            await scrubbed(tmp_path)


@pytest.mark.process
def test_serve_with_a_mirror(tmp_path: Path) -> None:
    """Two processes: the reader of a damaged block notices nothing, and the store is whole again."""
    store = tmp_path / "store"
    text = "a block of text, " * 50
    places = trio.run(fill, store, [*WRITTEN, text.encode()])
    trio.run(fill, tmp_path / "other", [text.encode()])
    harm(store, places[-1])
    log = tmp_path / "log"
    score = str(Score.of(text.encode()))
    first, second = free_port(), free_port()
    common = ["venti", "serve", "--scrub", "0", "--store"]
    other = Program(first, *common, str(tmp_path / "other"), f"tcp!127.0.0.1!{first}", log=tmp_path / "other.log")
    mirrored = ["--mirror", f"tcp!127.0.0.1!{first}", f"tcp!127.0.0.1!{second}"]
    with running(other), running(Program(second, *common, str(store), *mirrored, log=log)):
        for _ in range(2):
            assert run("venti", "read", "-h", f"tcp!127.0.0.1!{second}", score) == text
        deadline = time.monotonic() + 30
        while "stored anew" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert f"block {score}/0 was fetched from the mirror and stored anew" in log.read_text()
    assert "1 healed" in run("venti", "verify", "--store", str(store))
