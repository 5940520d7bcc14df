"""Which archive a command talks to."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from ninep.cli.networks import add_network_flags, networks_of
from ninep.net.errors import BadAddress
from venti.stores.redial import RedialledStore, redialled
from venti.stores.remote import connect


class Parsers(Protocol):
    """What ``add_subparsers`` returns."""

    def add_parser(self, name: str, **keywords: Any) -> argparse.ArgumentParser: ...


def add_command(commands: Parsers, name: str, run: Callable[..., Any], text: str) -> argparse.ArgumentParser:
    """A command of a client: ``-h`` is the address, as in the original programs."""
    parser = commands.add_parser(name, help=text, description=run.__doc__, add_help=False)
    parser.add_argument("--help", action="help", help="show this and end")
    parser.add_argument("-h", dest="address", metavar="ADDRESS", help="the archive; default: the variable 'venti'")
    parser.set_defaults(run=run)
    add_network_flags(parser)
    return parser


def archive_address(arguments: argparse.Namespace) -> str:
    """The address that ``-h`` or the environment gives.

    Raises:
        BadAddress: neither does.
    """
    address = arguments.address or os.environ.get("venti")  # noqa: SIM112 the name that the original programs use
    if not address:
        raise BadAddress("which archive? say -h ADDRESS, or set the variable 'venti', for example to /net.alt:17034")
    return str(address)


def archive(arguments: argparse.Namespace) -> AbstractAsyncContextManager[RedialledStore]:
    """The archive that ``-h`` or the environment names; a connection that breaks is made again."""
    return archive_at(archive_address(arguments), arguments)


def archive_at(address: str, arguments: argparse.Namespace) -> AbstractAsyncContextManager[RedialledStore]:
    """The archive at an address; a connection that breaks is made again."""
    networks = networks_of(arguments)
    return redialled(lambda: connect(address, networks=networks))
