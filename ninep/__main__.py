"""``python -m ninep``: a 9P client for the shell, and servers of a directory and of a tree in memory."""

from __future__ import annotations

if __name__ == "__main__":
    from ninep.cli.loading import leave, watch_loading

    watch_loading("ninep")

import argparse

from ninep.cli.codes import FAILED, NOT_FOUND
from ninep.cli.commands import Program
from ninep.commands.flags import DIALECTS
from ninep.protocol.errors import FileNotFound, NinepError


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that stand before the command."""
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


NAMES = ("ls", "cat", "stat", "write", "mkdir", "rm", "mv", "put", "get", "ramfs", "export", "serve", "mount")
PROGRAM = Program(
    "ninep",
    "Use files on a 9P server, or serve some.",
    {name: f"ninep.commands.{name}" for name in NAMES},
    {FileNotFound: NOT_FOUND, NinepError: FAILED},
    add_flags,
)
main = PROGRAM.main

if __name__ == "__main__":
    leave(main(called="python -m ninep"))
