"""The original's commands that repair its disk by hand: they exist, and say that there is nothing to do here."""

from __future__ import annotations

from fossil.commands.registry import ANY, Speaker, fsys_command
from fossil.console.words import Given
from fossil.errors import ConsoleRefused
from fossil.server.fsys import Fsys


def _enter(text: str) -> None:
    name = text.split()[0]

    @fsys_command(text, most=ANY, halted=True)
    async def refuse(speaker: Speaker, fsys: Fsys, given: Given) -> str:
        """Has no meaning here: there are no disk blocks."""
        raise ConsoleRefused(
            f"{name}: there are no disk blocks to look at or patch here, files are rows of a database and pieces of a "
            "log; 'check' looks for damage, 'clri' drops a snapshot, 'remove' a file"
        )


for _text in (
    "bfree addr ...",
    "block addr offset [count [data]]",
    "clre addr offset ...",
    "clrp addr offset ...",
    "label addr [type state epoch epochClose tag]",
):
    _enter(_text)
