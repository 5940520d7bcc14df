"""Disks as a loss of power can leave them: made of recorded calls, up to any moment.

What was synced is there. Of what was written later all came to the disk, or nothing, or some writes in any order, or
some of their sectors. Names are kept as the file system does: a journal commits what came before any sync, in order
(ext4, xfs); a strict one only what was synced in its directory.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from faults.recorded_calls import Call

SECTOR = 512


class _Content:
    """Of one file, whatever its names are."""

    def __init__(self) -> None:
        self.stable = bytearray()
        self.waiting: list[Call] = []

    def synced(self, until: float) -> None:
        """Everything that began before a sync did is durable."""
        for call in self.waiting:
            if call.begun <= until:
                _apply(self.stable, call)
        self.waiting = [call for call in self.waiting if call.begun > until]

    def left(self, source: random.Random) -> bytes:
        """What there is after the loss."""
        found = bytearray(self.stable)
        how = source.choice(("nothing", "all", "beginning", "some", "torn"))
        calls: Iterable[Call] = self.waiting
        if how == "nothing":
            calls = ()
        elif how == "beginning":
            calls = self.waiting[: source.randint(0, len(self.waiting))]
        elif how == "some":
            calls = [call for call in self.waiting if source.random() < 0.5]
        elif how == "torn":
            calls = [part for call in self.waiting for part in _sectors(call) if source.random() < 0.6]
        for call in calls:
            _apply(found, call)
        return bytes(found)


def _apply(content: bytearray, call: Call) -> None:
    if call.kind == "write":
        if len(content) < call.at:
            content.extend(bytes(call.at - len(content)))
        content[call.at : call.at + len(call.data)] = call.data
    elif call.kind == "cut":
        del content[call.at :]
        content.extend(bytes(call.at - len(content)))
    elif call.kind == "punch":
        end = min(call.at + call.size, len(content))
        if call.at < end:
            content[call.at : end] = bytes(end - call.at)


def _sectors(call: Call) -> list[Call]:
    if call.kind != "write":
        return [call]
    ends = range((call.at // SECTOR + 1) * SECTOR, call.at + len(call.data) + SECTOR, SECTOR)
    parts, at = [], call.at
    for end in ends:
        end = min(end, call.at + len(call.data))
        if at < end:
            parts.append(call._replace(at=at, data=call.data[at - call.at : end - call.at]))
        at = end
    return parts


class Disk:
    """The directory that was recorded, empty at first."""

    def __init__(self, calls: Sequence[Call], until: float, *, strict: bool) -> None:
        """As it was at a moment: calls that began later were not made, syncs that ended later promise nothing."""
        self._strict = strict
        self._names: dict[str, _Content | None] = {}
        """What the running system sees; None is a directory."""
        self._stable: dict[str, _Content | None] = {}
        self._changes: list[tuple[Call, _Content | None]] = []
        # A sync counts when it ended, for what had begun before it.
        events = [(call.ended if call.kind == "sync" else call.begun, call) for call in calls]
        for when, call in sorted(events, key=lambda event: event[0]):
            if when <= until:
                self._do(call)

    def _do(self, call: Call) -> None:
        if call.kind == "sync":
            self._sync(call)
        elif call.kind == "make":
            if call.path not in self._names:
                self._change(call, _Content())
        elif call.kind == "folder":
            self._change(call, None)
        elif call.kind in ("rename", "remove"):
            self._change(call, self._names.get(call.path))
        elif (content := self._names.get(call.path)) is not None:
            content.waiting.append(call)

    def _change(self, call: Call, content: _Content | None) -> None:
        _rename(self._names, call, content)
        self._changes.append((call, content))

    def _sync(self, call: Call) -> None:
        content = self._names.get(call.path)
        is_folder = call.path == "" or (call.path in self._names and content is None)
        if content is not None:
            content.synced(call.begun)
        if self._strict and not is_folder:
            return
        later = []
        for change in self._changes:
            folders = {os.path.dirname(change[0].path)}
            if change[0].kind == "rename":
                folders.add(os.path.dirname(change[0].other))
            if change[0].begun <= call.begun and (not self._strict or call.path in folders):
                _rename(self._stable, *change)
            else:
                later.append(change)
        self._changes = later

    def left(self, to: Path, source: random.Random) -> None:
        """Makes what there is after the loss in a directory."""
        names = dict(self._stable)
        if self._strict:
            changes = [change for change in self._changes if source.random() < 0.5]
        else:
            changes = self._changes[: source.choice((0, len(self._changes), source.randint(0, len(self._changes))))]
        for call, content in changes:
            _rename(names, call, content)
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir(parents=True)
        for name, found in sorted(names.items()):
            if any(above not in names for above in _above(name)):
                continue
            if found is None:
                (to / name).mkdir()
            else:
                (to / name).write_bytes(found.left(source))


def _rename(names: dict[str, _Content | None], call: Call, content: _Content | None) -> None:
    """Does to names what a call does; one whose file never came to the disk does nothing."""
    if call.kind in ("make", "folder"):
        names[call.path] = content
    elif call.path in names:
        moved = [name for name in names if name == call.path or name.startswith(f"{call.path}/")]
        for name in moved:
            there = names.pop(name)
            if call.kind == "rename":
                names[call.other + name[len(call.path) :]] = there


def _above(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
