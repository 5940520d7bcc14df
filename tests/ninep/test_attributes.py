"""What Unix knows of a file, and what 9P knows: the same both ways."""

from __future__ import annotations

import stat as unix

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ninep.protocol import stat as st
from ninep.protocol.attributes import (
    SECOND,
    attributes_of,
    device,
    device_extension,
    device_numbers,
    plan9_mode,
    unix_mode,
)
from ninep.protocol.ids import Ids
from ninep.protocol.qid import Qid
from ninep.protocol.stat import LATEST, Stat, changed_at, seconds, timed


@pytest.mark.parametrize(
    ("ours", "theirs", "extension"),
    [
        (0o644, unix.S_IFREG | 0o644, ""),
        (st.DMDIR | 0o755, unix.S_IFDIR | 0o755, ""),
        (st.DMSYMLINK | 0o777, unix.S_IFLNK | 0o777, "target"),
        (st.DMNAMEDPIPE | 0o600, unix.S_IFIFO | 0o600, ""),
        (st.DMSOCKET | 0o755, unix.S_IFSOCK | 0o755, ""),
        (st.DMDEVICE | 0o660, unix.S_IFBLK | 0o660, "b 8 1"),
        (st.DMDEVICE | 0o666, unix.S_IFCHR | 0o666, "c 1 3"),
        (st.DMSETUID | st.DMSETGID | 0o755, unix.S_IFREG | 0o6755, ""),
        (st.DMDIR | st.DMSETVTX | 0o777, unix.S_IFDIR | 0o1777, ""),
    ],
)
def test_modes(ours: int, theirs: int, extension: str) -> None:
    assert unix_mode(ours, extension) == theirs
    assert plan9_mode(theirs) == ours


@given(some.integers(0, 4095), some.integers(0, 0xFFFFF))
def test_device_numbers(major: int, minor: int) -> None:
    rdev = device(major, minor)
    assert rdev < 1 << 32
    assert device_numbers(rdev) == (major, minor)
    assert device_extension(unix.S_IFCHR, rdev) == f"c {major} {minor}"


def test_from_a_directory_entry() -> None:
    ids = Ids({"glenda": 1000}, {"sys": 3})
    stat = Stat(0, 0, Qid(0, 7, 42), 0o640, 100, 200, 1025, "name", "glenda", "sys", "glenda")
    found = attributes_of(stat, ids)
    assert found.mode == unix.S_IFREG | 0o640
    assert (found.uid, found.gid, found.size, found.blocks) == (1000, 3, 1025, 3)
    assert (found.atime, found.mtime, found.ctime) == (100 * SECOND, 200 * SECOND, 200 * SECOND)
    assert attributes_of(stat._replace(n_uid=5, n_gid=6), ids)[2:4] == (5, 6)
    tty = attributes_of(stat._replace(mode=st.DMDEVICE | 0o666, extension="c 5 0"), ids)
    assert (tty.mode, tty.rdev) == (unix.S_IFCHR | 0o666, device(5, 0))
    assert attributes_of(stat._replace(mode=st.DMDEVICE, extension="rubbish"), ids).rdev == 0
    assert attributes_of(stat._replace(extension="HARDLINKCOUNT 3"), ids).nlink == 3
    assert attributes_of(stat._replace(extension="HARDLINKCOUNT x"), ids).nlink == 1
    assert attributes_of(stat._replace(extension="HARDLINKCOUNT 3", mode=st.DMSYMLINK), ids).nlink == 1


@pytest.mark.parametrize(
    ("time", "shown"), [(-1, 0), (0, 0), (5 * SECOND - 1, 4), ((1 << 32) * SECOND, LATEST), (1 << 80, LATEST)]
)
def test_times_that_an_entry_cannot_tell(time: int, shown: int) -> None:
    """The nearest that it can: all ones would mean "don't touch"."""
    assert seconds(time) == shown
    entry = timed(Stat(name="file"), time)
    assert entry.mtime == shown
    assert changed_at(entry) == time
    assert changed_at(entry._replace(name="other")) == time
    assert changed_at(entry._replace(mtime=7)) == 7 * SECOND
    assert changed_at(Stat(mtime=7)) == 7 * SECOND
