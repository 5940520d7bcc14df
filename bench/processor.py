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
    """Seconds of processor time of a process so far, of threads that have ended, too; 0 if that is not known."""
    try:
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return 0.0


def resident(process: int | None) -> int:
    """Bytes of memory that a process has, mapped files included; 0 if that is not known."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
