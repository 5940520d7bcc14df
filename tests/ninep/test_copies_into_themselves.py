"""A tree that is copied into itself: all but the copy is copied, and that is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ninep.copy.get import Get
from ninep.copy.mark import IntoItself
from ninep.copy.put import Put
from ninep.copy.transfer import Incomplete
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from programs.opened_export import exported

DIALECTS = pytest.mark.parametrize("version", [m.VERSION, lm.VERSION])


def filled(folder: Path) -> list[str]:
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/file").write_text("text")
    (folder / "file").write_text("text")
    return below(folder)


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@DIALECTS
@pytest.mark.parametrize("place", ["copy", "a/copy", "a/b/inner/copy"])
async def test_get_into_what_is_served(version: str, place: str, tmp_path: Path) -> None:
    before = filled(tmp_path)
    async with exported(tmp_path, version) as tree:
        get = Get(tree)
        with pytest.raises(Incomplete):
            await get.get("", tmp_path / place, recursive=True)
    assert get.failures == 1
    assert [name for name in below(tmp_path / place) if name in before] == before
    assert not any("copy" in name or name.endswith("part") for name in below(tmp_path / place))


@DIALECTS
@pytest.mark.parametrize("place", ["copy", "a/copy"])
async def test_put_into_what_is_served(version: str, place: str, tmp_path: Path) -> None:
    before = filled(tmp_path)
    async with exported(tmp_path, version) as tree:
        put = Put(tree)
        with pytest.raises(Incomplete):
            await put.put(tmp_path, place, recursive=True)
    assert put.failures == 1
    assert below(tmp_path / place) == before
    assert not any(name.endswith("part") for name in below(tmp_path))


@DIALECTS
async def test_a_directory_onto_itself(version: str, tmp_path: Path) -> None:
    before = filled(tmp_path)
    os.utime(tmp_path, (1000, 1000))
    async with exported(tmp_path, version) as tree:
        with pytest.raises(IntoItself):
            await Get(tree).get("", tmp_path, recursive=True)
        with pytest.raises(IntoItself):
            await Put(tree).put(tmp_path, "", recursive=True)
        with pytest.raises(IntoItself):
            await Put(tree).put(tmp_path / "a", "a", recursive=True)
    assert below(tmp_path) == before


@DIALECTS
async def test_no_mark_stays_and_times_are_those_of_the_source(version: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    before = filled(tmp_path / "here")
    os.utime(tmp_path / "here", (1000, 1000))
    async with exported(tmp_path / "there", version) as tree:
        await Put(tree).put(tmp_path / "here", "copy", recursive=True)
        await Get(tree).get("copy", tmp_path / "back", recursive=True)
    for copy in (tmp_path / "there/copy", tmp_path / "back"):
        assert below(copy) == before
        assert copy.stat().st_mtime == 1000
