"""``python -m fossil check``: looks for damage, in a file system that is served or one that is not."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio

from fossil.check import Check, Finding
from fossil.console import open_console
from fossil.errors import ArchiveAway, NoSnapshot, NotServed
from fossil.service import CONSOLE, open_fossil
from ninep.cli.codes import DAMAGED, DONE
from ninep.cli.identity import user_name
from ninep.tasks.nursery import background
from ninep.wire.edge import networks_of
from venti.client import connect
from venti.disk import open_disk_store
from venti.store import BlockStore

DAMAGE = "things are damaged"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What ``run`` looks at, besides ``--data`` and ``--venti``."""
    parser.add_argument("--repair", action="store_true", help="fetch from venti what is damaged here, free unused room")
    parser.add_argument("--archives", action="store_true", help="read the newest archive through, with all before it")


async def run(arguments: argparse.Namespace, folder: Path) -> int:
    """Looks for damage: rows, data, and with --archives what is in venti. Where the file system is served, its server
    does it and goes on serving. Prints a line for each thing found and one for all; exits with 4 if damage remains.
    """
    if not (folder / "metadata").exists():
        raise NoSnapshot(f"{folder} has no file system: name its directory with --data")
    words = ["check", *["fix"] * arguments.repair, *["venti"] * arguments.archives]
    try:
        async with open_console(folder / CONSOLE) as line:
            text = await line.ask(" ".join(words))
    except NotServed:
        return await _alone(arguments, folder)
    sys.stdout.write(text)
    return DAMAGED if DAMAGE in text else DONE


async def _alone(arguments: argparse.Namespace, folder: Path) -> int:
    networks = networks_of(arguments)

    def store() -> AbstractAsyncContextManager[BlockStore]:
        return connect(arguments.venti, networks=networks) if arguments.venti else open_disk_store(folder / "venti")

    def report(finding: Finding) -> None:
        print(finding, flush=True)

    async with open_fossil(folder, owner=user_name(), open_store=store) as fossil:
        work = Check(fossil, report, repair=arguments.repair, archives=arguments.archives)
        async with background() as nursery:
            nursery.start_soon(_show, work)
            try:
                await work.run()
            except ArchiveAway as error:
                print(f"the archives could not be looked at: {error}", file=sys.stderr)
        print(work.checked)
        return DAMAGED if work.checked.damaged else DONE


async def _show(work: Check) -> None:
    """Tells on a terminal how far it is, until cancelled."""
    if not sys.stderr.isatty():
        return
    from rich.console import Console

    with Console(stderr=True).status("checking") as line:
        while True:
            line.update(f"checking: {work.checked}")
            await trio.sleep(0.2)
