"""Going through a store: ``verify``, ``scrub``, ``repair``, ``stats``, ``rebuild-index``."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import lmdb
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as some

from fakes.damaged_store import DATA, blocks, fill, harm, memory
from programs.venti_program import serving, venti
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import DamagedBlock
from venti.blocks.score import Score
from venti.log.arena import arena_path
from venti.log.files import OsFolder
from venti.log.opening import open_disk_store
from venti.stores.memory import MemoryStore
from venti.stores.remote import connect
from venti.upkeep.scrub import Journal, Scrubber
from venti.upkeep.survey import Fault, Survey, numbers, stored_again

WRITTEN = blocks(60)


def survey(path: Path, *, budget: int = 3000) -> tuple[list[Fault], int]:
    """Every fault in a store, and how many blocks are sound."""
    folder = OsFolder(path / "arenas")
    faults: list[Fault] = []
    sound = 0
    for number in numbers(folder):
        looked = Survey(folder, number)
        while not looked.step(budget):
            pass
        looked.close()
        faults += looked.faults
        sound += looked.clumps
    return faults, sound


async def read_all(path: Path) -> None:
    async with open_disk_store(path) as store:
        for block in WRITTEN:
            assert await store.read(Score.of(block), DATA, 8192) == block


async def test_a_sound_store(tmp_path: Path) -> None:
    await fill(tmp_path, WRITTEN)
    assert len(numbers(OsFolder(tmp_path / "arenas"))) > 3
    assert survey(tmp_path) == ([], 60)


@pytest.mark.parametrize("header", [False, True])
async def test_damage_is_found_and_named(tmp_path: Path, header: bool) -> None:
    places = await fill(tmp_path, WRITTEN)
    for number in (3, 17):
        harm(tmp_path, places[number], header=header)
    faults, sound = survey(tmp_path)
    assert sound == 58
    assert [(f.arena, f.offset, f.score) for f in faults] == [
        (places[n].arena, places[n].offset, Score.of(WRITTEN[n])) for n in (3, 17)
    ]
    if header:
        assert {fault.detail for fault in faults} == {"its header is damaged"}


async def test_a_damaged_header_in_the_arena_in_use(tmp_path: Path) -> None:
    """Nobody has written down which block that was."""
    places = await fill(tmp_path, WRITTEN[:3], arena_size=1 << 30)
    harm(tmp_path, places[1], header=True)
    (fault,), sound = survey(tmp_path)
    assert (fault.offset, fault.score, sound) == (places[1].offset, None, 2)
    assert "bytes are no clump" in fault.detail


async def test_damage_to_head_and_footer(tmp_path: Path) -> None:
    await fill(tmp_path, WRITTEN)
    for number, at in ((0, 3), (1, -40)):
        path = arena_path(tmp_path / "arenas", number)
        path.chmod(0o600)
        data = bytearray(path.read_bytes())
        data[at] ^= 255
        if at < 0:
            data[at - 200 : at] = bytes(200)
        path.write_bytes(data)
    faults, sound = survey(tmp_path)
    assert sound == 60
    assert faults[0].detail == "its head is damaged, which costs no block: opening the store mends it"


async def test_a_server_is_writing(tmp_path: Path) -> None:
    """Half a clump at the end is no damage; opening the store will deal with it."""
    await fill(tmp_path, WRITTEN[:5], arena_size=1 << 30)
    path = arena_path(tmp_path / "arenas", 0)
    with path.open("ab") as file:
        file.write(path.read_bytes()[64:200])
    assert survey(tmp_path) == ([], 5)


@settings(max_examples=30)
@given(some.lists(some.tuples(some.integers(64, 15_000), some.integers(1, 255)), min_size=1, max_size=3))
def test_any_flipped_byte_is_noticed(flips: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        trio.run(fill, path, WRITTEN[:8])
        file = arena_path(path / "arenas", 0)
        whole = file.read_bytes()
        data = bytearray(whole)
        for at, mask in flips:
            data[min(at, len(data) - 1)] ^= mask
        file.chmod(0o600)
        file.write_bytes(data)
        faults, sound = survey(path)
        assert faults or sound < 8 or bytes(data) == whole


async def test_a_damaged_header_is_not_healed_by_the_next_block(tmp_path: Path) -> None:
    places = await fill(tmp_path, WRITTEN)
    harm(tmp_path, places[3], header=True)
    (fault,), _ = survey(tmp_path)
    assert not stored_again(OsFolder(tmp_path / "arenas"), fault)
    assert await venti("verify", "--store", tmp_path) == 4


async def test_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = await fill(tmp_path, WRITTEN)
    assert await venti("verify", "--store", tmp_path) == 0
    assert capsys.readouterr().out.endswith(" bytes: 0 damaged\n")
    harm(tmp_path, places[3])
    async with open_disk_store(tmp_path):
        assert await venti("verify", "--store", tmp_path) == 4
    out = capsys.readouterr().out
    assert f"damaged: arena 0 offset {places[3].offset}: block {Score.of(WRITTEN[3])}/0: " in out
    assert await venti("verify", "--store", tmp_path, "--json") == 4
    (fault,) = json.loads(capsys.readouterr().out)["damaged"]
    assert fault["score"] == str(Score.of(WRITTEN[3]))


@pytest.mark.expects_errors
@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("arena_size", [20_000, 1 << 30])
async def test_repair_of_a_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], header: bool, arena_size: int
) -> None:
    """With the damage in sealed arenas, and in the one in use."""
    places = await fill(tmp_path, WRITTEN, arena_size=arena_size)
    for number in (3, 17, 40):
        harm(tmp_path, places[number], header=header)
    async with serving(await memory(WRITTEN[:20])) as address:
        assert await venti("repair", "--from", address, "--store", tmp_path) == 4
    out = capsys.readouterr().out
    assert f"not repaired: arena {places[40].arena} offset {places[40].offset}: " in out
    assert out.endswith("2 blocks repaired, 1 are left\n")
    async with serving(await memory(WRITTEN)) as address:
        assert await venti("repair", "--from", address, "--store", tmp_path, "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["repaired"], told["damaged"], told["index"]["differing"]) == (1, [], 0)
        assert await venti("repair", "--from", address, "--store", tmp_path) == 0
        assert capsys.readouterr().out == "0 blocks repaired, 0 are left\n"
    assert await venti("verify", "--store", tmp_path) == 0
    assert capsys.readouterr().out.endswith(" bytes: 0 damaged, 3 healed\n")
    await read_all(tmp_path)
    shutil.rmtree(tmp_path / "index")
    await read_all(tmp_path)


@pytest.mark.expects_errors
async def test_a_damaged_block_over_the_network(tmp_path: Path) -> None:
    """The client hears the score, and that it is damage; it never gets the bytes."""
    places = await fill(tmp_path, WRITTEN)
    harm(tmp_path, places[3])
    async with open_disk_store(tmp_path) as store, serving(store) as address, connect(address) as client:
        with pytest.raises(DamagedBlock, match=f"{Score.of(WRITTEN[3])}.*arena 0 offset {places[3].offset}"):
            await client.read(Score.of(WRITTEN[3]), DATA, 8192)


async def test_rebuild_index_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said in one line, and the index is finished when the store is opened."""
    await fill(tmp_path, WRITTEN)

    def full(*_: object) -> None:
        raise lmdb.DiskError("mdb_txn_commit: No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("venti.upkeep.rebuild.Index.write", full)
        assert await venti("rebuild-index", "--store", tmp_path) == 1
    err = capsys.readouterr().err
    assert "index cannot be written: mdb_txn_commit: No space left on device" in err
    assert "Traceback" not in err
    await read_all(tmp_path)


async def test_rebuild_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await fill(tmp_path, WRITTEN)
    (tmp_path / "index" / "data.mdb").write_bytes(b"garbage" * 1000)
    assert await venti("rebuild-index", "--store", tmp_path) == 0
    assert capsys.readouterr().out == "60 blocks\n"
    await read_all(tmp_path)
    async with open_disk_store(tmp_path):
        assert await venti("rebuild-index", "--store", tmp_path) == 1
    assert "in use by" in capsys.readouterr().err


async def test_stats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await fill(tmp_path, WRITTEN)
    assert await venti("stats", "--store", tmp_path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["blocks"] == 60
    assert found["bytes"] == sum(map(len, WRITTEN))
    assert found["types"] == {"data": 60}
    assert found["sealed"] == found["arenas"] - 1
    assert found["stored"] <= found["bytes"]
    assert await venti("stats", "--store", tmp_path) == 0
    assert "blocks   60, 60 data\n" in capsys.readouterr().out
    async with open_disk_store(tmp_path) as store:
        for type in (BlockType.DATA_1, BlockType.DIR_2, BlockType.ROOT):
            await store.write(type, b"pointers")
    assert await venti("stats", "--store", tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["types"] == {"data": 60, "pointers": 2, "root": 1}


class Watch:
    """A scrubber on a store, with what it met."""

    def __init__(self, path: Path, *, rate: int = 0, now: float = 1000.0, every: float = 100.0) -> None:
        self.faults: list[Fault] = []
        self.now = now
        self.scrubber = Scrubber(
            path, rate=rate, heal=self.heal, report=self.faults.append, every=every, clock=lambda: self.now
        )

    async def heal(self, fault: Fault) -> bool:
        return False


async def test_scrub_looks_at_the_oldest_first(tmp_path: Path) -> None:
    places = await fill(tmp_path, WRITTEN)
    harm(tmp_path, places[40])
    watch = Watch(tmp_path, now=1001.0)
    found = [await watch.scrubber.one(1000.0)]
    while found[-1] is not None:
        watch.now += 1
        found.append(await watch.scrubber.one(1000.0))
    assert found[:-1] == numbers(OsFolder(tmp_path / "arenas"))
    assert [fault.score for fault in watch.faults] == [Score.of(WRITTEN[40])]
    journal = watch.scrubber.journal
    journal.checked[2] -= 500
    assert await watch.scrubber.one(watch.now) == 2
    assert await watch.scrubber.one(watch.now) == 0
    assert Journal(tmp_path / "scrub").damaged[places[40].arena] == 1


async def test_scrub_remembers_its_place(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """Cancelled in the middle, a new process goes on there, and does not look at anything twice."""
    await fill(tmp_path, blocks(2000), arena_size=2_000_000)
    first = Watch(tmp_path, rate=100_000)
    with trio.move_on_after(4):
        await first.scrubber.run()
    kept = Journal(tmp_path / "scrub")
    assert kept.current == 0
    assert 64 < kept.offset < 1_000_000
    assert kept.checked == {}
    second = Watch(tmp_path)
    start = trio.current_time()
    assert await second.scrubber.one(1000.0) == 0
    assert second.scrubber.journal.checked == {0: 1000.0}
    assert trio.current_time() == start


async def test_scrub_keeps_to_its_rate_and_rests_when_nothing_is_due(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    await fill(tmp_path, blocks(1000), arena_size=1 << 30)
    size = arena_path(tmp_path / "arenas", 0).stat().st_size
    watch = Watch(tmp_path, rate=100_000)
    start = trio.current_time()
    await watch.scrubber.one(1000.0)
    assert trio.current_time() - start == pytest.approx(size / 100_000, abs=4)
    with trio.move_on_after(1000):
        await watch.scrubber.run()
    assert watch.scrubber.journal.checked == {0: 1000.0}


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"arenas": 3}', '{"arenas": {}, "current": "x"}'])
async def test_a_journal_that_cannot_be_read(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    await fill(tmp_path, WRITTEN)
    (tmp_path / "scrub").write_text(text)
    assert await Watch(tmp_path).scrubber.one(1000.0) == 0
    assert "is begun anew" in caplog.text


async def test_scrub_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = await fill(tmp_path, WRITTEN)
    harm(tmp_path, places[40])
    assert await venti("scrub", "--store", tmp_path, "--status") == 0
    assert capsys.readouterr().out.startswith("arena 0: never, 0 damaged\n")
    assert await venti("scrub", "--store", tmp_path, "--rate", "100m", "--json") == 4
    found = json.loads(capsys.readouterr().out)
    assert [fault["score"] for fault in found["damaged"]] == [str(Score.of(WRITTEN[40]))]
    assert await venti("scrub", "--store", tmp_path, "--status") == 4
    assert f"arena {places[40].arena}: 2" in capsys.readouterr().out


async def test_stored_again(tmp_path: Path) -> None:
    places = await fill(tmp_path, WRITTEN)
    folder = OsFolder(tmp_path / "arenas")
    fault = Fault(places[3].arena, places[3].offset, Score.of(WRITTEN[3]), DATA, "damaged")
    assert not stored_again(folder, fault)
    assert stored_again(folder, fault._replace(offset=64))
    assert not stored_again(folder, fault._replace(score=None))
    assert not stored_again(folder, fault._replace(score=Score.of(b"other"), offset=64))


@pytest.mark.parametrize("command", ["verify", "scrub", "stats", "rebuild-index"])
async def test_bad_input(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    for path, code, text in [
        (tmp_path / "absent", 5, "no such directory"),
        (tmp_path / "file", 5, "no such directory"),
        (tmp_path, 5, "is not a store"),
    ]:
        assert await venti(command, "--store", path) == code
        err = capsys.readouterr().err
        assert text in err
        assert err.count("\n") == 1
    assert await venti(command, "--no-such-flag") == 2


@pytest.mark.parametrize("command", ["verify", "scrub", "stats", "rebuild-index", "import"])
async def test_a_directory_without_rights(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(tmp_path, WRITTEN[:1])
    if os.geteuid():
        tmp_path.chmod(0)
    else:
        # Nothing is closed to the superuser.
        monkeypatch.setattr("venti.log.place.os.access", lambda path, mode: False)
    words = ["import", "--store", tmp_path, __file__] if command == "import" else [command, "--store", tmp_path]
    try:
        assert await venti(*words) == 2
    finally:
        tmp_path.chmod(0o700)
    assert capsys.readouterr().err.startswith(f"venti: {tmp_path}: permission denied: run this as the owner")


async def test_repair_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await fill(tmp_path, WRITTEN[:1])
    async with serving(MemoryStore()) as address:
        for words, code in [
            (["--from", "tcp!127.0.0.1!1", "--store", tmp_path], 3),
            (["--from", address, "-h", address], 2),
            (["--from", address, "--store", tmp_path, "44" * 20], 2),
            (["--from", address, "--store", tmp_path / "absent"], 5),
            (["--from", address, "-h", address, "vac:12"], 2),
            (["--from", address, "-h", address, "44" * 20], 5),
        ]:
            assert await venti("repair", *words) == code, words
            err = capsys.readouterr().err
            assert err.splitlines()[-1].startswith("venti: ")
