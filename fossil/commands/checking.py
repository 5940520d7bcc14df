"""The console command ``check``, which looks for damage."""

from __future__ import annotations

from fossil.commands.registry import Speaker, fsys_command
from fossil.console.report import Report
from fossil.console.words import Given
from fossil.errors import ArchiveAway, ConsoleRefused
from fossil.server.check import Check, Finding
from fossil.server.fsys import Fsys

OURS = frozenset(("fix", "venti"))
ORIGINALS = frozenset(("pblock", "pdir", "pfile", "bclose", "clri", "clre", "clrp", "snapshot"))
"""Words of the original about its blocks; everything is looked at here anyway."""


@fsys_command("check [fix] [venti]", most=len(OURS | ORIGINALS), halted=True)
async def check(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Looks for damage while clients are served: rows, data, and with venti the newest archive with all before it.
    With fix, what is damaged and safe in venti is fetched from there, and room that nothing uses is given back.
    """
    if unknown := set(given.words) - OURS - ORIGINALS:
        raise ConsoleRefused(f"check: unknown word '{sorted(unknown)[0]}': fix and venti are known")
    lines: list[str] = []

    def report(finding: Finding) -> None:
        lines.append(f"{finding}\n")

    work = Check(fsys.open, report, repair="fix" in given.words, archives="venti" in given.words)
    fsys.open.check = work.checked
    try:
        await work.run()
    except ArchiveAway as error:
        lines.append(f"the archives could not be looked at: {error}\n")
    finally:
        fsys.open.check = None
    return Report("".join(lines) + f"{work.checked}\n", work.checked.verdict)
