"""Directories that are long, or have no end: a copy looks at some entries at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from ninep.client.remote import RemoteFile
from ninep.copy.get import Get
from ninep.copy.remove import Remove
from ninep.copy.transfer import PIECE
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from programs.opened_export import exported


@pytest.mark.parametrize("version", [m.VERSION, lm.VERSION])
@pytest.mark.parametrize("count", [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 3])
async def test_all_of_a_long_directory_comes(version: str, count: int, tmp_path: Path) -> None:
    (tmp_path / "there/long").mkdir(parents=True)
    for number in range(count):
        (tmp_path / f"there/long/{number}").write_text(str(number))
    async with exported(tmp_path / "there", version) as tree:
        await Get(tree).get("", tmp_path / "here", recursive=True)
    assert sorted(os.listdir(tmp_path / "here/long"), key=int) == [str(number) for number in range(count)]


@pytest.mark.parametrize("version", [m.VERSION, lm.VERSION])
@pytest.mark.parametrize("count", [PIECE - 1, PIECE, 2 * PIECE + 3])
async def test_all_of_a_long_directory_is_removed(version: str, count: int, tmp_path: Path) -> None:
    (tmp_path / "there/long/inner").mkdir(parents=True)
    for number in range(count):
        (tmp_path / f"there/long/{number}").touch()
    (tmp_path / "there/long/inner/file").touch()
    async with exported(tmp_path / "there", version) as tree:
        await Remove(tree).remove("long")
    assert os.listdir(tmp_path / "there") == []


async def test_a_server_that_passes_over_entries_while_others_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose offsets count what is there at the moment."""
    (tmp_path / "there/long").mkdir(parents=True)
    for number in range(2 * PIECE):
        (tmp_path / f"there/long/{number}").touch()
    real = RemoteFile.scan
    passed = 0

    async def hasty(self: RemoteFile):  # type: ignore[no-untyped-def] # an async generator of entries
        nonlocal passed
        count = 0
        async for entry in real(self):
            count += 1
            if PIECE < count <= PIECE + 100:
                passed += 1
            else:
                yield entry

    monkeypatch.setattr(RemoteFile, "scan", hasty)
    async with exported(tmp_path / "there") as tree:
        await Remove(tree).remove("long")
    assert passed
    assert os.listdir(tmp_path / "there") == []


async def test_a_directory_without_an_end_is_removed_a_piece_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there/long").mkdir(parents=True)
    (tmp_path / "there/long/file").touch()
    real = RemoteFile.scan
    told = done = most = 0

    async def endless(self: RemoteFile):  # type: ignore[no-untyped-def] # an async generator of entries
        nonlocal told
        (entry,) = [entry async for entry in real(self)]
        while True:
            told += 1
            yield entry
            if not told % 100:
                await trio.lowlevel.checkpoint()

    async def removed(self: Remove, *_: object) -> None:
        nonlocal done, most
        await trio.lowlevel.checkpoint()
        done += 1
        most = max(most, told - done)
        if done == 5 * PIECE:
            raise InterruptedError

    monkeypatch.setattr(RemoteFile, "scan", endless)
    monkeypatch.setattr(Remove, "_file", removed)
    monkeypatch.setattr(Remove, "failed", lambda self, branch, path, error: (_ for _ in ()).throw(error))
    async with exported(tmp_path / "there") as tree:
        with pytest.raises(InterruptedError):
            await Remove(tree).remove("long")
    assert most <= 2 * PIECE


async def test_a_directory_without_an_end_is_never_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").write_text("x")
    real = RemoteFile.scan
    told = done = most = 0

    async def endless(self: RemoteFile):  # type: ignore[no-untyped-def] # an async generator of entries
        nonlocal told
        (entry,) = [entry async for entry in real(self)]
        while True:
            told += 1
            yield entry
            if not told % 100:
                await trio.lowlevel.checkpoint()

    async def copied(self: Get, *_: object) -> None:
        nonlocal done, most
        await trio.lowlevel.checkpoint()
        done += 1
        most = max(most, told - done)
        if done == 5 * PIECE:
            raise InterruptedError

    monkeypatch.setattr(RemoteFile, "scan", endless)
    monkeypatch.setattr(Get, "_file", copied)
    monkeypatch.setattr(Get, "failed", lambda self, branch, path, error: (_ for _ in ()).throw(error))
    async with exported(tmp_path / "there") as tree:
        with pytest.raises(InterruptedError):
            await Get(tree).get("", tmp_path / "here", recursive=True)
    assert most <= 2 * PIECE
