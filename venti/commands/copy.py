"""``copy``: copies a tree from one archive to another. Source: venti(1)."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers, add_network_flags


async def run(arguments: argparse.Namespace) -> int:
    """Copies everything that a score leads to from one archive to another, the archives before it included.

    A copy that was interrupted is started again; with -f it goes quickly over what has been copied.
    """
    from venti.cli.copying import copy

    return await copy(arguments)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = commands.add_parser("copy", help="copy a tree from one archive to another", description=run.__doc__)
    parser.add_argument("-f", dest="fast", action="store_true", help="a tree whose top is there is there as a whole")
    parser.add_argument("-i", dest="ignore", action="store_true", help="go on where a block cannot be read")
    parser.add_argument(
        "-t",
        dest="type",
        type=int,
        choices=range(17),
        default=16,
        metavar="TYPE",
        help="type of the block that the score names: 16 root (the default), 8 directory, 0 data",
    )
    parser.add_argument("--json", action="store_true", help="print an object at the end")
    parser.add_argument("source", metavar="SRC", help="address of the archive to copy from")
    parser.add_argument("destination", metavar="DST", help="address of the archive to copy to")
    parser.add_argument("score", metavar="SCORE", help="vac: and 40 digits, or a file that holds them")
    add_network_flags(parser)
    parser.set_defaults(run=run)
