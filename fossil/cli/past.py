"""``history``, ``diff`` and ``restore``: what files were in snapshots."""

from __future__ import annotations

import argparse

from fossil.cli.asking import add_json_flag, add_question, json_word
from ninep.cli.flags import Parsers


def _restore(arguments: argparse.Namespace) -> list[str]:
    return [
        *(["-d"] if arguments.delete else []),
        *(["-n"] if arguments.dry else []),
        "--",
        arguments.snap,
        arguments.path,
    ]


def add(commands: Parsers) -> None:
    """Adds the commands."""
    command = add_question(
        commands,
        "history",
        "print the versions of a file",
        lambda arguments: [*json_word(arguments), arguments.path],
    )
    add_json_flag(command)
    command.add_argument("path", metavar="PATH")
    command = add_question(
        commands,
        "diff",
        "print what is different between two snapshots, or one and 'active'",
        lambda arguments: [*json_word(arguments), *arguments.snaps, arguments.path],
    )
    add_json_flag(command)
    command.add_argument("snaps", metavar="SNAP", nargs=2)
    command.add_argument("path", metavar="PATH", nargs="?", default="/")
    command = add_question(commands, "restore", "make a file or directory what it was in a snapshot", _restore)
    command.add_argument("--delete", "-d", action="store_true", help="and remove what has been made since")
    command.add_argument("--dry-run", "-n", dest="dry", action="store_true", help="only print what that would do")
    command.add_argument("snap", metavar="SNAP")
    command.add_argument("path", metavar="PATH")
