"""What a server costs: the time that its processors have spent, whatever else the machine was doing."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def listener(port: int) -> int | None:
    """The process that listens on a TCP port of this machine; None if it cannot be seen."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and int(words[1].rsplit(":", 1)[1], 16) == port:
                    sockets.add(f"socket:[{words[9]}]")
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            for descriptor in folder.iterdir():
                with suppress(OSError):
                    if os.readlink(descriptor) in sockets:
                        return int(folder.parent.name)
    return None


def spent(process: int | None) -> float:
    """Seconds of processor time of a process and its children so far, of threads that have ended, too; 0 if unknown."""
    ticks = 0
    for number in _family(process):
        with suppress(OSError, ValueError):
            words = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
            ticks += int(words[11]) + int(words[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident(process: int | None) -> int:
    """Bytes of memory that a process and its children have, mapped files included; 0 if that is not known."""
    pages = 0
    for number in _family(process):
        with suppress(OSError, ValueError):
            pages += int(Path(f"/proc/{number}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _family(process: int | None) -> list[int]:
    """A process and those that it has started."""
    if process is None:
        return []
    found = [process]
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(path.parent.name))
    return found
