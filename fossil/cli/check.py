"""``check``: looks for damage, in a file system that is served or one that is not."""

from __future__ import annotations

import argparse

from fossil.cli.flags import CODES, add_archive_flag, add_data_flag, folder_of
from ninep.cli.flags import Parsers, add_network_flags
from ninep.cli.streams import print_result


async def run(arguments: argparse.Namespace) -> int:
    """Looks for damage: rows, data, and with --archives what is in venti. Where the file system is served, its server
    does it and goes on serving. Prints a line for each thing found and one for all; exits with 4 if damage remains, and
    with 3 if the archives could not be looked at.
    """
    from fossil.console.console import CONSOLE, open_console
    from fossil.errors import NoSnapshot, NotServed

    folder = folder_of(arguments)
    if not (folder / "metadata").exists():
        raise NoSnapshot(f"{folder} has no file system: name its directory with --data")
    words = ["check", *["fix"] * arguments.repair, *["venti"] * arguments.archives]
    try:
        async with open_console(folder / CONSOLE) as line:
            report = await line.ask(" ".join(words))
    except NotServed:
        from fossil.cli.checking import check

        return await check(arguments, folder)
    print_result(report, end="")
    return CODES[report.verdict]


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "check", help="look for damage, and repair what is safe in venti", description=run.__doc__
    )
    parser.set_defaults(run=run)
    add_data_flag(parser)
    add_archive_flag(parser)
    parser.add_argument("--repair", action="store_true", help="fetch from venti what is damaged here, free unused room")
    parser.add_argument("--archives", action="store_true", help="read the newest archive through, with all before it")
    add_network_flags(parser)
