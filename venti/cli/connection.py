"""The archive on the network that a command talks to."""

from __future__ import annotations

import argparse
import os
from contextlib import AbstractAsyncContextManager

from ninep.cli.networks import networks_of
from ninep.net.errors import BadAddress
from venti.stores.redial import RedialledStore, redialled
from venti.stores.remote import connect


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
