"""A disk that has no byte left: files can be removed, also from a file system that was closed when it filled up."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from contracts.served_file import OWNER
from fossil.live.filesystem import ROOT
from fossil.server.service import Fossil, open_fossil

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a disk of its own")
SIZE = 24 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> None:
    """Another program takes all there is."""
    with (disk / "junk").open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def names(fossil: Fossil) -> list[str]:
    return sorted(set(fossil.system.children(fossil.system.node(ROOT))) - {"adm"})


def remove(fossil: Fossil, name: str) -> None:
    system = fossil.system
    node = system.child(system.node(ROOT), name)
    assert node is not None
    system.prepare()
    system.remove(node, OWNER)
    system.record()


@pytest.mark.expects_errors
@pytest.mark.parametrize("closed", [False, True])
async def test_removing_works(disk: Path, closed: bool) -> None:
    """As many files as the room that is kept is good for; what they had makes room for more."""
    folder = disk / "data"
    async with open_fossil(folder, owner=OWNER) as fossil:
        system = fossil.system
        for number in range(50):
            node = system.create(system.node(ROOT), f"{number:02}", 0o644, OWNER, OWNER)
            system.write(node, 0, bytes([number]) * 10_000, OWNER)
            system.record()
        await fossil.settle()
        if not closed:
            fill(disk)
            for name in names(fossil)[:20]:
                remove(fossil, name)
                fill(disk)
            assert len(names(fossil)) == 30
    if closed:
        fill(disk)
    async with open_fossil(folder, owner=OWNER) as fossil:
        for name in names(fossil)[:20]:
            remove(fossil, name)
        left = names(fossil)
        assert len(left) == (30 if closed else 10)
        (disk / "junk").unlink()
        await fossil.settle()
    async with open_fossil(folder, owner=OWNER) as fossil:
        assert names(fossil) == left
        assert (folder / "spare").stat().st_blocks


async def test_what_cannot_be_opened_for_want_of_room_is_not_damaged(disk: Path) -> None:
    folder = disk / "data"
    async with open_fossil(folder, owner=OWNER):
        pass
    (folder / "spare").unlink(missing_ok=True)
    fill(disk)
    with pytest.raises(OSError, match="make room") as refused:
        async with open_fossil(folder, owner=OWNER):
            pass
    assert refused.value.errno == errno.ENOSPC
    (disk / "junk").unlink()
    async with open_fossil(folder, owner=OWNER) as fossil:
        assert not names(fossil)
