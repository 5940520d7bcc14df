"""The index held against the arenas, by ``verify``: whatever it gets wrong is told, whatever the store goes through."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as some

from fakes.damaged_store import DATA, blocks, fill, harm
from programs.processes import Program, free_port, run, running
from programs.venti_program import venti
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.log.arena import arena_path
from venti.log.index import Place, pack_place
from venti.stores.remote import connect
from venti.upkeep.verification import Verification

WRITTEN = blocks(60)
SCORES = [Score.of(block) for block in WRITTEN]


def key(number: int, type: BlockType = DATA) -> bytes:
    return SCORES[number] + bytes((type.wire,))


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Changes the index behind the back of the store; ``change`` gets the transaction."""
    environment = lmdb.open(str(path / "index"))
    with environment.begin(write=True) as transaction:
        change(transaction)
    environment.close()


def differences(path: Path) -> list[str]:
    """What a look through the whole store says about its index."""
    with Verification(path) as look:
        while not look.step(5000):
            pass
    assert look.trouble == ""
    assert look.differing == len(look.differences)
    return [str(found) for found in look.differences]


async def test_an_index_that_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await fill(tmp_path, WRITTEN)
    assert await venti("verify", "--store", tmp_path) == 0
    assert capsys.readouterr().out.startswith("index: 60 entries: 0 differences\n6 arenas, 60 blocks, ")
    assert await venti("verify", "--store", tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["index"] == {
        "entries": 60,
        "differing": 0,
        "differences": [],
        "damaged": False,
        "trouble": "",
    }


CHANGES: dict[str, tuple[Callable[[Any, list[Place]], object], str]] = {
    "an entry is missing": (
        lambda index, places: index.delete(key(7)),
        f"block {SCORES[7]}/0: arena {{7}} has it, and the index does not know it",
    ),
    "an entry too many": (
        lambda index, places: index.put(bytes(20) + b"\r", pack_place(*places[7])),
        f"block {bytes(20).hex()}/0: the index leads to arena {{7}}, where it is not",
    ),
    "an entry of another type": (
        lambda index, places: index.put(key(7, BlockType.DIR), pack_place(*places[7])),
        f"block {SCORES[7]}/8: the index leads to arena {{7}}, where it is not",
    ),
    "an entry that leads to another block": (
        lambda index, places: index.put(key(7), pack_place(*places[9])),
        f"block {SCORES[7]}/0: the index leads to arena {{9}}, where it is not",
    ),
    "an entry that leads to the middle of a block": (
        lambda index, places: index.put(key(7), pack_place(*places[7]._replace(offset=places[7].offset + 8))),
        "where it is not",
    ),
    "an entry behind the end": (
        lambda index, places: index.put(key(7), pack_place(*places[7]._replace(offset=1 << 40))),
        "where it is not",
    ),
    "an arena that never was": (
        lambda index, places: index.put(key(7), pack_place(*places[7]._replace(arena=4000))),
        f"block {SCORES[7]}/0: the index leads to arena 4000",
    ),
    "a wrong size": (
        lambda index, places: index.put(key(7), pack_place(*places[7]._replace(size=1))),
        f"block {SCORES[7]}/0: at arena {{7}} its size or digest is another one",
    ),
    "a wrong digest": (
        lambda index, places: index.put(key(7), pack_place(*places[7]._replace(check=bytes(16)))),
        f"block {SCORES[7]}/0: at arena {{7}} its size or digest is another one",
    ),
    "nonsense": (lambda index, places: index.put(b"nonsense", b"x"), "its entry is malformed"),
    "half an entry": (lambda index, places: index.put(key(7), b"x"), "its entry is malformed"),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_every_difference_is_told(tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    places = await fill(tmp_path, WRITTEN)
    change, wanted = CHANGES[what]
    edit(tmp_path, lambda index: change(index, places))
    assert await venti("verify", "--store", tmp_path) == 4
    out = capsys.readouterr().out
    for number in (7, 9):
        wanted = wanted.replace(f"{{{number}}}", f"{places[number].arena} offset {places[number].offset}")
    assert f"index: {wanted}" in out or out.split("\n")[0].endswith(wanted), out
    assert " bytes: 0 damaged\n" in out
    assert out.endswith("to have the index made anew, with no server running: venti rebuild-index\n")
    assert await venti("rebuild-index", "--store", tmp_path) == 0
    assert await venti("verify", "--store", tmp_path) == 0


def found(path: Path) -> dict[Score, str]:
    """What a look through the whole store says of which block; nothing else may be wrong."""
    faults = []
    with Verification(path) as look:
        while not look.step(5000):
            pass
        faults = look.faults
    assert (look.trouble, look.differing) == ("", 0)
    return {fault.score: fault.detail for fault in faults if fault.score is not None}


@pytest.mark.parametrize("numbers", [[3], [3, 4, 5], [11], [10, 11], [0, 11]])
async def test_the_index_knows_what_a_damaged_header_hides(tmp_path: Path, numbers: list[int]) -> None:
    """In an arena without a footer, up to its last block."""
    places = await fill(tmp_path, WRITTEN[:12], arena_size=1 << 30)
    for number in numbers:
        harm(tmp_path, places[number], header=True)
    assert found(tmp_path) == {SCORES[number]: "its header is damaged" for number in numbers}


@pytest.mark.parametrize("arena", [1, -1])
async def test_an_arena_that_lost_its_end(tmp_path: Path, arena: int) -> None:
    """One that was sealed, and the one in use; each block that was there is named."""
    places = await fill(tmp_path, WRITTEN)
    arena = arena if arena > 0 else places[-1].arena
    path = arena_path(tmp_path / "arenas", arena)
    mode = path.stat().st_mode
    path.chmod(0o600)
    size = 3000
    with path.open("r+b") as file:
        file.truncate(size)
    path.chmod(mode)
    lost = {
        score
        for score, place in zip(SCORES, places, strict=True)
        if place.arena == arena and place.offset + 80 + place.stored > size
    }
    assert lost
    assert found(tmp_path).keys() == lost


async def test_an_arena_that_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = await fill(tmp_path, WRITTEN)
    arena_path(tmp_path / "arenas", 1).unlink()
    lost = {SCORES[number]: "its arena is missing" for number, place in enumerate(places) if place.arena == 1}
    assert found(tmp_path) == lost
    assert await venti("verify", "--store", tmp_path) == 4
    assert "00000001.arena is missing: put it back from a copy" in capsys.readouterr().out


async def test_an_index_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await fill(tmp_path, WRITTEN)
    file = tmp_path / "index" / "data.mdb"
    whole = file.read_bytes()
    pages = bytearray(whole)
    for at in range(3 * 4096, len(pages), 4096):
        pages[at : at + 16] = bytes(16)
    for content in (b"garbage" * 10_000, whole[:9000], b"", bytes(pages)):
        file.write_bytes(content)
        assert await venti("verify", "--store", tmp_path) == 4
        out = capsys.readouterr().out
        assert " 60 blocks, " in out
        assert "the index is damaged: " in out
        assert "rebuild-index" in out
    shutil.rmtree(tmp_path / "index")
    assert await venti("verify", "--store", tmp_path) == 0
    assert "the index was not compared: there is none" in capsys.readouterr().out


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Place]]:
    """A store, and where its blocks are."""
    path = tmp_path_factory.mktemp("sound")
    return path, trio.run(fill, path, WRITTEN)


@settings(max_examples=20)
@given(some.lists(some.tuples(some.integers(0, 59), some.integers(0, 35), some.integers(1, 255)), min_size=1))
def test_any_flipped_byte_of_an_entry_is_told(sound: tuple[Path, list[Place]], flips: list[Any]) -> None:
    path, places = sound
    wrong = {number: bytearray(pack_place(*places[number])) for number, _, _ in flips}
    for number, at, mask in flips:
        wrong[number][at] ^= mask
    edit(path, lambda index: [index.put(key(number), bytes(value)) for number, value in wrong.items()])
    harmed = {str(SCORES[number]) for number, value in wrong.items() if value != pack_place(*places[number])}
    try:
        assert {text.split()[1].removesuffix("/0:") for text in differences(path)} == harmed
    finally:
        edit(path, lambda index: [index.put(key(number), pack_place(*places[number])) for number in wrong])


@pytest.mark.process
def test_beside_a_server_that_writes(tmp_path: Path) -> None:
    """What it writes meanwhile is no difference."""
    port = free_port()
    address = f"tcp!127.0.0.1!{port}"
    words = ["venti", "serve", "--scrub", "0", "--store", str(tmp_path / "store"), address]
    more = blocks(3000, seed=1)
    with running(Program(port, *words, log=tmp_path / "log")):
        trio.run(write, address, WRITTEN)
        told = json.loads(run("venti", "verify", "--json", "--store", str(tmp_path / "store")))
        assert (told["blocks"], told["index"]["trouble"], told["index"]["differing"]) == (60, "", 0)
        trio.run(write_beside, address, more, tmp_path / "store")
    assert differences(tmp_path / "store") == []


async def write(address: str, written: list[bytes]) -> None:
    async with connect(address) as client:
        for block in written:
            await client.write(DATA, block)


async def write_beside(address: str, written: list[bytes], path: Path) -> None:
    """Writes while the store is looked through, again and again."""
    done = False

    async def verify() -> None:
        while not done:
            assert await trio.to_thread.run_sync(differences, path) == []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(verify)
        await write(address, written)
        done = True
