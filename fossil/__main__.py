"""``python -m fossil``: a file server that remembers, and commands to one that runs."""

from __future__ import annotations

import argparse
import getpass
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

from fossil.console import Console, open_console
from fossil.errors import ConsoleRefused, DamagedData, FossilError, NoSnapshot, NotServed
from fossil.operator import Operator
from fossil.rules import Rules
from fossil.service import CONSOLE, open_fossil
from ninep.server import serve
from ninep.wire.edge import (
    DAMAGED,
    FAILED,
    NOT_FOUND,
    UNREACHABLE,
    add_listen_flags,
    announce,
    data_home,
    listening,
    networks_of,
    run_program,
    until_signalled,
)
from ninep.wire.listen import Listener, where
from venti.client import connect
from venti.errors import DamagedStore, VentiError

log = logging.getLogger(__name__)

DEFAULT_LISTEN = "/net.alt/tcp!*!564"


def folder_of(arguments: argparse.Namespace) -> Path:
    """The data directory."""
    return Path(arguments.data) if arguments.data else data_home() / "fossil"


async def run_serve(arguments: argparse.Namespace) -> None:
    """Serves a file system until interrupted. A fresh one belongs to whoever starts it."""
    networks = networks_of(arguments)
    folder = folder_of(arguments)
    listeners: list[Listener] = []
    for address in arguments.listen or [DEFAULT_LISTEN]:
        listeners += await listening(arguments, address, service="9fs")
    venti = arguments.venti
    async with open_fossil(
        folder,
        owner=getpass.getuser(),
        open_store=(lambda: connect(venti, networks=networks)) if venti else None,
        rules=Rules(permissions=not arguments.no_permissions),
        durable=arguments.durable,
    ) as fossil:
        operator = Operator(fossil)
        try:
            await operator.read_users()
        except ConsoleRefused as error:
            log.warning("%s; the standard users are used", error)
        console = Console(operator.commands)

        async def both() -> None:
            async with trio.open_nursery() as nursery:
                await nursery.start(console.serve, folder / CONSOLE)
                places = [where(listener) for listener in listeners]
                archive = f"venti {venti}" if venti else f"the embedded venti in {folder / 'venti'}"
                announce(f"serving {folder} on {' '.join(places)}, archiving to {archive}")
                announce(f"try: python -m ninep -a '{places[0]}' ls -l")
                await serve(fossil.tree, listeners)

        await until_signalled(both)


async def run_command(arguments: argparse.Namespace) -> None:
    """Asks a running file system."""
    words = [arguments.word, *arguments.words(arguments)]
    async with open_console(folder_of(arguments) / CONSOLE) as line:
        try:
            sys.stdout.write(await line.ask(" ".join("'" + word.replace("'", "''") + "'" for word in words)))
        except ConsoleRefused as error:
            if "nothing has been archived" in str(error):
                raise NoSnapshot(str(error)) from error
            raise


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    parser = argparse.ArgumentParser("fossil", description="Serve files over 9P and remember how they were.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    server = commands.add_parser("serve", help="serve a file system", description=run_serve.__doc__)
    server.set_defaults(run=run_serve)
    server.add_argument("--data", metavar="DIR", help="where it is kept; default: fossil in your data directory")
    server.add_argument("--listen", metavar="ADDRESS", action="append", help=f"default: {DEFAULT_LISTEN}")
    server.add_argument("--venti", metavar="ADDRESS", help="where archives go; default: an embedded venti")
    server.add_argument("--no-permissions", action="store_true", help="everybody may do everything")
    server.add_argument("--durable", action="store_true", help="answer only what is on the disk; slower")
    add_listen_flags(server)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text)
        command.add_argument("--data", metavar="DIR", help="the directory that is served")
        command.set_defaults(run=run_command, word=name, words=lambda arguments: [])
        return command

    command = add("snap", "make a snapshot")
    command.add_argument("-a", dest="archive", action="store_true", help="one that is archived in venti")
    command.set_defaults(words=lambda arguments: ["-a"] if arguments.archive else [])
    command = add("last", "print the score of the newest archive")
    command.add_argument("--wait", action="store_true", help="wait until everything is archived")
    command.set_defaults(words=lambda arguments: ["-w"] if arguments.wait else [])
    add("snapshots", "list the snapshots")
    add("status", "say whether anything is wrong")
    add("df", "say how much room is used")
    add("sync", "return when everything is on the disk")
    command = add("console", "give any command to the console")
    command.add_argument("command", nargs="+")
    command.set_defaults(run=run_console)

    codes = {
        NoSnapshot: NOT_FOUND,
        NotServed: UNREACHABLE,
        DamagedData: DAMAGED,
        FossilError: FAILED,
        DamagedStore: DAMAGED,
        VentiError: FAILED,
    }
    return run_program("fossil", parser, argv, codes)


async def run_console(arguments: argparse.Namespace) -> None:
    """Gives the words to the console as they are."""
    async with open_console(folder_of(arguments) / CONSOLE) as line:
        sys.stdout.write(await line.ask(" ".join(arguments.command)))


if __name__ == "__main__":
    sys.exit(main())
