"""``ninegrid``, or ``python -m grid``: all programs as one, such as ``ninegrid venti serve``."""

from __future__ import annotations

if __name__ == "__main__":
    from ninep.cli.loading import leave, watch_loading

    watch_loading("ninegrid")

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ninep.cli.program import framed

PROGRAMS = {
    "venti": "an archive of blocks, and vac: files in it",
    "fossil": "a file server with snapshots, and commands to it",
    "cfs": "a cache in front of a 9P file server",
    "ninep": "a 9P client, and servers of a directory or of a tree in memory",
}
"""Each program and what it is. Only the one that is called is loaded."""


class _Version(argparse.Action):
    """Prints the version that is installed; looking for it takes time."""

    def __init__(self, option_strings: Sequence[str], dest: str, **keywords: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=keywords.get("help"))

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"ninegrid {version('ninegrid')}")
        except PackageNotFoundError:
            print("ninegrid, not installed: run from a directory of its sources")
        parser.exit()


def base_parser(called: str = "ninegrid") -> argparse.ArgumentParser:
    """The command line up to the name of the program."""
    parser = argparse.ArgumentParser(called, description="A Plan 9 storage grid: archive, file server, cache, client.")
    parser.add_argument("--version", action=_Version, help="print the version and end")
    return parser


def _choices(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    programs = parser.add_subparsers(required=True, metavar="PROGRAM")
    for name, text in PROGRAMS.items():
        # What stands behind the name is for the program's own parser.
        programs.add_parser(name, help=text, add_help=False)
    return parser


def main(argv: Sequence[str] | None = None, *, called: str = "ninegrid") -> int:
    """Runs one program; returns its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words and words[0] in PROGRAMS:
        program = import_module(f"{words[0]}.__main__").PROGRAM
        return int(program.main(words[1:], called=f"{called} {words[0]}"))

    def tell() -> int:
        _choices(base_parser(called)).parse_args(words)
        return 0

    return framed("ninegrid", tell)


if __name__ == "__main__":
    leave(main(called="python -m grid"))
