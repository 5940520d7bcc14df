"""Blocks that were written a short while ago are known by their BLAKE3; what is no longer true is forgotten."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from venti.blocks.blocktype import BlockType
from venti.blocks.errors import DamagedBlock, StoreFull
from venti.blocks.score import Score
from venti.log.opening import open_disk_store
from venti.log.seen import Seen

DATA, DIR = BlockType.DATA, BlockType.DIR


def score(number: int) -> Score:
    return Score.of(b"%d" % number)


def test_two_generations_are_kept() -> None:
    seen = Seen(10)
    for number in range(10):
        seen.add(b"%d" % number, score(number))
    assert seen.get(b"0") == score(0)
    assert seen.get(b"10") is None
    for number in range(10, 20):
        assert seen.get(b"3") == score(3), "what is asked for stays"
        seen.add(b"%d" % number, score(number))
    assert seen.get(b"3") == score(3)
    for number in range(20, 25):
        seen.add(b"%d" % number, score(number))
    assert seen.get(b"0") is None
    seen.clear()
    assert seen.get(b"24") is None


async def test_the_hash_of_a_block_that_comes_again_is_not_computed(tmp_path: Path) -> None:
    hashed: list[bytes] = []

    def score_of(data: object) -> Score:
        hashed.append(bytes(data))
        return Score(hashlib.sha1(hashed[-1]).digest())

    async with open_disk_store(tmp_path, score_of=score_of) as store:
        scores = {await store.write(kind, data) for kind in (DATA, DIR) for data in (b"one", b"two", b"one")}
        assert scores == {Score.of(b"one"), Score.of(b"two")}
        assert hashed == [b"one", b"two"] * 2
        for kind in (DATA, DIR):
            assert await store.read(Score.of(b"one"), kind, 10) == b"one"


async def test_a_block_that_found_no_room_was_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwritev(descriptor: int, pieces: Sequence[bytes], offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with open_disk_store(tmp_path) as store:
        with monkeypatch.context() as full:
            full.setattr(os, "pwritev", pwritev)
            with pytest.raises(StoreFull):
                await store.write(DATA, b"again")
        store._space.full = False
        await store.write(DATA, b"again")
        assert await store.read(Score.of(b"again"), DATA, 10) == b"again"


@pytest.mark.expects_errors
async def test_a_block_found_damaged_is_stored_anew_although_it_was_seen(tmp_path: Path) -> None:
    async with open_disk_store(tmp_path) as store:
        block = b"to be hurt" * 10
        written = await store.write(DATA, block)
        path = tmp_path / "arenas" / "00000000.arena"
        path.write_bytes(path.read_bytes().replace(b"to be hurt", b"is damaged"))
        with pytest.raises(DamagedBlock):
            await store.read(written, DATA, 1000)
        assert await store.write(DATA, block) == written
        assert await store.read(written, DATA, 1000) == block
