"""Rights, modes and what a wstat may change, held against the rules of the manual written out another way."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ninep.protocol.errors import FileError, IllegalMode, WstatProhibited
from ninep.protocol.permissions import granted, inherited, legal, readable, settled, wanted, writable
from ninep.protocol.qid import Qid
from ninep.protocol.stat import DMAPPEND, DMDIR, DMEXCL, DMTMP, Stat

CURRENT = Stat(0, 0, Qid(0, 7, 42), 0o644, 1000, 2000, 10, "name", "uid", "gid", "muid")
DIRECTORY = CURRENT._replace(qid=Qid(0x80, 7, 42), mode=DMDIR | 0o755, length=0)


@pytest.mark.parametrize(("owner", "member"), list(itertools.product([False, True], repeat=2)))
def test_rights_add_up(owner: bool, member: bool) -> None:
    for mode in range(0o1000):
        text = f"{mode:09b}"
        classes = [text[6:]] + [text[3:6]] * member + [text[:3]] * owner
        expected = "".join("1" if "1" in column else "0" for column in zip(*classes, strict=True))
        for high in (0, DMDIR | DMAPPEND):
            assert granted(high | mode, owner=owner, member=member) == int(expected, 2), oct(mode)


@pytest.mark.parametrize(
    ("mode", "rights"),
    [
        (0x00, "r"),
        (0x01, "w"),
        (0x02, "rw"),
        (0x03, "x"),
        (0x10, "rw"),
        (0x11, "w"),
        (0x12, "rw"),
        (0x13, "wx"),
        (0x40, "r"),
        (0x51, "w"),
    ],
)
def test_rights_that_opening_needs(mode: int, rights: str) -> None:
    assert wanted(mode) == sum({"r": 4, "w": 2, "x": 1}[letter] for letter in rights)


@pytest.mark.parametrize(
    ("perm", "directory", "result"),
    [
        (0o666, 0o755, 0o644),
        (0o777, 0o700, 0o711),
        (0o777, 0o000, 0o111),
        (0o600, 0o777, 0o600),
        (0o755, DMDIR | 0o775, 0o755),
        (DMDIR | 0o777, DMDIR | 0o750, DMDIR | 0o750),
        (DMDIR | 0o777, DMDIR | 0o000, DMDIR),
        (DMAPPEND | DMEXCL | DMTMP | 0o666, 0o644, DMAPPEND | DMEXCL | DMTMP | 0o644),
    ],
)
def test_inherited_mode(perm: int, directory: int, result: int) -> None:
    assert inherited(perm, directory) == result


@given(some.integers(0, 0o777), some.integers(0, 0o777), some.booleans())
def test_a_directory_withholds_what_it_lacks(perm: int, directory: int, folder: bool) -> None:
    kind = DMDIR if folder else 0
    mask = 0o777 if folder else 0o666
    made = inherited(kind | perm, DMDIR | directory)
    assert made & ~perm == kind, "nothing that was not asked for"
    assert not made & mask & ~directory
    assert made & ~mask == (kind | perm) & ~mask


@pytest.mark.parametrize("bit", [0x10000000, 0x08000000, 0x02000000, 0x00800000, 0x1000, 0x200])
def test_bits_that_mean_nothing(bit: int) -> None:
    with pytest.raises(IllegalMode):
        inherited(bit | 0o644, 0o755)
    with pytest.raises(IllegalMode):
        settled(Stat(mode=bit | 0o644), CURRENT)


def test_open_modes() -> None:
    files = {low | truncate | remove for low in range(4) for truncate in (0, 0x10) for remove in (0, 0x40)}
    assert {mode for mode in range(256) if legal(mode, directory=False)} == files
    assert [mode for mode in range(256) if legal(mode, directory=True)] == [0]
    assert {mode & 3 for mode in files if readable(mode)} == {0, 2, 3}
    assert {mode & 3 for mode in files if writable(mode)} == {1, 2}


def test_what_is_told_as_it_is_changes_nothing() -> None:
    assert settled(CURRENT, CURRENT).touches_nothing
    assert settled(Stat(), CURRENT).touches_nothing
    assert settled(DIRECTORY, DIRECTORY).touches_nothing


@pytest.mark.parametrize(
    "changes", [Stat(name="other"), Stat(length=0), Stat(mode=0o600), Stat(mtime=5), Stat(atime=6), Stat(gid="other")]
)
def test_what_can_change_stays(changes: Stat) -> None:
    assert settled(changes, CURRENT) == changes
    told = CURRENT._replace(
        **{field: value for field, value in changes._asdict().items() if value != getattr(Stat(), field)}
    )
    assert settled(told, CURRENT) == changes


@pytest.mark.parametrize(
    "changes",
    [
        Stat(type=1),
        Stat(dev=1),
        Stat(qid=Qid(0x80, 7, 42)),
        Stat(qid=Qid(0, 8, 42)),
        Stat(qid=Qid(0, 7, 43)),
        Stat(uid="other"),
        Stat(muid="other"),
        Stat(mode=DMDIR | 0o644),
    ],
)
def test_what_nobody_can_change(changes: Stat) -> None:
    with pytest.raises(WstatProhibited):
        settled(changes, CURRENT)


@pytest.mark.parametrize("changes", [Stat(length=1), Stat(mode=0o755)])
def test_what_no_directory_can_change(changes: Stat) -> None:
    with pytest.raises(WstatProhibited):
        settled(changes, DIRECTORY)


STATS = some.builds(
    Stat,
    type=some.sampled_from([0xFFFF, 0, 1]),
    dev=some.sampled_from([0xFFFFFFFF, 0, 1]),
    mode=some.sampled_from([0xFFFFFFFF, 0o644, 0o600, DMDIR | 0o644, DMAPPEND]),
    atime=some.sampled_from([0xFFFFFFFF, 1000, 1]),
    mtime=some.sampled_from([0xFFFFFFFF, 2000, 1]),
    length=some.sampled_from([0xFFFFFFFFFFFFFFFF, 10, 0]),
    name=some.sampled_from(["", "name", "other"]),
    uid=some.sampled_from(["", "uid", "other"]),
    gid=some.sampled_from(["", "gid", "other"]),
    muid=some.sampled_from(["", "muid", "other"]),
)


@given(STATS)
def test_settling_twice_is_settling_once(changes: Stat) -> None:
    try:
        once = settled(changes, CURRENT)
    except FileError:
        return
    assert settled(once, CURRENT) == once
    for field in ("mode", "atime", "mtime", "length", "name", "gid"):
        asked, kept = getattr(changes, field), getattr(once, field)
        assert kept in (asked, getattr(Stat(), field))
        assert (kept == asked) or asked == getattr(CURRENT, field)
