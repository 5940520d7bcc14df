"""What a real process asks of the disk: its system calls below a directory, recorded by strace, in the order of time.

Each call has the moments at which it began and ended, in seconds since 1970; a client that notes when it got an answer
knows by them what was asked for before. A call counts from its beginning on, a sync from its end on.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

STRACE = shutil.which("strace")
_CALLS = (
    "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,lseek,fsync,fdatasync,ftruncate,truncate,"
    "fallocate,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,copy_file_range,sendfile"
)
_LINE = re.compile(r"(\d+) +(\d+\.\d+) (.*)")
_STARTED = re.compile(r"(\w+)\((.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)$")
_WHOLE = re.compile(r"(\w+)\((.*)\) += (-?\d+)(?:<([^>]*)>)?[^<]*<(\d+\.\d+)>$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_FILE = re.compile(r"(AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?")
_KEEP_SIZE, _PUNCH_HOLE = "FALLOC_FL_KEEP_SIZE", "FALLOC_FL_PUNCH_HOLE"


class Call(NamedTuple):
    """One step.

    Attributes:
        kind: ``make``, ``write``, ``cut``, ``punch``, ``sync``, ``rename``, ``remove`` or ``folder``.
        path: what it is done to, relative to the directory that was recorded; ``""`` is that itself.
        other: the new path of a renamed file.
        at: offset of a write or a hole; the length that a file is cut to.
        data: what is written.
        size: bytes of a hole.
    """

    begun: float
    ended: float
    kind: str
    path: str
    other: str = ""
    at: int = 0
    data: bytes = b""
    size: int = 0


def traced(record: Path, *command: str) -> list[str]:
    """The command line that runs another one and records it."""
    assert STRACE is not None
    options = ("-f", "-y", "-xx", "-ttt", "-T", "--seccomp-bpf", "-s", "10000000", "-e", f"trace={_CALLS}")
    return [STRACE, *options, "-e", "signal=none", "-o", str(record), *command]


def can_record() -> bool:
    """Whether there is a strace that may trace."""
    if STRACE is None:
        return False
    done = subprocess.run([STRACE, "-f", "--seccomp-bpf", "-o", os.devnull, "true"], capture_output=True, check=False)
    return done.returncode == 0


def recorded(record: Path, root: Path) -> list[Call]:
    """The calls of a record that were done below ``root``."""
    return sorted(_Reading(root).calls(record), key=lambda call: call.begun)


class _Reading:
    """Turns lines into calls. Descriptors have a position each, for what is written where the last write ended."""

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._positions: dict[str, int] = {}
        self._appending: set[str] = set()
        self._sizes: dict[str, int] = {}

    def calls(self, record: Path) -> Iterator[Call]:
        """Of all threads of all processes."""
        unfinished: dict[str, tuple[float, str]] = {}
        with record.open() as lines:
            for line in lines:
                match = _LINE.match(line.rstrip("\n"))
                if match is None:
                    continue
                thread, when, text = match[1], float(match[2]), match[3]
                if started := _STARTED.match(text):
                    unfinished[thread] = when, f"{started[1]}({started[2]}"
                    continue
                begun = when
                if resumed := _RESUMED.match(text):
                    begun, beginning = unfinished.pop(thread, (when, ""))
                    text = beginning + resumed[2]
                if (whole := _WHOLE.match(text)) and int(whole[3]) >= 0:
                    result = int(whole[3]), _decoded(whole[4] or "")
                    yield from self._call(whole[1], whole[2], result, begun, begun + float(whole[5]))
        # What had begun when the process was killed may have been done; it was not answered.

    def _call(self, name: str, text: str, result: tuple[int, str], begun: float, ended: float) -> Iterator[Call]:
        texts = [bytes.fromhex(found[0].replace("\\x", "")) for found in _TEXT.findall(text)]
        files = [(number, "/" if gone else _decoded(path)) for number, path, gone in _FILE.findall(text)]
        if name in ("openat", "open", "creat"):
            yield from self._opened(text, result, begun, ended)
        elif name in ("write", "pwrite64", "writev", "pwritev", "pwritev2", "lseek"):
            yield from self._moved(name, text, texts, files[0], result[0], begun, ended)
        elif name in ("fsync", "fdatasync") and (path := self._below(files[0][1])) is not None:
            yield Call(begun, ended, "sync", path)
        elif name == "ftruncate" and (path := self._below(files[0][1])) is not None:
            self._sizes[path] = int(text.rsplit(",", 1)[1])
            yield Call(begun, ended, "cut", path, at=self._sizes[path])
        elif name == "fallocate" and (path := self._below(files[0][1])) is not None:
            yield from self._allocated(text, path, begun, ended)
        elif name.startswith(("rename", "unlink", "mkdir", "rmdir", "link")):
            yield from self._named(name, text, texts, files, begun, ended)
        elif name in ("truncate", "copy_file_range", "sendfile"):
            assert self._root not in text, f"{name} is not recorded"

    def _below(self, path: str) -> str | None:
        path = os.path.normpath(path)
        if path == self._root:
            return ""
        return path[len(self._root) + 1 :] if path.startswith(f"{self._root}/") else None

    def _opened(self, text: str, result: tuple[int, str], begun: float, ended: float) -> Iterator[Call]:
        number, name = result
        path = self._below(name)
        if path is None:
            self._positions.pop(str(number), None)
            return
        self._positions[str(number)] = 0
        self._appending.discard(str(number))
        if "O_APPEND" in text:
            self._appending.add(str(number))
        if "O_CREAT" in text and "O_TMPFILE" not in text:
            yield Call(begun, ended, "make", path)
        if "O_TRUNC" in text:
            self._sizes[path] = 0
            yield Call(begun, ended, "cut", path)

    def _moved(
        self, name: str, text: str, texts: list[bytes], file: tuple[str, str], result: int, begun: float, ended: float
    ) -> Iterator[Call]:
        number, path = file[0], self._below(file[1])
        if path is None:
            return
        if name == "lseek":
            if "SEEK_DATA" not in text and "SEEK_HOLE" not in text:
                self._positions[number] = result
            return
        data = b"".join(texts)[:result]
        assert len(data) == result, text[:200]
        if name in ("pwrite64", "pwritev", "pwritev2"):
            words = text.rsplit(", ", 2)
            at = int(words[-2] if name == "pwritev2" else words[-1])
        else:
            at = self._sizes.get(path, 0) if number in self._appending else self._positions.get(number, 0)
            self._positions[number] = at + result
        self._sizes[path] = max(self._sizes.get(path, 0), at + result)
        yield Call(begun, ended, "write", path, at=at, data=data)

    def _allocated(self, text: str, path: str, begun: float, ended: float) -> Iterator[Call]:
        at, size = (int(word) for word in text.rsplit(", ", 2)[1:])
        if _PUNCH_HOLE in text:
            yield Call(begun, ended, "punch", path, at=at, size=size)
        elif _KEEP_SIZE not in text and at + size > self._sizes.get(path, 0):
            self._sizes[path] = at + size
            yield Call(begun, ended, "cut", path, at=at + size)

    def _named(
        self,
        name: str,
        text: str,
        texts: list[bytes],
        files: Sequence[tuple[str, str]],
        begun: float,
        ended: float,
    ) -> Iterator[Call]:
        where = [path for _, path in files]
        paths = [
            self._below(os.path.join(where[number] if number < len(where) else "/", os.fsdecode(text)))
            for number, text in enumerate(texts)
        ]
        if not paths[0]:
            return
        if name.startswith("rename") and paths[1] is not None:
            self._sizes[paths[1]] = self._sizes.pop(paths[0], 0)
            yield Call(begun, ended, "rename", paths[0], paths[1])
        elif name.startswith("mkdir"):
            yield Call(begun, ended, "folder", paths[0])
        elif name.startswith(("unlink", "rmdir")):
            self._sizes.pop(paths[0], None)
            yield Call(begun, ended, "remove", paths[0])
        else:
            raise AssertionError(f"{name} is not recorded")


def _decoded(text: str) -> str:
    return os.fsdecode(bytes.fromhex(text.replace("\\x", "")))
