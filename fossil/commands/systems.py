"""Console commands about whole file systems: configuring, opening, closing, their sizes."""

from __future__ import annotations

import os

from fossil.commands.registry import FSYS, Speaker, fsys_command
from fossil.console.report import Report, Verdict
from fossil.console.words import Given, number
from fossil.errors import ConsoleRefused
from fossil.files.rules import Rules
from fossil.server.condition import conditions, look_at_venti
from fossil.server.fsys import Fsys
from fossil.server.service import Fossil

BLOCK = 8192
"""Bytes of what the console calls a block."""


@fsys_command("config [dev]", most=1, closed=True, all=False, vital=True)
async def config(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Names a file system and the directory that it is in: a path, * for the server's data directory, or a device of
    Plan 9 such as /dev/sdF0/fossil, which is sdF0/fossil in that. Without one: the data directory.
    """
    speaker.server.configure(fsys.name, given.words[0] if given.words else "*")
    return ""


@fsys_command("unconfig", closed=True, all=False)
async def unconfig(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Takes a file system that is not open out of the table."""
    if fsys.fossil is not None:
        raise ConsoleRefused(f"fsys: '{fsys.name}' busy")
    del speaker.server.table[fsys.name]
    return ""


@fsys_command("venti [address]", most=1, closed=True, all=False, vital=True)
async def venti(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Says where the archive is; if the file system is open, calls there now, tells what is wrong there, and goes on
    with archives that wait.

    An empty address ('') means the usual one again.
    """
    if given.words:
        fsys.venti = given.words[0] or None
    if fsys.fossil is None:
        return ""
    if not fsys.archiving:
        raise ConsoleRefused("file system was opened with -V")
    fsys.fossil.vault.redial()
    async with fsys.fossil.vault.use():
        fsys.fossil.archiver.wake()
    found = await look_at_venti(fsys.fossil)
    return "" if found is None or not found.wrong else Report(f"{found.text}\n", Verdict.WRONG)


@fsys_command("open [-APVWar] [-c ncache]", flags="APVWar", valued="c", closed=True, all=False, vital=True)
async def open_(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Opens a file system, made if it is not there. -P looks at no permissions, -W lets everybody change owners and
    groups, -V does without an archive, -a leaves access times alone, -r allows no change. -A changes nothing here, for
    nobody is asked for proof; -c, the size of the cache, is taken and means nothing.
    """
    options = given.options
    if "c" in options:
        number(options["c"], FSYS["open"].usage)
    rules = Rules(
        permissions="P" not in options,
        wstat_anything="W" in options,
        read_only="r" in options,
        access_times="a" not in options,
    )
    await speaker.server.open(fsys, rules, archiving="V" not in options)
    return ""


@fsys_command("close [-f]", flags="f", halted=True, all=False)
async def close(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Puts everything on the disk and closes a file system that no client has attached to; with -f hangs up on those
    who have. It can be opened again.
    """
    fsys.open.system.halted = False
    await speaker.server.shut(fsys, by_force="f" in given.options)
    return ""


@fsys_command("halt")
async def halt(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Puts everything on the disk and takes no changes until unhalt; reading goes on. The directory can be copied."""
    fossil = fsys.open
    fossil.system.halted = True
    try:
        await _settle(fossil)
    except BaseException:
        fossil.system.halted = False
        raise
    return ""


async def _settle(fossil: Fossil) -> None:
    """Raises ``ConsoleRefused`` and ``WritesStopped`` where not everything is on the disk."""
    await fossil.settle()
    fossil.system.check()
    if fossil.system.full:
        raise ConsoleRefused("the disk is full, and what was changed last is not on it: make room, and try again")


@fsys_command("unhalt", halted=True)
async def unhalt(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Takes changes again."""
    system = fsys.open.system
    if not system.halted:
        raise ConsoleRefused(f"file system {fsys.name} not halted")
    system.halted = False
    return ""


@fsys_command("sync")
async def sync(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Returns when everything is on the disk. Counts blocks of 8 KiB in the data log."""
    fossil = fsys.open
    start, fsys.synced = fsys.synced, fossil.system.log.tail
    await _settle(fossil)
    return f"\t{fsys.name} sync: wrote {-(-max(0, fsys.synced - start) // BLOCK)} blocks\n"


@fsys_command("df", halted=True)
async def df(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Prints how many bytes of the disk the file system uses, and how many are free."""
    folder = fsys.open.folder
    used = 0
    for name in ("data", "metadata", "metadata-wal"):
        path = folder / name
        if path.exists():
            used += path.stat().st_blocks * 512
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    total = used + free
    return f"\t{fsys.name}: {used:,} used + {free:,} free = {total:,} ({used * 100 / max(total, 1):.1f}% used)\n"


@fsys_command("status", halted=True)
async def status(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Says whether anything is wrong, and whether venti is there. The original has no such command."""
    found = await conditions(fsys.open)
    verdict = Verdict.WRONG if any(one.wrong for one in found) else Verdict.OK
    return Report("".join(f"{one.text}\n" for one in found), verdict)
