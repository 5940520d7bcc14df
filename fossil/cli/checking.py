"""The check of a file system that nobody serves."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio

from fossil.cli.flags import CODES
from fossil.errors import ArchiveAway
from fossil.server.check import Check, Finding
from fossil.server.service import EMBEDDED, open_fossil
from ninep.cli.networks import networks_of
from ninep.net.errors import Unreachable
from ninep.net.identity import user_name
from ninep.tasks.nursery import background
from venti.log.opening import open_disk_store
from venti.stores.interface import BlockStore
from venti.stores.remote import connect


async def check(arguments: argparse.Namespace, folder: Path) -> int:
    """Does it, prints what is found, and returns the exit code."""
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
