"""``rebuild-index``: rebuilds the index from the arenas."""

from __future__ import annotations

import argparse
import json

import trio

from ninep.cli.codes import DONE
from venti.commands.connection import Parsers
from venti.commands.folder import add_folder_command, folder, writable
from venti.commands.gauge import Gauge
from venti.upkeep.rebuild import Rebuild


async def run(arguments: argparse.Namespace) -> int:
    """Throws the index of a store away and makes it anew from the arenas, which no server may have open.

    A store without an index makes one when it is opened. This is for an index that is there and wrong.
    """
    path = writable(folder(arguments))
    with Rebuild(path) as rebuild, Gauge("indexed", rebuild.total) as gauge:
        done = False
        while not done:
            before = rebuild.at, rebuild.blocks
            done = await trio.to_thread.run_sync(rebuild.step)
            gauge.add(rebuild.at - before[0], rebuild.blocks - before[1])
    if arguments.json:
        print(json.dumps({"blocks": rebuild.blocks}))
    else:
        print(f"{rebuild.blocks} blocks")
    return DONE


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_folder_command(commands, "rebuild-index", run, "make the index of a store anew")
    parser.add_argument("--json", action="store_true", help="print an object")
