"""Watching programs of ours over hours: what they hold, sampled from outside, and whether that levels off."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

MEBIBYTE = 1 << 20


class Sample(NamedTuple):
    """What a program held at one moment.

    Attributes:
        time: seconds since the beginning.
        memory: bytes of memory that is its own: what it has mapped of files is the kernel's to take back.
        descriptors: open files and sockets.
        threads: of the process.
        files: in its directory, with those below.
        size: bytes that these take on the disk.
        latency: seconds that a bystander's request took.
    """

    time: float
    memory: int
    descriptors: int
    threads: int
    files: int
    size: int
    latency: float


class Allowance(NamedTuple):
    """By how much the last third of a life may be above the third before it.

    Attributes:
        memory: bytes.
        descriptors: how many.
        threads: how many.
        files: how many.
    """

    memory: int
    descriptors: int = 8
    threads: int = 4
    files: int = 16


def of_process(pid: int) -> tuple[int, int, int]:
    """Memory of its own in bytes, descriptors, threads. Raises ``OSError`` when it is gone."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    memory = sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssShmem", "VmSwap") if name in fields)
    return memory * 1024, len(os.listdir(f"/proc/{pid}/fd")), int(fields["Threads"])


def of_directory(path: Path | None) -> tuple[int, int]:
    """How many files there are below, and how many bytes they take on the disk."""
    files = size = 0
    for folder, _, names in os.walk(path) if path is not None else ():
        for name in names:
            with contextlib.suppress(OSError):  # removed since
                size += os.lstat(os.path.join(folder, name)).st_blocks * 512
                files += 1
    return files, size


def judged(samples: Sequence[Sample], allowed: Allowance) -> list[str]:
    """What of a life's samples does not level off, in words; nothing when all is well, or too short to tell.

    Compared are medians: of the last third, and of the third before it. What comes before is warming up.
    """
    third = len(samples) // 3
    if third < 3:
        return []
    before, after = samples[third : 2 * third], samples[2 * third :]
    found = []
    for name in ("memory", "descriptors", "threads", "files"):
        was, became = (statistics.median(getattr(sample, name) for sample in part) for part in (before, after))
        if became - was > getattr(allowed, name):
            unit = MEBIBYTE if name == "memory" else 1
            minutes = (after[-1].time - before[0].time) / 2 / 60
            found.append(f"{name} grew from {was / unit:.0f} to {became / unit:.0f} within {minutes:.1f} minutes")
    return found
