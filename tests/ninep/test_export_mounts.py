"""Which places of a directory are served by threads, as the table of mounts has it."""

from __future__ import annotations

import pytest

from ninep.export.mounts import Away, away

LINE = "{number} 1 8:1 / {path} rw,relatime shared:1 - {kind} /dev/x rw"


def table(**mounts: str) -> bytes:
    """A table of mounts: paths, with ``__`` for ``/``, and kinds."""
    lines = [
        LINE.format(number=20 + number, path=path.replace("__", "/"), kind=kind)
        for number, (path, kind) in enumerate(mounts.items())
    ]
    return "\n".join(lines).encode() + b"\n"


def here(found: Away | None, path: str) -> bool:
    for name in path.split("/") if path else ():
        found = None if found is None else found.below(name)
    return found is not None and found.here


@pytest.mark.parametrize(
    ("mounts", "directory"),
    [
        ({"__": "ext4"}, "/srv"),
        ({"__": "ext4", "__mnt": "nfs4"}, "/srv"),
        ({"__": "ext4", "__srv2": "nfs4", "__sr": "nfs4"}, "/srv"),
        ({"__": "overlay", "__srv": "xfs", "__srv__a": "tmpfs", "__proc": "proc"}, "/srv"),
        ({"__": "nfs", "__srv": "xfs"}, "/srv/a"),
        ({"__": "ext4", "__srv__a": "tmpfs", "__srv": "fuse.sshfs"}, "/srv/a/b"),
    ],
)
def test_all_is_on_this_machine(mounts: dict[str, str], directory: str) -> None:
    assert away(table(**mounts), directory) is None


@pytest.mark.parametrize(
    ("mounts", "directory", "far", "near"),
    [
        ({"__": "nfs4"}, "/", ("", "a", "a/b"), ()),
        ({"__": "nfs4"}, "/srv", ("", "a"), ()),
        ({"__": "ext4", "__srv": "fuse.ninep"}, "/srv", ("", "a"), ()),
        ({"__": "ext4", "__srv": "fuse.ninep"}, "/srv/below", ("", "a"), ()),
        ({"__": "ext4", "__srv__a__b": "9p"}, "/srv", ("a/b", "a/b/c"), ("", "a", "c", "b")),
        ({"__": "ext4", "__srv__a": "autofs"}, "/", ("srv/a", "srv/a/b"), ("", "srv", "a")),
        ({"__": "ext4", "__proc": "proc", "__dev": "devtmpfs"}, "/", ("proc", "proc/1"), ("", "dev", "dev/null")),
        # One hides the other, and what is mounted inside can only be had through what it is mounted on.
        ({"__": "ext4", "__srv__a": "cifs", "__srv__a__b": "tmpfs"}, "/srv", ("a", "a/b"), ("",)),
    ],
)
def test_some_is_not(mounts: dict[str, str], directory: str, far: tuple[str, ...], near: tuple[str, ...]) -> None:
    found = away(table(**mounts), directory)
    assert found is not None
    assert [here(found, path) for path in far] == [True] * len(far)
    assert [here(found, path) for path in near] == [False] * len(near)


def test_names_with_blanks_and_others() -> None:
    found = away(table(**{"__": "ext4", "__srv__a\\040b\\134": "fuse", "__srv__\\303\\251": "fuse"}), "/srv")
    assert here(found, "a b\\")
    assert here(found, "\u00e9")
    assert not here(found, "a")
