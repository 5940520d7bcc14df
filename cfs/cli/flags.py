"""Flags that several commands of cfs share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

from ninep.cli.flags import Parsers, add_network_flags

DEFAULT = "/net.alt:5641"


def seconds(text: str) -> float:
    """A number of seconds; ``forever`` is one, too."""
    if text == "forever":
        return math.inf
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds: write for example 30 or forever")
    return value


def add_command(commands: Parsers, name: str, run: Callable[..., Any], text: str) -> argparse.ArgumentParser:
    """A command to a cache that runs."""
    parser = commands.add_parser(name, help=text, description=run.__doc__)
    parser.set_defaults(run=run)
    add_network_flags(parser)
    parser.add_argument("-a", dest="address", metavar="ADDRESS", default=DEFAULT, help=f"the cache; default: {DEFAULT}")
    parser.add_argument("-u", dest="uname", metavar="USER", help="who to be; default: who runs this")
    parser.add_argument("-A", dest="aname", metavar="TREE", default="", help="the tree to attach to")
    return parser


def add_paths(parser: argparse.ArgumentParser) -> None:
    """What the command is about."""
    parser.add_argument("path", metavar="PATH", nargs="+", help="a file or directory of the tree")
