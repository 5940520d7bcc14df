"""``mirror`` and ``export``: all of a store somewhere else, and on from where it stopped."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

import pytest

from fakes import recorded_archives
from fakes.damaged_store import DATA, blocks, fill, harm, memory
from ninep.wire.dialect import Buffer
from programs.venti_program import serving, venti
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import DamagedStore, StoreFull
from venti.blocks.score import Score
from venti.log.arena import START, arena_path
from venti.log.claim import claimed
from venti.log.durable import at_most, durable_ends
from venti.log.files import OsFolder
from venti.log.log import Position
from venti.log.opening import open_disk_store
from venti.stores.memory import MemoryStore
from venti.upkeep.outgoing import Places
from venti.upkeep.replica import missing, replicate

WRITTEN = blocks(60)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    path = tmp_path / "copy"
    with claimed(path):
        return path


def mirror(source: Path, copy: Path, *, check: bool = False, steps: int | None = None) -> int:
    """Replicates, or only the first steps of that; returns the bytes that were copied."""
    found = replicate(OsFolder(source / "arenas"), OsFolder(copy / "arenas"), durable_ends(source), check=check)
    return sum(step.size for step in itertools.islice(found, steps))


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (path / "arenas").iterdir()}


async def test_a_copy_byte_for_byte(source: Path, copy: Path) -> None:
    await fill(source, WRITTEN)
    size = mirror(source, copy)
    assert files(copy) == files(source)
    assert size == sum(map(len, files(source).values()))
    assert missing(OsFolder(copy / "arenas"), durable_ends(source)) == 0
    assert mirror(source, copy, check=True) == 0


async def test_it_grows_with_the_original(source: Path, copy: Path) -> None:
    for count in (1, 2, 10, 11, 40, 60):
        await fill(source, WRITTEN[:count])
        mirror(source, copy)
        assert files(copy) == files(source)


async def test_a_copy_that_was_cut_short_goes_on(source: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("venti.upkeep.replica.STEP", 3000)
    await fill(source, WRITTEN)
    total = 0
    while size := mirror(source, copy, steps=5):
        total += size
    assert files(copy) == files(source)
    assert total == sum(map(len, files(source).values()))


async def test_while_the_original_is_written(source: Path, copy: Path) -> None:
    async with open_disk_store(source, arena_size=20_000) as store:
        for block in WRITTEN[:30]:
            await store.write(DATA, block)
            mirror(source, copy)
    mirror(source, copy)
    async with open_disk_store(copy) as opened:
        for block in WRITTEN[:30]:
            assert await opened.read(Score.of(block), DATA, 8192) == block


async def test_the_copy_takes_over(source: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await fill(source, WRITTEN)
    copy = copy / "far" / "away"
    assert await venti("mirror", source, copy) == 0
    assert capsys.readouterr().out.endswith(" bytes copied, 0 damaged\n")
    async with open_disk_store(copy, read_only=True) as store:
        for block in WRITTEN:
            assert await store.read(Score.of(block), DATA, 8192) == block
    assert await venti("mirror", "--json", source, copy) == 0
    assert json.loads(capsys.readouterr().out) == {"arenas": 0, "bytes": 0, "damaged": []}


async def test_somebody_wrote_to_the_copy(source: Path, copy: Path) -> None:
    """Nothing there is overwritten, for nobody else may have it."""
    await fill(source, WRITTEN[:3])
    mirror(source, copy)
    await fill(copy, [b"mine" * 100])
    before = files(copy)
    await fill(source, WRITTEN[:9])
    with pytest.raises(DamagedStore, match="is not a copy of"):
        mirror(source, copy)
    assert files(copy) == before


@pytest.mark.parametrize("left", [bytes(5000), b"9clp" * 100, b"?"])
async def test_what_a_crash_left_at_the_end_of_the_copy_is_written_over(source: Path, copy: Path, left: bytes) -> None:
    """The disk kept the size of the file, and not what was in it."""
    await fill(source, WRITTEN[:3])
    mirror(source, copy)
    path = arena_path(copy / "arenas", 0)
    size = path.stat().st_size
    for cut in (size, size - 100, 100, 30, 0):
        path.write_bytes(files(source)[path.name][:cut] + left)
        mirror(source, copy)
        assert files(copy) == files(source)
    await fill(source, WRITTEN[:9])
    path.write_bytes(files(source)[path.name][: size - 100] + left)
    mirror(source, copy)
    assert files(copy) == files(source)


async def test_another_store(source: Path, copy: Path) -> None:
    await fill(source, WRITTEN)
    await fill(copy, blocks(70, seed=7))
    before = files(copy)
    with pytest.raises(DamagedStore, match=r"not a copy|no copy"):
        mirror(source, copy)
    assert files(copy) == before


async def test_an_empty_arena_that_the_copy_began_is_no_obstacle(source: Path, copy: Path) -> None:
    await fill(source, WRITTEN)
    mirror(source, copy)
    last = max(files(copy))
    (copy / "arenas" / last).chmod(0o600)
    (copy / "arenas" / last).write_bytes((source / "arenas" / last).read_bytes()[: START - 1] + b"!")
    mirror(source, copy)
    assert files(copy) == files(source)


async def test_damage_in_the_copy_is_found_when_asked_for(source: Path, copy: Path) -> None:
    places = await fill(source, WRITTEN)
    mirror(source, copy)
    harm(copy, places[3])
    assert mirror(source, copy) == 0
    with pytest.raises(DamagedStore, match="move it away and mirror again"):
        mirror(source, copy, check=True)
    arena_path(copy / "arenas", 0).unlink()
    mirror(source, copy, check=True)
    assert files(copy) == files(source)


async def test_damage_in_the_original_is_told(source: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = await fill(source, WRITTEN)
    harm(source, places[3])
    assert await venti("mirror", source, copy) == 4
    assert "damaged: " in capsys.readouterr().out
    async with open_disk_store(copy, read_only=True) as store:
        for block in WRITTEN[:3] + WRITTEN[4:]:
            assert await store.read(Score.of(block), DATA, 8192) == block


async def test_export(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await fill(source, WRITTEN[:40])
    target = MemoryStore()
    async with serving(target) as address:
        assert await venti("export", "--store", source, "-h", address) == 0
        assert capsys.readouterr().out == f"40 blocks, {sum(map(len, WRITTEN[:40]))} bytes exported, 0 damaged\n"
        await fill(source, WRITTEN)
        assert await venti("mirror", "--json", source, address) == 0
        assert json.loads(capsys.readouterr().out)["blocks"] == 20
        assert await venti("export", "--json", "--all", "--store", source, "-h", address) == 0
        assert json.loads(capsys.readouterr().out)["blocks"] == 60
    assert len(target) == 60


async def test_export_goes_on_where_it_was_interrupted(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("venti.cli.sending.STEP", 5000)
    monkeypatch.setattr("venti.cli.sending.SYNC", 5000)
    await fill(source, WRITTEN)

    class Full(MemoryStore):
        most = 30

        def write_nowait(self, type: BlockType, data: Buffer) -> Score:
            if len(self) == self.most:
                raise StoreFull
            return super().write_nowait(type, data)

    target = Full()
    async with serving(target) as address:
        assert await venti("export", "--store", source, "-h", address) == 1
        assert capsys.readouterr().err == "venti: no space left in arenas\n"
        target.most = 1000
        assert await venti("export", "--json", "--store", source, "-h", address) == 0
        assert json.loads(capsys.readouterr().out)["blocks"] < 40


async def test_export_leaves_out_what_is_damaged(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = await fill(source, WRITTEN)
    harm(source, places[3])
    target = MemoryStore()
    async with serving(target) as address:
        assert await venti("export", "--store", source, "-h", address) == 4
    assert f"damaged, not exported: arena 0 offset {places[3].offset}: " in capsys.readouterr().out
    assert len(target) == 59


@pytest.mark.expects_errors
async def test_repair_of_a_tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A running server lacks one block of an archive and has another one damaged; both come from a second one."""
    rows = {row["name"]: Score.parse(row["vac"].removeprefix("vac:")) for row in recorded_archives.archives()}
    there = recorded_archives.store()
    lost, hurt = next(kept for kept in zip(*[iter(list(there._blocks))] * 2, strict=False) if kept[0][1] == 13)[:2]
    async with open_disk_store(tmp_path / "store") as store:
        for (score, kind), data in there._blocks.items():
            if (score, kind) != lost:
                await store.write(BlockType.from_wire(kind), data)
        place = store.locate(hurt[0], BlockType.from_wire(hurt[1]))
    assert place is not None
    harm(tmp_path / "store", place)
    async with open_disk_store(tmp_path / "store") as store, serving(store) as here, serving(there) as other:
        repaired = 0
        for name in rows:
            code = await venti("repair", "--from", other, "-h", here, "--json", rows[name])
            found = json.loads(capsys.readouterr().out)
            assert code == 0
            assert found["faults"] == []
            repaired += found["repaired"]
        assert 1 <= repaired <= 2
        for name in rows:
            assert await venti("check", "-h", here, rows[name]) == 0


async def test_bad_input(source: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await fill(source, WRITTEN[:1])
    async with serving(await memory([])) as address:
        cases = [
            (["mirror", address, copy], 2, "nobody can ask a server"),
            (["mirror", source, source], 2, "one directory"),
            (["mirror", copy / "absent", copy], 5, "no such directory"),
            (["mirror", source, "/etc"], 5, "/etc holds other files ("),
            (["mirror", source, "tcp!127.0.0.1!1"], 3, "tcp!127.0.0.1!1"),
            (["export", "--store", source, "-h", "tcp!127.0.0.1!1"], 3, "tcp!127.0.0.1!1"),
            (["export", "--store", copy / "absent", "-h", address], 5, "no such directory"),
        ]
        for words, code, text in cases:
            assert await venti(*words) == code, words
            err = capsys.readouterr().err
            assert text in err
            assert err.count("\n") == 1
        async with open_disk_store(copy):
            assert await venti("mirror", source, copy) == 1
            assert "in use by" in capsys.readouterr().err


async def test_a_copy_that_is_being_served_is_left_alone(
    source: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(source, WRITTEN[:5])
    assert await venti("mirror", source, copy) == 0
    async with open_disk_store(copy, read_only=True):
        assert await venti("mirror", source, copy) == 1
    assert "in use by" in capsys.readouterr().err


async def test_what_a_loss_of_power_may_take_is_exported_again(source: Path) -> None:
    """The log goes on in another way where it was cut, and nothing of that is passed over."""
    target = MemoryStore()
    async with serving(target) as address:
        async with open_disk_store(source) as store:
            for block in WRITTEN[:10]:
                await store.write(DATA, block)
            await store.sync()
            kept = store.log.flushed
            shutil.copytree(source, source.with_name("kept"))
            for block in WRITTEN[10:20]:
                await store.write(DATA, block)
            assert await venti("export", "--store", source, "-h", address) == 0
            assert Places(source / "exports").get(address) == kept
        shutil.copy(source / "exports", source.with_name("kept"))
        async with open_disk_store(source.with_name("kept")) as store:
            for block in WRITTEN[20:40]:
                await store.write(DATA, block)
        assert await venti("export", "--store", source.with_name("kept"), "-h", address) == 0
    for block in WRITTEN[:40]:
        assert await target.read(Score.of(block), DATA, 9999) == block


async def test_what_a_source_in_use_has_not_synced_is_not_copied(source: Path, copy: Path, tmp_path: Path) -> None:
    """After its loss of power it goes on with other blocks, and the copy is still one of it."""
    async with open_disk_store(source) as store:
        for block in WRITTEN[:10]:
            await store.write(DATA, block)
        mirror(source, copy)
        assert len(files(copy)["00000000.arena"]) == START
        await store.sync()
        safe = files(source)
        for block in WRITTEN[10:20]:
            await store.write(DATA, block)
        mirror(source, copy)
        assert files(copy) == safe
        shutil.copytree(source, tmp_path / "after")
    (tmp_path / "after/arenas/00000000.arena").write_bytes(safe["00000000.arena"])
    await fill(tmp_path / "after", WRITTEN[30:])
    mirror(tmp_path / "after", copy)
    assert files(copy) == files(tmp_path / "after")


async def test_what_nobody_has_open_is_synced_and_copied(
    source: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed server has left it to the system, which may not have it on the disk."""
    await fill(source, WRITTEN[:10])
    (source / "synced").unlink()
    synced = []
    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), fdatasync(fd)))
    mirror(source, copy)
    assert files(copy) == files(source)
    assert synced[0] == str(source / "arenas/00000000.arena")


async def test_an_export_is_noted_up_to_what_is_durable(source: Path) -> None:
    """What a loss of power takes away comes again, with other blocks in its place."""
    end = Position(5, START)
    async with open_disk_store(source) as store:
        await store.write(DATA, WRITTEN[0])
        assert at_most(source, end) == (0, START)
        await store.sync()
        assert at_most(source, end) == end
        reached = store.log.flushed
        await store.write(DATA, WRITTEN[1])
        assert at_most(source, end) == reached
        assert at_most(source, Position(0, START)) == (0, START)
    assert at_most(source, end) == end


async def test_a_copy_of_which_only_the_end_came_to_the_disk(source: Path, copy: Path) -> None:
    """A loss of power in the middle: neither a footer nor the last bytes say that what was before is there."""
    await fill(source, WRITTEN)
    mirror(source, copy)
    whole = files(copy)
    for number in (0, len(whole) - 1):
        path = arena_path(copy / "arenas", number)
        path.chmod(0o600)
        data = path.read_bytes()
        path.write_bytes(bytes(512) + data[512:1024] + bytes(len(data) // 2) + data[1024 + len(data) // 2 :])
    mirror(source, copy)
    assert files(copy) == whole


async def test_rot_of_the_original_is_not_copied_over_a_sound_block(source: Path, copy: Path) -> None:
    places = await fill(source, WRITTEN[:10], arena_size=1 << 30)
    mirror(source, copy)
    whole = files(copy)
    harm(source, places[3])
    await fill(source, WRITTEN[:12], arena_size=1 << 30)
    mirror(source, copy)
    assert files(copy)["00000000.arena"].startswith(whole["00000000.arena"])
    assert len(files(copy)["00000000.arena"]) > len(whole["00000000.arena"])
