"""Qid paths of exported files: one each, over all file systems that are mounted in the tree, and after a restart."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from contracts.walked_tree import all_of, check_unique
from fakes.ninep_client import connected
from ninep.export.accounts import Accounts
from ninep.export.filenumber import file_number
from ninep.export.tree import ExportTree

HOME = os.makedev(8, 1)
DEVICES = some.builds(os.makedev, some.integers(0, 4095), some.integers(0, (1 << 20) - 1)).filter(HOME.__ne__)
INODES = some.one_of(some.integers(1, 1 << 40), some.integers(1, (1 << 64) - 1))


@given(DEVICES, INODES, DEVICES, INODES, some.integers(0, 300))
def test_no_two_files_have_one(device: int, inode: int, other: int, different: int, reuse: int) -> None:
    at_home = file_number(HOME, inode, 0, home=True)
    elsewhere = file_number(device, inode, 0, home=False)
    assert at_home != elsewhere
    assert (elsewhere == file_number(other, different, 0, home=False)) == ((device, inode) == (other, different))
    assert (elsewhere == file_number(device, inode, reuse, home=False)) == (not reuse)
    assert (at_home == file_number(HOME, inode, reuse, home=True)) == (not reuse)
    assert all(0 < path < 1 << 64 for path in (at_home, elsewhere))


@pytest.mark.parametrize("count", [1, 255, 256, 65536])
def test_inodes_that_differ_in_high_bits_only(count: int) -> None:
    """The second of them has the bits that once told file systems, or reuses, apart."""
    seen = {file_number(HOME, inode << shift | 17, 0, home=True) for shift in (48, 56, 62) for inode in (0, 1, 3)}
    assert len(seen) == len({inode << shift | 17 for shift in (48, 56, 62) for inode in (0, 1, 3)})
    assert file_number(HOME, count << 48 | 17, 0, home=True) == count << 48 | 17 or count > 1 << 14


def test_the_trees_own_file_system_has_its_inodes() -> None:
    assert file_number(HOME, 123456, 0, home=True) == 123456


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Path]:
    """A directory with two more file systems in it, whose inodes are the same."""
    points = [tmp_path / "one", tmp_path / "one" / "deeper", tmp_path / "two"]
    made = []
    try:
        for point in points:
            point.mkdir()
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", point], capture_output=True)
            if done.returncode:
                pytest.skip(f"nothing can be mounted here: {done.stderr.decode().strip()}")
            made.append(point)
            for name in ("a", "b", "dir/c"):
                (point / name).parent.mkdir(exist_ok=True)
                (point / name).write_text(f"{point} {name}")
        yield tmp_path
    finally:
        for point in reversed(made):
            subprocess.run(["umount", "-l", point], check=False)


async def test_across_file_systems(mounts: Path) -> None:
    assert os.stat(mounts / "one" / "a").st_ino == os.stat(mounts / "two" / "a").st_ino
    found = []
    for first in ("one", "two"):
        tree = ExportTree(mounts, accounts=Accounts(switch=False))
        try:
            async with connected(tree, "glenda") as raw:
                # In whichever order they are seen.
                seen = await all_of(raw, first)
                whole = await all_of(raw)
                assert seen.items() <= whole.items()
                check_unique(whole)
                assert len(whole) == 16
                found.append(whole)
        finally:
            tree.close()
    assert found[0] == found[1], "they are what they were, after a restart"
