"""The data log: small pieces go to the operating system together, and nothing is answered before they are there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from fossil.data import datalog
from fossil.data.datalog import AHEAD, BLOCK, SMALL, DataLog
from fossil.data.disk import DiskFile
from fossil.errors import DamagedData
from ninep.protocol import messages as m
from ninep.wire.dialect import Buffer
from programs.opened_fossil import Opened, client


class Counted(DiskFile):
    """Notes what is written, and fails where it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.writes: list[tuple[int, int]] = []
        self.room: int | None = None
        self.broken = False

    def write(self, data: Buffer, place: int) -> None:
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")
        self.writes.append((place, len(data)))
        super().write(data, place)

    def reserve(self, place: int, count: int) -> bool:
        if self.room is not None and place + count > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().reserve(place, count)


@pytest.fixture
def file(tmp_path: Path) -> Counted:
    return Counted(tmp_path / "data")


@pytest.fixture
def log(tmp_path: Path, file: Counted) -> Iterator[DataLog]:
    found = DataLog(tmp_path / "data", 0, file=file)
    yield found
    found.close()


def piece(number: int, size: int = 1000) -> bytes:
    return bytes((number,)) * size


def look(log: DataLog, place: int, data: bytes) -> bytes:
    return bytes(log.read_nowait(place, len(data), blake3(data).digest()))


def test_small_pieces_are_one_write(log: DataLog, file: Counted) -> None:
    places = [log.append(piece(number)) for number in range(20)]
    assert file.writes == []
    log.flush()
    log.flush()
    assert file.writes == [(0, 20_000)]
    assert [look(log, place, piece(number)) for number, place in enumerate(places)] == [piece(n) for n in range(20)]


def test_what_waits_can_be_read(log: DataLog, file: Counted) -> None:
    first = log.append(piece(1))
    log.flush()
    second = log.append(piece(2))
    assert look(log, first, piece(1)) == piece(1)
    assert file.writes == [(0, 1000)]
    assert look(log, second, piece(2)) == piece(2)
    assert file.writes == [(0, 1000), (1000, 1000)]


def test_long_pieces_do_not_wait_and_keep_the_order(log: DataLog, file: Counted) -> None:
    log.append(piece(1))
    log.append(piece(2, SMALL + 1))
    assert file.writes == [(0, 1000), (1000, SMALL + 1)]


def test_a_piece_of_its_own_blocks(log: DataLog, file: Counted) -> None:
    log.append(piece(1, 100))
    place = log.append(piece(2, BLOCK), whole=True)
    assert place == BLOCK
    log.flush()
    assert file.writes == [(0, 100), (BLOCK, BLOCK)]
    # What lies between was never in use: the block goes with its only piece.
    log.sync()
    before = file.used()
    log.free(0, 100)
    assert file.used() == before - BLOCK


def test_room_is_taken_before_anything_waits_and_given_back(log: DataLog, file: Counted) -> None:
    log.append(piece(1))
    assert file.used() >= AHEAD
    assert log.used() <= BLOCK
    log.flush()
    log.sync()
    log.trim()
    assert file.used() == BLOCK
    log.append(piece(2))
    assert file.used() >= AHEAD


def test_where_no_room_can_be_taken_nothing_waits(log: DataLog, file: Counted) -> None:
    file.room = 5000
    for number in range(3):
        log.append(piece(number))
    assert file.writes == [(0, 1000), (1000, 1000), (2000, 1000)]


def test_memory_is_bounded_however_small_pieces_are(log: DataLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datalog, "CACHE", 100 * datalog.BESIDE)
    for _ in range(300):
        log.remember(log.append(b"x"), b"x")
    assert sum(1 for _ in log.by_use()) == 300
    assert len(log._cache) < 100
    log.free_all([(place, 1) for place in range(300)])
    assert log._cached == 0


def test_a_failure_is_told_until_it_is_over(log: DataLog, file: Counted) -> None:
    first = log.append(piece(1))
    log.flush()
    second = log.append(piece(2))
    file.broken = True
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            log.flush()
    with pytest.raises(DamagedData):
        look(log, second, piece(2))
    assert look(log, first, piece(1)) == piece(1)
    file.broken = False
    assert look(log, second, piece(2)) == piece(2)


@pytest.mark.expects_errors
async def test_what_could_not_be_written_is_not_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more is changed then; reading goes on, and the next start has what was answered."""

    def pwrite(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            await raw.made("before", data=b"safe" * 1000)
            fid = await raw.create("file", data=b"answered")
            with monkeypatch.context() as patch:
                patch.setattr(os, "pwrite", pwrite)
                assert await raw.refused(m.Twrite(fid, 8, b"not answered")) == "i/o error"
            assert opened.system.stopped is not None
            assert await raw.content("before") == b"safe" * 1000
            assert await raw.refused(m.Twrite(fid, 8, b"neither")) == "i/o error"
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            assert await raw.content("before") == b"safe" * 1000
            assert await raw.content("file") == b"answered"
