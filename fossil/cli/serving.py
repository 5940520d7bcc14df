"""What ``serve`` does: file systems as flags or a configuration say, and the lines that tell of them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import trio

from fossil.cli.flags import DEFAULT_LISTEN, folder_of
from fossil.commands.interpreter import Interpreter
from fossil.commands.startup import read_configuration, start, understood
from fossil.data.lock import check_free
from fossil.errors import BadConfiguration
from fossil.files.attach import NAME
from fossil.files.rules import Rules
from fossil.server.condition import look_at_venti
from fossil.server.fileserver import FileServer, Surroundings, open_file_server
from fossil.server.fsys import Fsys
from ninep.cli.networks import can_listen, listening, networks_of
from ninep.cli.serving import announce, until_signalled
from ninep.net.identity import user_name
from venti.stores.remote import connect


async def serve(arguments: argparse.Namespace) -> None:
    """Serves until interrupted."""
    commands = [("-c", command) for command in arguments.command]
    if arguments.config:
        commands = read_configuration(Path(arguments.config)) + commands
    lines = understood(commands)
    if lines and (arguments.listen or arguments.no_permissions):
        raise BadConfiguration("with --config or -c, say 'listen' and 'open -P' there and not as flags")
    folder = folder_of(arguments)
    networks = networks_of(arguments)
    around = Surroundings(
        folder,
        Path(os.environ.get("NAMESPACE") or folder / "srv"),
        user_name(),
        listen=lambda address: listening(arguments, address, service="9fs"),
        dial=lambda address: connect(address, networks=networks),
        venti=arguments.venti or os.environ.get("venti") or None,  # noqa: SIM112 the name that the original programs use
        durable=arguments.durable,
        local_size=arguments.local_size,
    )

    async def run() -> None:
        async with open_file_server(around, Interpreter) as server:
            if lines:
                announce("".join(await start(Interpreter(server), lines)), end="")
            else:
                await _serve_one(arguments, server)
            await server.attend()
            for fsys in server.table.values():
                if fsys.fossil is not None:
                    _announce(server, fsys)
            for fsys in server.table.values():
                if fsys.fossil is not None:
                    await _announce_venti(fsys)
            await trio.sleep_forever()

    await until_signalled(run)


async def _serve_one(arguments: argparse.Namespace, server: FileServer) -> None:
    """The one file system of a data directory; an address that cannot be listened on is told before it is touched."""
    check_free(server.surroundings.folder)
    addresses = arguments.listen or [DEFAULT_LISTEN]
    for address in addresses:
        await can_listen(arguments, address, service="9fs")
    server.configure(NAME, "*")
    await server.open(server.fsys(NAME), Rules(permissions=not arguments.no_permissions), archiving=True)
    for address in addresses:
        await server.listen(address, await server.surroundings.listen(address))


def _announce(server: FileServer, fsys: Fsys) -> None:
    doors = [*server.listening.values(), *(door for door in server.services.values() if door.serves_files)]
    places = [place for door in doors for place in door.places]
    venti = fsys.venti or server.surroundings.venti
    archive = f"venti {venti}" if venti else f"the embedded venti in {fsys.folder / 'venti'}"
    name = "" if fsys.name == NAME else f" as {fsys.name}"
    archiving = f", archiving to {archive}" if fsys.archiving else ""
    announce(f"serving {fsys.folder}{name} on {' '.join(places) or 'nothing but the console'}{archiving}")
    if places and not name:
        announce(f"try: python -m ninep -a '{places[0]}' ls -l")


async def _announce_venti(fsys: Fsys) -> None:
    """What was found where archives go: clients are served meanwhile."""
    venti = await look_at_venti(fsys.open)
    if venti is not None:
        announce(venti.text if fsys.name == NAME else f"{fsys.name}: {venti.text}")
