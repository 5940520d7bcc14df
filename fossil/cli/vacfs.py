"""``vacfs``: an archive as a tree, read-only."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from fossil.cli.flags import DEFAULT_LISTEN
from ninep.cli.flags import Parsers, add_listen_flags


async def run(arguments: argparse.Namespace) -> None:
    """Serves an archive, read-only, until interrupted. What nobody looks at is not fetched."""
    from fossil.archive.vault import Vault
    from fossil.archive.vaultstore import VaultStore
    from fossil.files.vacfs import VacTree
    from ninep.cli.networks import can_listen, listening, networks_of
    from ninep.cli.serving import announce, until_signalled
    from ninep.net.errors import BadAddress
    from ninep.net.listen import where
    from ninep.server.serve import serve
    from ninep.tasks.nursery import open_nursery
    from venti.log.opening import open_disk_store
    from venti.log.place import existing
    from venti.stores.remote import connect
    from venti.vac.named import named

    score = named(arguments.score)
    address = arguments.address or DEFAULT_LISTEN
    venti = arguments.venti or os.environ.get("venti") or ""  # noqa: SIM112 the name that the original programs use
    networks = networks_of(arguments)
    if not venti and not arguments.store:
        raise BadAddress("which archive? say --venti ADDRESS, set the variable 'venti', or say --store DIR")
    folder = existing(arguments.store) if arguments.store else Path()
    vault = Vault(
        (lambda: open_disk_store(folder, read_only=True))
        if arguments.store
        else lambda: connect(venti, networks=networks)
    )

    async def serving() -> None:
        await can_listen(arguments, address, service="9fs")
        tree = VacTree(VaultStore(vault), score, permissions=not arguments.no_permissions)
        async with open_nursery() as nursery:
            nursery.start_soon(vault.run)
            await tree.top()
            listeners = await listening(arguments, address, service="9fs")
            places = " ".join(where(listener) for listener in listeners)
            announce(f"serving vac:{score} on {places}, read-only")
            await serve(tree, listeners)

    await until_signalled(serving)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = commands.add_parser("vacfs", help="serve an archive, read-only", description=run.__doc__)
    parser.set_defaults(run=run)
    parser.add_argument("--venti", metavar="ADDRESS", help="where it is; default: the variable 'venti'")
    parser.add_argument("--store", metavar="DIR", help="or in this directory of a venti, which nobody serves just then")
    parser.add_argument("--no-permissions", "-p", action="store_true", help="everybody may read everything")
    parser.add_argument("score", metavar="SCORE", help="vac: and 40 digits, or a file that holds them")
    parser.add_argument("address", metavar="ADDRESS", nargs="?", help=f"where to serve it; default: {DEFAULT_LISTEN}")
    add_listen_flags(parser)
