"""``serve``: an archive in a directory, on the network."""

from __future__ import annotations

import argparse
from pathlib import Path

from ninep.wire.edge import add_listen_flags, announce, data_home, listening, networks_of, until_signalled
from ninep.wire.listen import where
from venti.commands.connection import Parsers
from venti.commands.size import size_of
from venti.commands.upkeep import SCRUB_RATE, looked_after
from venti.disk import open_disk_store
from venti.server import serve


async def run(arguments: argparse.Namespace) -> None:
    """Serves the archive until interrupted. The directory is made if need be; nothing has to be formatted."""
    path = arguments.store or str(data_home() / "venti")
    listeners = await listening(arguments, arguments.address, service="venti")
    async with (
        open_disk_store(path) as disk,
        looked_after(
            disk,
            Path(path),
            mirror_address=arguments.mirror,
            scrub_rate=arguments.scrub,
            networks=networks_of(arguments),
        ) as store,
    ):
        announce(f"serving {path} on {' '.join(where(listener) for listener in listeners)}")
        await until_signalled(lambda: serve(store, listeners))


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = commands.add_parser("serve", help="serve an archive", description=run.__doc__)
    parser.add_argument("address", nargs="?", default="/net.alt:17034", metavar="ADDRESS")
    parser.add_argument("--store", metavar="DIR", help="where the blocks are; default: venti in your data directory")
    parser.add_argument(
        "--mirror", metavar="ADDRESS", help="an archive with the same blocks: what is damaged here comes from there"
    )
    parser.add_argument(
        "--scrub",
        type=size_of,
        default=SCRUB_RATE,
        metavar="BYTES",
        help="look through the store meanwhile, so many bytes a second; default: 2m; 0: not at all",
    )
    add_listen_flags(parser)
    parser.set_defaults(run=run)
