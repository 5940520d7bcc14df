"""``python -m cfs``: a cache in front of a 9P file server."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

from cfs.cache import Cache
from cfs.errors import BadBound, CfsError
from cfs.server import serve as serve_cache
from cfs.store import Store
from ninep.wire.address import parse
from ninep.wire.dial import dial
from ninep.wire.edge import (
    FAILED,
    USAGE,
    add_listen_flags,
    announce,
    cache_home,
    listening,
    networks_of,
    run_program,
    until_signalled,
)
from ninep.wire.listen import where

LISTEN = "/net.alt/tcp!*!5641"
SIZE = "10G"
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def size_in_bytes(text: str) -> int:
    """``10G`` and the like; the letters are powers of 1024."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write for example 500M or 10G")
    return int(float(found[1]) * _UNITS[found[2]])


async def serve(arguments: argparse.Namespace) -> None:
    """Serves the tree of a file server, and keeps on local disk what is read through it."""
    networks = networks_of(arguments)
    server = str(parse(arguments.address, "9fs"))

    async def connect() -> trio.abc.Stream:
        return await dial(arguments.address, service="9fs", networks=networks)

    # A wrong address is better said now than to the first client.
    await trio.aclose_forcefully(await connect())
    directory = arguments.cache or cache_home() / "cfs" / re.sub(r"[^\w.-]+", "_", server).strip("_")
    listeners = await listening(arguments, arguments.listen, service="9fs")
    try:
        with Store(directory, arguments.size, server) as store:
            places = ", ".join(where(listener) for listener in listeners)
            announce(f"cfs: serving {server} on {places}, cache {directory} of {arguments.size} bytes")
            await until_signalled(lambda: serve_cache(Cache(store), connect, listeners))
    finally:
        for listener in listeners:
            await trio.aclose_forcefully(listener)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    parser = argparse.ArgumentParser("cfs", description="A cache in front of a 9P file server.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("serve", help="serve a file server's tree through a cache", description=serve.__doc__)
    command.set_defaults(run=serve)
    add_listen_flags(command)
    command.add_argument(
        "-a", dest="address", metavar="ADDRESS", required=True, help="the file server, for example tcp!fs!9fs"
    )
    command.add_argument("--listen", metavar="ADDRESS", default=LISTEN, help=f"where to serve; default: {LISTEN}")
    command.add_argument(
        "--cache", metavar="DIRECTORY", type=Path, help="where to keep data; default: one for each file server"
    )
    command.add_argument(
        "--size", metavar="BYTES", type=size_in_bytes, default=SIZE, help=f"how much to keep; default: {SIZE}"
    )
    return run_program("cfs", parser, argv, {BadBound: USAGE, CfsError: FAILED})


if __name__ == "__main__":
    sys.exit(main())
