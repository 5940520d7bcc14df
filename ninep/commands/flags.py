"""Flags that several commands of ninep share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

from ninep.cli.flags import Parsers, add_dial_flags, add_listen_flags, add_network_flags

DIALECTS = ("9P2000", "9P2000.u", "9P2000.L")
"""What ``-D`` can be."""
LISTEN = "/net.alt:5640"
STANDARD_STREAMS = "-"
CONNECTIONS = 4096
MOST_FIDS = 65536
REQUESTS = 1024


def add_command(commands: Parsers, name: str, run: Callable[..., Any], text: str) -> argparse.ArgumentParser:
    """A command of a client."""
    parser = commands.add_parser(name, help=text, description=run.__doc__)
    parser.set_defaults(run=run)
    add_network_flags(parser)
    add_dial_flags(parser)
    return parser


def add_switch(parser: argparse.ArgumentParser, flag: str, name: str, text: str) -> None:
    """Adds a flag that is given or not, as ``name``."""
    parser.add_argument(flag, dest=name, action="store_true", help=text)


def add_recursive(parser: argparse.ArgumentParser) -> None:
    """Adds ``-r``."""
    add_switch(parser, "-r", "recursive", "a directory with all that is in it")


def add_serve_flags(parser: argparse.ArgumentParser) -> None:
    """Adds what every server of files takes: the address, and what clients may have."""
    parser.add_argument(
        "listen",
        metavar="ADDRESS",
        nargs="?",
        default=LISTEN,
        help=f"default: {LISTEN}; '-' is standard input and output",
    )
    add_listen_flags(parser)
    for flag, default, text in (
        ("--max-connections", CONNECTIONS, "connections at once; more are closed"),
        ("--max-fids", MOST_FIDS, "fids of one connection; more are refused"),
        ("--max-requests", REQUESTS, "requests of one connection that wait at once; more queue up"),
    ):
        parser.add_argument(flag, type=positive, default=default, metavar="N", help=f"{text} (default: {default})")
    parser.add_argument(
        "--idle", type=seconds, default=math.inf, metavar="SECONDS", help="close a connection that says nothing so long"
    )


def positive(text: str) -> int:
    """A number above 0."""
    if not text.isascii() or not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def seconds(text: str) -> float:
    """A time above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value
