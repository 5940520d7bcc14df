"""``python -m fossil check``: looks for damage, in a file system that is served or one that is not."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio

from fossil.console.console import open_console
from fossil.console.report import Verdict
from fossil.errors import ArchiveAway, NoSnapshot, NotServed
from fossil.server.check import Check, Finding
from fossil.server.service import CONSOLE, EMBEDDED, open_fossil
from ninep.cli.codes import DAMAGED, DONE, FAILED, UNREACHABLE
from ninep.cli.networks import networks_of
from ninep.cli.streams import print_result
from ninep.net.errors import Unreachable
from ninep.net.identity import user_name
from ninep.tasks.nursery import background
from venti.log.opening import open_disk_store
from venti.stores.interface import BlockStore
from venti.stores.remote import connect

CODES = {Verdict.OK: DONE, Verdict.WRONG: FAILED, Verdict.AWAY: UNREACHABLE, Verdict.DAMAGED: DAMAGED}
"""The exit codes of what a server says of a command that was done."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What ``run`` looks at, besides ``--data`` and ``--venti``."""
    parser.add_argument("--repair", action="store_true", help="fetch from venti what is damaged here, free unused room")
    parser.add_argument("--archives", action="store_true", help="read the newest archive through, with all before it")


async def run(arguments: argparse.Namespace, folder: Path) -> int:
    """Looks for damage: rows, data, and with --archives what is in venti. Where the file system is served, its server
    does it and goes on serving. Prints a line for each thing found and one for all; exits with 4 if damage remains, and
    with 3 if the archives could not be looked at.
    """
    if not (folder / "metadata").exists():
        raise NoSnapshot(f"{folder} has no file system: name its directory with --data")
    words = ["check", *["fix"] * arguments.repair, *["venti"] * arguments.archives]
    try:
        async with open_console(folder / CONSOLE) as line:
            report = await line.ask(" ".join(words))
    except NotServed:
        return await _alone(arguments, folder)
    print_result(report, end="")
    return CODES[report.verdict]


async def _alone(arguments: argparse.Namespace, folder: Path) -> int:
    networks = networks_of(arguments)

    def address() -> str:
        """What was said, else where the archive was last."""
        known = fossil.trust.addresses()
        return arguments.venti or (known[0] if known else "")

    def store() -> AbstractAsyncContextManager[BlockStore]:
        if address():
            return connect(address(), networks=networks)
        if not (folder / EMBEDDED).exists():
            raise Unreachable(f"there is no archive in {folder / EMBEDDED}: say where the venti is with --venti")
        return open_disk_store(folder / EMBEDDED)

    def report(finding: Finding) -> None:
        print(finding, flush=True)

    async with open_fossil(folder, owner=user_name(), open_store=store, archiving=False) as fossil:
        work = Check(fossil, report, repair=arguments.repair, archives=arguments.archives)
        async with background() as nursery:
            nursery.start_soon(_show, work)
            try:
                await work.run()
            except ArchiveAway as error:
                print(f"the archives could not be looked at: {error}", file=sys.stderr)
        print(work.checked)
        return CODES[work.checked.verdict]


async def _show(work: Check) -> None:
    """Tells on a terminal how far it is, until cancelled."""
    if not sys.stderr.isatty():
        return
    from rich.console import Console

    with Console(stderr=True).status("checking") as line:
        while True:
            line.update(f"checking: {work.checked}")
            await trio.sleep(0.2)
