"""``serve``: a file server's tree through a cache."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cfs.cli.flags import seconds
from ninep.cli.flags import Parsers, add_listen_flags
from ninep.cli.sizes import size_of

if TYPE_CHECKING:
    import trio

LISTEN = "/net.alt/tcp!*!5641"
SIZE = "10G"
PATIENCE = 30.0
"""Seconds that a request waits for a file server that went away."""


async def run(arguments: argparse.Namespace) -> None:
    """Serves the tree of a file server, and keeps on local disk what is read through it."""
    import trio

    from cfs.cli.reaching import first, prepare, watch
    from cfs.files.cache import opened
    from cfs.known.frozen import OF_FOSSIL
    from cfs.server import serve
    from ninep.cli.homes import cache_home
    from ninep.cli.networks import can_listen, listening, networks_of
    from ninep.cli.serving import announce, until_signalled
    from ninep.net.address import parse
    from ninep.net.dial import dial
    from ninep.net.listen import where

    networks = networks_of(arguments)
    server = str(parse(arguments.address, "9fs"))

    async def connect() -> trio.abc.Stream:
        stream = await dial(arguments.address, service="9fs", networks=networks)
        watch(stream)
        return stream

    await first(connect, arguments.wait)
    directory = arguments.cache or cache_home() / "cfs" / re.sub(r"[^\w.-]+", "_", server).strip("_")
    frozen = OF_FOSSIL if arguments.immutable is None else [text for text in arguments.immutable if text != "none"]
    await can_listen(arguments, arguments.listen, service="9fs")
    prepare(directory)
    with opened(directory, arguments.size, server, frozen=frozen, trust=arguments.trust) as cache:
        listeners = await listening(arguments, arguments.listen, service="9fs")
        try:
            places = ", ".join(where(listener) for listener in listeners)
            announce(f"cfs: serving {server} on {places}, cache {directory} of {arguments.size} bytes")
            await until_signalled(
                lambda: serve(cache, connect, listeners, patience=arguments.patience, offline=arguments.offline)
            )
        finally:
            for listener in listeners:
                await trio.aclose_forcefully(listener)


def add(commands: Parsers) -> None:
    """Adds the command."""
    command = commands.add_parser("serve", help="serve a file server's tree through a cache", description=run.__doc__)
    command.set_defaults(run=run)
    add_listen_flags(command)
    command.add_argument(
        "-a", dest="address", metavar="ADDRESS", required=True, help="the file server, for example tcp!fs!9fs"
    )
    command.add_argument("--listen", metavar="ADDRESS", default=LISTEN, help=f"where to serve; default: {LISTEN}")
    command.add_argument(
        "--cache", metavar="DIRECTORY", type=Path, help="where to keep data; default: one for each file server"
    )
    command.add_argument(
        "--size", metavar="BYTES", type=size_of, default=SIZE, help=f"how much to keep; default: {SIZE}"
    )
    command.add_argument(
        "--trust",
        metavar="SECONDS",
        type=seconds,
        default=0.0,
        help="believe for so long what the server said of names, attributes and versions; default: 0, ask every time",
    )
    command.add_argument(
        "--immutable",
        metavar="ANAME:PATH",
        action="append",
        help="a tree that never changes; shell patterns in the elements of PATH; may be given more than once, instead"
        " of the archives and snapshots of fossil; none says that there is no such tree",
    )
    command.add_argument(
        "--wait",
        metavar="SECONDS",
        type=seconds,
        nargs="?",
        const=math.inf,
        default=0.0,
        help="wait for a file server that cannot be reached at the start; default: forever if given without a number",
    )
    command.add_argument(
        "--patience",
        metavar="SECONDS",
        type=seconds,
        default=PATIENCE,
        help=f"how long a request waits for a file server that went away; default: {PATIENCE:g}",
    )
    command.add_argument(
        "--offline",
        metavar="SECONDS",
        type=seconds,
        default=math.inf,
        help="for how long after that what is cached may still be read; default: forever",
    )
