"""Formats directory entries for people. Source: ls(1)."""

from __future__ import annotations

import time
from typing import Any

from ninep.protocol.stat import DMAPPEND, DMDEVICE, DMDIR, DMEXCL, DMNAMEDPIPE, DMSOCKET, DMSYMLINK, DMTMP, Stat

HALF_A_YEAR = 183 * 86400


KINDS = (
    *((DMDIR, "d"), (DMAPPEND, "a")),
    *((DMSYMLINK, "L"), (DMDEVICE, "D"), (DMSOCKET, "S"), (DMNAMEDPIPE, "P")),
)
"""The letter of each kind of file; those of Unix as in Plan 9 from User Space."""


def mode_text(mode: int) -> str:
    """``d-rwxr-xr-x`` and the like: kind, exclusive use, rights of owner, group, others."""
    kind = next((letter for bit, letter in KINDS if mode & bit), "-")
    rights = "".join(letter if mode >> 8 - place & 1 else "-" for place, letter in enumerate("rwxrwxrwx"))
    return kind + ("l" if mode & DMEXCL else "t" if mode & DMTMP else "-") + rights


def shown(name: str) -> str:
    """A name as a terminal may have it: without control characters, and without bytes that are no text."""
    if name.isprintable():
        return name
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def long_lines(entries: list[Stat], now: float) -> list[str]:
    """A line for each entry: mode, owner, group, bytes, time, name; in columns. A link tells where it leads to."""
    rows = [
        (mode_text(entry.mode), entry.uid, entry.gid, str(entry.length), _when(entry.mtime, now), _leading(entry))
        if entry.is_known
        else (f"{mode_text(entry.mode)[:2]}?????????", "?", "?", "?", "           ?", entry.name)
        for entry in entries
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(5)]
    return [
        f"{mode} {uid:<{widths[1]}} {gid:<{widths[2]}} {length:>{widths[3]}} {when} {name}"
        for mode, uid, gid, length, when, name in rows
    ]


def _leading(entry: Stat) -> str:
    target = entry.extension if entry.mode & DMSYMLINK else ""
    return f"{entry.name} -> {target}" if target else entry.name


def as_object(stat: Stat) -> dict[str, Any]:
    """An entry for programs."""
    return {
        "name": stat.name,
        "qid": {"type": stat.qid.type, "version": stat.qid.version, "path": stat.qid.path},
        "mode": stat.mode,
        "atime": stat.atime if stat.is_known else None,
        "mtime": stat.mtime if stat.is_known else None,
        "length": stat.length if stat.is_known else None,
        "uid": stat.uid,
        "gid": stat.gid,
        "muid": stat.muid,
        "type": stat.type,
        "dev": stat.dev,
    } | ({"extension": stat.extension} if stat.extension else {})


def stat_line(stat: Stat) -> str:
    """Everything in an entry on one line."""
    kind = f"{stat.qid.type:02x}"
    return (
        f"{stat.name!r} {mode_text(stat.mode)} {stat.uid} {stat.gid} {stat.muid} length {stat.length} "
        f"mtime {stat.mtime} atime {stat.atime} qid ({stat.qid.path:016x} {stat.qid.version} {kind})"
    )


def _when(seconds: int, now: float) -> str:
    near = abs(now - seconds) < HALF_A_YEAR
    return time.strftime("%b %e %H:%M" if near else "%b %e  %Y", time.localtime(seconds))
