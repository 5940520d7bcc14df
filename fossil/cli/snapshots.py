"""``snap``, ``snapshots`` and ``last``: the snapshots of a running file system."""

from __future__ import annotations

import argparse

from fossil.cli.asking import add_question
from ninep.cli.flags import Parsers


def _snap(arguments: argparse.Namespace) -> list[str]:
    return [
        "-ap" if arguments.archive else "-p",
        *(["-s", arguments.source] if arguments.source else []),
        *(["-d", arguments.name] if arguments.name else []),
    ]


def add(commands: Parsers) -> None:
    """Adds the commands."""
    command = add_question(commands, "snap", "make a snapshot and print its path", _snap)
    command.add_argument("-a", dest="archive", action="store_true", help="one that is archived in venti")
    command.add_argument("-s", dest="source", metavar="PATH", help="of this directory; default: /active")
    command.add_argument("-d", dest="name", metavar="PATH", help="at this path; default: named by the time")
    command = add_question(
        commands, "last", "print the score of the newest archive", lambda arguments: ["-w"] if arguments.wait else []
    )
    command.add_argument("--wait", action="store_true", help="wait until everything is archived")
    add_question(commands, "snapshots", "list the snapshots")
