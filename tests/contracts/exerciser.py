"""Exercises of a mounted file system, after fsx and fsstress: random operations, each compared with what must be.

``exercise_file`` holds one file against bytes in memory; ``exercise_tree`` does everything in two directories, the one
under test and one of the system's own, and compares what each call returned and how the trees look at the end.
"""

from __future__ import annotations

import errno
import mmap
import os
import random
import stat as unix
from collections.abc import Callable
from pathlib import Path

LONGEST = 300_000


def exercise_file(path: Path, seed: int, count: int) -> None:
    """``count`` random operations on one file: reads, writes, truncations, mappings, syncs, and opening anew."""
    chance = random.Random(seed)
    content = bytearray()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    done: list[str] = []

    def span() -> tuple[int, int]:
        offset = chance.randrange(LONGEST)
        return offset, chance.choice((1, 100, 4096, 10_000, 70_000, 150_000))

    try:
        for _ in range(count):
            operation = chance.choices(
                ("read", "write", "append", "truncate", "map", "map write", "reopen", "sync", "size"),
                (30, 30, 5, 8, 8, 8, 4, 2, 5),
            )[0]
            offset, size = span()
            done.append(f"{operation} {offset} {size}")
            if operation == "read":
                assert os.pread(fd, size, offset) == content[offset : offset + size], done[-20:]
            elif operation in ("write", "append"):
                offset = len(content) if operation == "append" else offset
                data = chance.randbytes(min(size, LONGEST * 2 - offset))
                assert os.pwrite(fd, data, offset) == len(data)
                content.extend(bytes(max(0, offset + len(data) - len(content))))
                content[offset : offset + len(data)] = data
            elif operation == "truncate":
                os.ftruncate(fd, offset)
                del content[offset:]
                content.extend(bytes(offset - len(content)))
            elif operation == "map" and content:
                with mmap.mmap(fd, len(content), prot=mmap.PROT_READ) as mapping:
                    assert mapping[offset : offset + size] == content[offset : offset + size], done[-20:]
            elif operation == "map write" and content:
                with mmap.mmap(fd, len(content)) as mapping:
                    offset %= len(content)
                    data = chance.randbytes(min(size, len(content) - offset))
                    mapping[offset : offset + len(data)] = data
                    content[offset : offset + len(data)] = data
                    mapping.flush()
            elif operation == "reopen":
                os.close(fd)
                fd = os.open(path, os.O_RDWR)
            elif operation == "sync":
                os.fsync(fd)
            elif operation == "size":
                assert os.fstat(fd).st_size == len(content), done[-20:]
    finally:
        os.close(fd)
    assert path.read_bytes() == content


def exercise_tree(under_test: Path, reference: Path, seed: int, count: int, *, across: bool, links: bool) -> None:
    """``count`` random operations in two directories. ``across`` renames between directories, too; ``links`` makes
    symbolic and hard links.
    """
    chance = random.Random(seed)
    directories = [""]
    names = "abcdefgh"

    def place() -> str:
        return f"{chance.choice(directories)}/{chance.choice(names)}".lstrip("/")

    kinds = [kind for kind in _ACTIONS if links or kind not in ("symlink", "link", "readlink")]
    for step in range(count):
        kind, one, two = chance.choice(kinds), place(), place()
        if not across:
            two = f"{one.rpartition('/')[0]}/{chance.choice(names)}".lstrip("/")
        data, number = chance.randbytes(chance.choice((0, 10, 5000))), chance.randrange(8000)
        expected, found = (
            _outcome(_ACTIONS[kind], root / one, root / two, two, data, number) for root in (reference, under_test)
        )
        assert found == expected, (seed, step, kind, one, two, found, expected)
        directories = ["", *(str(p.relative_to(reference)) for p in reference.rglob("*") if _is_directory(p))]
    assert tree_of(under_test) == tree_of(reference)


def tree_of(root: Path) -> dict[str, object]:
    """Every path below ``root``, with what is there."""
    found: dict[str, object] = {}
    for directory, names, files in os.walk(root):
        for name in names + files:
            path = Path(directory, name)
            status = path.lstat()
            content: object = None
            if unix.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif unix.S_ISREG(status.st_mode):
                content = path.read_bytes()
            found[str(path.relative_to(root))] = (_shape(status), content)
    return found


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _shape(status: os.stat_result) -> tuple[int, int]:
    return status.st_mode, 0 if unix.S_ISDIR(status.st_mode) else status.st_size


def _read_after_unlinking(path: Path) -> bytes:
    """Content of an open file is there after its name is gone."""
    with path.open("rb") as file:
        os.unlink(path)
        return file.read()


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def _chmod(path: Path, mode: int) -> None:
    # In 9P2000 what is made in a directory gets no more rights than that has.
    if not path.is_dir():
        os.chmod(path, mode)


_ACTIONS: dict[str, Callable[[Path, Path, str, bytes, int], object]] = {
    "make": lambda one, two, name, data, number: os.close(os.open(one, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)),
    "mkdir": lambda one, two, name, data, number: os.mkdir(one, 0o755),
    "write": lambda one, two, name, data, number: _append(one, data),
    "cut": lambda one, two, name, data, number: os.truncate(one, number),
    "rename": lambda one, two, name, data, number: os.rename(one, two),
    "unlink": lambda one, two, name, data, number: os.unlink(one),
    "rmdir": lambda one, two, name, data, number: os.rmdir(one),
    "list": lambda one, two, name, data, number: sorted(os.listdir(one)),
    "stat": lambda one, two, name, data, number: _shape(os.lstat(one)),
    "mode": lambda one, two, name, data, number: _chmod(one, 0o600 | number % 0o100),
    "times": lambda one, two, name, data, number: os.utime(one, (number, number)),
    "keep": lambda one, two, name, data, number: _read_after_unlinking(one),
    "symlink": lambda one, two, name, data, number: os.symlink(name, one),
    "link": lambda one, two, name, data, number: os.link(one, two, follow_symlinks=False),
    "readlink": lambda one, two, name, data, number: os.readlink(one),
}


def _outcome(action: Callable[..., object], *arguments: object) -> object:
    try:
        return action(*arguments)
    except OSError as error:
        # What Unix lets a file system choose between.
        return {errno.EPERM: errno.EISDIR, errno.EEXIST: errno.ENOTEMPTY}.get(error.errno or 0, error.errno)
