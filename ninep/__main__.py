"""``python -m ninep``: a 9P client for the shell, and servers of a directory and of a tree in memory."""

from __future__ import annotations

if __name__ == "__main__":
    from ninep.cli.loading import leave, watch_loading

    watch_loading("ninep")

import argparse
from collections.abc import Sequence

from ninep.cli.codes import FAILED, NOT_FOUND
from ninep.cli.networks import run_program
from ninep.client.connection import DIALECTS
from ninep.commands.files import add_all
from ninep.protocol.errors import FileNotFound, NinepError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    parser = argparse.ArgumentParser("ninep", description="Use files on a 9P server, or serve some.")
    parser.add_argument("-a", dest="address", metavar="ADDRESS", help="the server, for example tcp!fs!9fs")
    parser.add_argument("-A", dest="aname", metavar="ANAME", default="", help="which of its trees; default: its own")
    parser.add_argument("-u", dest="uname", metavar="UNAME", help="as which user; default: yourself")
    parser.add_argument(
        "-D",
        dest="dialect",
        metavar="DIALECT",
        choices=DIALECTS,
        help=f"the highest dialect to speak: {', '.join(DIALECTS)}; default: the first, for mount the last",
    )
    add_all(parser.add_subparsers(required=True, metavar="COMMAND"))
    return run_program("ninep", parser, argv, {FileNotFound: NOT_FOUND, NinepError: FAILED})


if __name__ == "__main__":
    leave(main())
