"""``stats``: what a running cache has counted."""

from __future__ import annotations

import argparse
import json
import sys

from cfs.cli.flags import add_command
from ninep.cli.flags import Parsers


async def run(arguments: argparse.Namespace) -> None:
    """Prints what a running cache has counted."""
    from cfs.cli.connection import connected, sample
    from cfs.statistics import parse

    async with connected(arguments) as tree:
        text = (await sample(tree)).decode()
    if arguments.json:
        print(json.dumps(parse(text), indent=1))
    else:
        sys.stdout.write(text)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "stats", run, "print what a running cache has counted")
    parser.add_argument("--json", action="store_true", help="print an object for programs")
