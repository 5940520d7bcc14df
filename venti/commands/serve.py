"""``serve``: an archive in a directory, on the network."""

from __future__ import annotations

import argparse

from ninep.wire.edge import add_listen_flags, announce, data_home, listening, until_signalled
from ninep.wire.listen import where
from venti.commands.connection import Parsers
from venti.disk import open_disk_store
from venti.server import serve


async def run(arguments: argparse.Namespace) -> None:
    """Serves the archive until interrupted. The directory is made if need be; nothing has to be formatted."""
    path = arguments.store or str(data_home() / "venti")
    listeners = await listening(arguments, arguments.address, service="venti")
    async with open_disk_store(path) as store:
        announce(f"serving {path} on {' '.join(where(listener) for listener in listeners)}")
        await until_signalled(lambda: serve(store, listeners))


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = commands.add_parser("serve", help="serve an archive", description=run.__doc__)
    parser.add_argument("address", nargs="?", default="/net.alt:17034", metavar="ADDRESS")
    parser.add_argument("--store", metavar="DIR", help="where the blocks are; default: venti in your data directory")
    add_listen_flags(parser)
    parser.set_defaults(run=run)
