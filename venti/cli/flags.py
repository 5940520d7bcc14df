"""Flags that several commands of venti share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ninep.cli.flags import Parsers, add_network_flags


def add_command(commands: Parsers, name: str, run: Callable[..., Any], text: str) -> argparse.ArgumentParser:
    """A command of a client: ``-h`` is the address, as in the original programs."""
    parser = commands.add_parser(name, help=text, description=run.__doc__, add_help=False)
    parser.add_argument("--help", action="help", help="show this and end")
    parser.add_argument("-h", dest="address", metavar="ADDRESS", help="the archive; default: the variable 'venti'")
    parser.set_defaults(run=run)
    add_network_flags(parser)
    return parser


def add_folder_command(commands: Parsers, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    """A command that works on a store's directory."""
    parser = commands.add_parser(name, help=text, description=run.__doc__)
    add_store_flag(parser, "where the blocks are; default: venti in your data directory")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="say more on standard error")
    parser.set_defaults(run=run)
    return parser


def add_store_flag(parser: argparse.ArgumentParser, text: str) -> None:
    """Adds ``--store``."""
    parser.add_argument("--store", metavar="DIR", help=text)


def add_check_flags(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    """Adds what says what to check; ``nargs`` is for the score."""
    parser.add_argument("-p", dest="previous", action="store_true", help="the archives before this one, too")
    parser.add_argument("--json", action="store_true", help="print one object at the end")
    parser.add_argument("score", metavar="SCORE", nargs=nargs, help="vac: and 40 digits, or a file that holds them")
