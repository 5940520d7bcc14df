"""Which cache a command talks to, and the file in it that commands are given and counts are read by."""

from __future__ import annotations

import argparse
from contextlib import AbstractAsyncContextManager

from cfs.errors import CfsError, NoCache
from cfs.statistics import FILE
from cfs.statistics import parse as parse_sample
from ninep.cli.networks import networks_of
from ninep.client.tree import RemoteTree, connect
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError, FileNotFound


def connected(arguments: argparse.Namespace) -> AbstractAsyncContextManager[RemoteTree]:
    """The tree of the cache that the flags name."""
    networks = networks_of(arguments)
    return connect(arguments.address, uname=arguments.uname, aname=arguments.aname, networks=networks)


async def sample(tree: RemoteTree) -> bytes:
    """What the cache has counted. Raises NoCache where there is none."""
    try:
        text = await tree.read_bytes(FILE)
        parse_sample(text.decode())
    except (FileNotFound, ValueError) as error:
        raise NoCache from error
    return text


async def tell(tree: RemoteTree, command: str) -> None:
    """Gives the cache a command. Raises CfsError where it refuses."""
    try:
        async with tree.open(FILE, m.OWRITE) as file:
            await file.write(0, f"{command}\n".encode("utf-8", "surrogateescape"))
    except FileError as error:
        raise CfsError(f"{command}: {error}") from error
