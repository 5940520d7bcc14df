"""``status``, ``df`` and ``sync``: the condition of a running file system."""

from __future__ import annotations

from fossil.cli.asking import add_question
from ninep.cli.flags import Parsers


def add(commands: Parsers) -> None:
    """Adds the commands."""
    add_question(commands, "status", "say whether anything is wrong; ends with 1 if something is")
    add_question(commands, "df", "say how much room is used")
    add_question(commands, "sync", "return when everything is on the disk")
