"""``mirror``: brings a second copy of a store up to date, in a directory or on a server."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers, add_network_flags


async def run(arguments: argparse.Namespace) -> int:
    """Brings a second store up to date with the store in the directory SRC, which a server may have open meanwhile.

    DST is a directory, which becomes the same store byte for byte, and which no server may have open meanwhile; or the
    address of a running venti, to which the blocks are sent. Either goes on where it stopped.
    """
    from venti.cli.mirroring import bring

    return await bring(arguments)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = commands.add_parser("mirror", help="bring a second store up to date", description=run.__doc__)
    parser.add_argument("--all", action="store_true", help="look again at what was copied before")
    parser.add_argument("--json", action="store_true", help="print an object at the end")
    parser.add_argument("source", metavar="SRC", help="directory of a store")
    parser.add_argument("destination", metavar="DST", help="a directory, or an address such as tcp!backup!venti")
    add_network_flags(parser)
    parser.set_defaults(run=run)
