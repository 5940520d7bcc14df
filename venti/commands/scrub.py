"""``scrub``: verifies a store arena by arena, beginning with the one verified longest ago."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from ninep.cli.sizes import size_of
from venti.cli.flags import add_folder_command


async def run(arguments: argparse.Namespace) -> int:
    """Looks once through every arena of a store, the one that was not looked at for longest first.

    It goes on where an earlier scrub stopped, the one in a server included. The store may be in use by a server that
    does not scrub it itself.
    """
    from venti.cli.scrubbing import scrub

    return await scrub(arguments)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_folder_command(commands, "scrub", run, "look through a store, the longest unseen first")
    parser.add_argument(
        "--rate",
        type=size_of,
        default=0,
        metavar="BYTES",
        help="at most so many a second, for example 20m; 0: no bound",
    )
    parser.add_argument("--status", action="store_true", help="only tell when each arena was last looked at")
    parser.add_argument("--json", action="store_true", help="print one object at the end")
