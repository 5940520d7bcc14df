"""``python -m cfs``: a cache in front of a 9P file server."""

from __future__ import annotations

if __name__ == "__main__":
    from ninep.cli.loading import leave, watch_loading

    watch_loading("cfs")

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from cfs.cli import commands as do
from cfs.errors import BadBound, CfsError, NoCache
from cfs.upstream.upstream import PATIENCE
from ninep.cli.codes import FAILED, NOT_FOUND, UNREACHABLE, USAGE
from ninep.cli.networks import add_listen_flags, add_network_flags, run_program
from ninep.cli.sizes import size_of
from ninep.protocol.errors import FileNotFound, NinepError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    parser = argparse.ArgumentParser("cfs", description="A cache in front of a 9P file server.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "serve", help="serve a file server's tree through a cache", description=do.serve.__doc__
    )
    command.set_defaults(run=do.serve)
    add_listen_flags(command)
    command.add_argument(
        "-a", dest="address", metavar="ADDRESS", required=True, help="the file server, for example tcp!fs!9fs"
    )
    command.add_argument("--listen", metavar="ADDRESS", default=do.LISTEN, help=f"where to serve; default: {do.LISTEN}")
    command.add_argument(
        "--cache", metavar="DIRECTORY", type=Path, help="where to keep data; default: one for each file server"
    )
    command.add_argument(
        "--size", metavar="BYTES", type=size_of, default=do.SIZE, help=f"how much to keep; default: {do.SIZE}"
    )
    command.add_argument(
        "--trust",
        metavar="SECONDS",
        type=do.seconds,
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
        type=do.seconds,
        nargs="?",
        const=math.inf,
        default=0.0,
        help="wait for a file server that cannot be reached at the start; default: forever if given without a number",
    )
    command.add_argument(
        "--patience",
        metavar="SECONDS",
        type=do.seconds,
        default=PATIENCE,
        help=f"how long a request waits for a file server that went away; default: {PATIENCE:g}",
    )
    command.add_argument(
        "--offline",
        metavar="SECONDS",
        type=do.seconds,
        default=math.inf,
        help="for how long after that what is cached may still be read; default: forever",
    )
    for name, run, text in (
        ("stats", do.stats, "print what a running cache has counted"),
        ("warm", do.warm, "read trees through a running cache, so that it has them"),
        ("unpin", do.unpin, "let what was pinned give way again"),
    ):
        command = commands.add_parser(name, help=text, description=run.__doc__)
        command.set_defaults(run=run)
        add_network_flags(command)
        command.add_argument(
            "-a", dest="address", metavar="ADDRESS", default=do.DEFAULT, help=f"the cache; default: {do.DEFAULT}"
        )
        command.add_argument("-u", dest="uname", metavar="USER", help="who to be; default: who runs this")
        command.add_argument("-A", dest="aname", metavar="TREE", default="", help="the tree to attach to")
        if name == "stats":
            command.add_argument("--json", action="store_true", help="print an object for programs")
        else:
            command.add_argument("path", metavar="PATH", nargs="+", help="a file or directory of the tree")
        if name == "warm":
            command.add_argument("--pin", action="store_true", help="and keep it, whatever else is read")
    codes = {
        BadBound: USAGE,
        NoCache: UNREACHABLE,
        CfsError: FAILED,
        FileNotFound: NOT_FOUND,
        NinepError: FAILED,
    }
    return run_program("cfs", parser, argv, codes)


if __name__ == "__main__":
    leave(main())
