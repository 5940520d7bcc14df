"""``rebuild-index``: rebuilds the index from the arenas."""

from __future__ import annotations

import argparse
import json

from ninep.cli.flags import Parsers
from venti.cli.flags import add_folder_command


async def run(arguments: argparse.Namespace) -> None:
    """Throws the index of a store away and makes it anew from the arenas, which no server may have open.

    A store without an index makes one when it is opened. This is for an index that is there and wrong.
    """
    import trio

    from venti.cli.folder import folder
    from venti.cli.gauge import Gauge
    from venti.log.place import writable
    from venti.upkeep.rebuild import Rebuild

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


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_folder_command(commands, "rebuild-index", run, "make the index of a store anew")
    parser.add_argument("--json", action="store_true", help="print an object")
