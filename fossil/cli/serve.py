"""``serve``: file systems over 9P."""

from __future__ import annotations

import argparse

from fossil.cli.flags import DEFAULT_LISTEN, add_data_flag
from ninep.cli.flags import Parsers, add_listen_flags
from ninep.cli.sizes import size_above_zero


async def run(arguments: argparse.Namespace) -> None:
    """Serves file systems until interrupted: one, or what a configuration says. A fresh one belongs to its starter."""
    from fossil.cli.serving import serve

    await serve(arguments)


def add(commands: Parsers) -> None:
    """Adds the command."""
    server = commands.add_parser("serve", help="serve a file system", description=run.__doc__)
    server.set_defaults(run=run)
    add_data_flag(server)
    server.add_argument("--listen", metavar="ADDRESS", action="append", help=f"default: {DEFAULT_LISTEN}")
    server.add_argument("--venti", metavar="ADDRESS", help="where archives go; default: an embedded venti")
    server.add_argument("--no-permissions", action="store_true", help="everybody may do everything")
    server.add_argument("--config", "-f", metavar="FILE", help="start with the console's commands in FILE")
    server.add_argument("-c", dest="command", metavar="COMMAND", action="append", default=[], help="and with this one")
    server.add_argument("--durable", action="store_true", help="answer only what is on the disk; slower")
    server.add_argument(
        "--local-size",
        type=size_above_zero,
        metavar="SIZE",
        help="what the data here is brought back to, such as 10G, as far as it is safe in venti; default: no bound",
    )
    add_listen_flags(server)
