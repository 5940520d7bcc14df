"""A disk in memory that writes down what is done to it, and can be looked at as a crash at any moment would leave it.

What was synced is certain. Of what was written since, each write may be there, or not, or some of its sectors; a name
that was made since its directory was synced may be missing; a file may have its new length before its new bytes.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ninep.wire.dialect import Buffer

SECTOR = 512


class Step(NamedTuple):
    """One thing done to the disk; ``name`` is empty for the directory."""

    what: str
    name: str
    offset: int = 0
    data: bytes = b""


class RecordedDisk:
    """An ``ArenaFolder``. ``steps`` is everything done to it, in order; ``files`` what it looks like to the living."""

    def __init__(self, files: dict[str, bytes] | None = None, protected: set[str] | None = None) -> None:
        self.start = dict(files or {})
        self.files = {name: bytearray(data) for name, data in self.start.items()}
        self.read_only = set(protected or ())
        self.steps: list[Step] = []
        self.room: int | None = None
        self.sync_fails: Callable[[str], bool] = lambda name: False

    def names(self) -> list[str]:
        return list(self.files)

    def create(self, name: str) -> RecordedFile:
        assert name not in self.files
        self.files[name] = bytearray()
        self.steps.append(Step("create", name))
        return RecordedFile(self, name, writable=True)

    def open(self, name: str, *, writable: bool) -> RecordedFile:
        assert not (writable and name in self.read_only), f"{name} is sealed and opened for writing"
        return RecordedFile(self, name, writable=writable)

    def remove(self, name: str) -> None:
        del self.files[name]
        self.steps.append(Step("remove", name))

    def protect(self, name: str) -> None:
        self.read_only.add(name)
        self.steps.append(Step("protect", name))

    def protected(self, name: str) -> bool:
        return name in self.read_only

    def sync(self) -> None:
        self.steps.append(Step("sync", ""))

    def free(self) -> int:
        return 1 << 40 if self.room is None else self.room

    def where(self, name: str) -> str:
        return f"recorded {name}"

    def after_kill(self, count: int) -> RecordedDisk:
        """The disk after the first ``count`` steps when only the process ended: nothing is lost."""
        return self._after(count, lambda step: step)

    def after_power_loss(self, count: int, source: random.Random) -> RecordedDisk:
        """A disk that may be found after the first ``count`` steps when the power failed."""
        how = source.choice(("nothing", "all or nothing", "torn", "torn", "last torn"))
        unsynced = self._unsynced(count)

        def fate(step: Step, number: int) -> Step | None:
            if number not in unsynced:
                return step
            if how == "nothing":
                return None
            if how == "last torn" and number != max(unsynced):
                return step
            if step.what == "write" and how != "all or nothing":
                return step._replace(data=_torn(step.data, step.offset, source))
            return step if source.random() < 0.5 else None

        return self._after(count, fate)

    def _unsynced(self, count: int) -> set[int]:
        """The numbers of the steps that nothing made certain."""
        open_steps: dict[str, set[int]] = {}
        for number, step in enumerate(self.steps[:count]):
            if step.what == "sync":
                open_steps.pop(step.name, None)
            elif step.what in ("create", "remove"):
                open_steps.setdefault("", set()).add(number)
            else:
                open_steps.setdefault(step.name, set()).add(number)
        return set().union(*open_steps.values())

    def _after(self, count: int, fate: Callable[..., Step | None]) -> RecordedDisk:
        files = {name: bytearray(data) for name, data in self.start.items()}
        protected: set[str] = set()
        takes_number = fate.__code__.co_argcount == 2
        for number, step in enumerate(self.steps[:count]):
            happened = fate(step, number) if takes_number else fate(step)
            if happened is None or (step.what not in ("create", "sync") and step.name not in files):
                continue
            if step.what == "create":
                files[step.name] = bytearray()
            elif step.what == "remove":
                del files[step.name]
            elif step.what == "write":
                _put(files[step.name], happened.offset, happened.data)
            elif step.what == "truncate":
                _cut(files[step.name], step.offset)
            elif step.what == "protect":
                protected.add(step.name)
        return RecordedDisk({name: bytes(data) for name, data in files.items()}, protected & files.keys())


class RecordedFile:
    """An ``ArenaFile`` on a recorded disk."""

    def __init__(self, disk: RecordedDisk, name: str, *, writable: bool) -> None:
        self.disk = disk
        self.name = name
        self.writable = writable
        self.data = disk.files[name]
        self.closed = False

    def read(self, size: int, offset: int) -> bytes:
        assert not self.closed
        return bytes(self.data[offset : offset + size])

    def read_nowait(self, buffer: bytearray, offset: int) -> int:
        data = self.read(len(buffer), offset)
        buffer[: len(data)] = data
        return len(data)

    def write(self, pieces: Sequence[Buffer], offset: int) -> None:
        assert self.writable
        assert not self.closed
        data = b"".join(pieces)
        if self.disk.room is not None:
            fits = data[: max(0, self.disk.room)]
            self.disk.room -= len(fits)
            self._record(Step("write", self.name, offset, fits))
            if len(fits) < len(data):
                raise OSError(errno.ENOSPC, "No space left on device")
        else:
            self._record(Step("write", self.name, offset, data))

    def _record(self, step: Step) -> None:
        self.disk.steps.append(step)
        _put(self.data, step.offset, step.data)

    def sync(self) -> None:
        assert not self.closed
        if self.disk.sync_fails(self.name):
            raise OSError(errno.EIO, "Input/output error")
        self.disk.steps.append(Step("sync", self.name))

    def truncate(self, size: int) -> None:
        assert self.writable
        self.disk.steps.append(Step("truncate", self.name, size))
        _cut(self.data, size)

    def size(self) -> int:
        return len(self.data)

    def duplicate(self) -> RecordedFile:
        return RecordedFile(self.disk, self.name, writable=False)

    def close(self) -> None:
        self.closed = True


def _put(file: bytearray, offset: int, data: bytes) -> None:
    if data and offset > len(file):
        file += bytes(offset - len(file))
    file[offset : offset + len(data)] = data


def _cut(file: bytearray, size: int) -> None:
    del file[size:]
    file += bytes(size - len(file))


def _torn(data: bytes, offset: int, source: random.Random) -> bytes:
    """Some sectors of a write; the others read as zeros, and perhaps the file is not as long as it was to be."""
    kept = bytearray(data)
    at = 0
    while at < len(data):
        end = at + SECTOR - (offset + at) % SECTOR
        if source.random() < 0.4:
            kept[at:end] = bytes(len(kept[at:end]))
        at = end
    if source.random() < 0.5:
        del kept[source.randrange(len(kept) + 1) :]
    return bytes(kept)
