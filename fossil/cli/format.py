"""``format``: a fresh file system, empty or from an archive."""

from __future__ import annotations

import argparse
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from fossil.cli.flags import add_archive_flag, add_data_flag, folder_of
from ninep.cli.flags import Parsers, add_network_flags

if TYPE_CHECKING:
    from venti.stores.interface import BlockStore

METADATA = "metadata"


async def run(arguments: argparse.Namespace) -> None:
    """Makes a file system: an empty one that belongs to whoever makes it, or one from an archive.

    From an archive it is ready at once, whatever its size: files and directories come in when they are touched.
    """
    from fossil.archive.restored import restore
    from fossil.data.lock import check_free, held
    from fossil.errors import ConsoleRefused, DataInUse, FossilError
    from fossil.live.present import check_files, forget_files
    from fossil.live.userfile import read_users
    from fossil.server.service import open_fossil
    from ninep.cli.networks import networks_of
    from ninep.net.identity import user_name
    from venti.log.opening import open_disk_store
    from venti.stores.remote import connect
    from venti.vac import label

    folder = folder_of(arguments)
    if (folder / METADATA).exists():
        raise DataInUse(f"{folder} has a file system already: choose another --data, or remove it first")
    check_free(folder)
    if arguments.score is None:
        check_files(folder)
        async with open_fossil(folder, owner=user_name()):
            pass
        print(f"{folder}: an empty file system that belongs to {user_name()}")
        return
    try:
        score = label.parse(arguments.score)
    except ValueError as error:
        raise FossilError(str(error)) from error
    networks = networks_of(arguments)

    def store() -> AbstractAsyncContextManager[BlockStore]:
        return connect(arguments.venti, networks=networks) if arguments.venti else open_disk_store(folder / "venti")

    if not arguments.venti and not (folder / "venti").exists():
        raise FossilError(f"there is no archive in {folder / 'venti'}: say where the venti is with --venti")
    async with store() as opened:
        with held(folder):
            found = await restore(folder, opened, score)
            forget_files(folder)
    # So that it can be served while venti is away.
    async with open_fossil(folder, owner=user_name(), open_store=store) as fossil:
        try:
            await read_users(fossil.system)
            users = "its table of users is here"
        except ConsoleRefused as error:
            users = f"{error}; the standard users will be used"
    print(f"{folder}: the live tree and {found.archives} archives; {users}")


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = commands.add_parser("format", help="make a file system, empty or from an archive", description=run.__doc__)
    parser.set_defaults(run=run)
    add_data_flag(parser)
    add_archive_flag(parser)
    parser.add_argument("--from", dest="score", metavar="vac:SCORE", help="begin with this archive; nothing is copied")
    add_network_flags(parser)
