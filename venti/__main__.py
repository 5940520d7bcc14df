"""``python -m venti``: an archive server and its tools."""

from __future__ import annotations

if __name__ == "__main__":
    from ninep.cli.loading import leave, watch_loading

    watch_loading("venti")

import argparse
import gc
import sys
from collections.abc import Sequence
from importlib import import_module

from ninep.cli.codes import DAMAGED, FAILED, NOT_FOUND, USAGE
from ninep.cli.networks import run_program
from venti.blocks.errors import (
    BadSettings,
    BlockNotFound,
    DamagedArchive,
    DamagedBlock,
    DamagedStore,
    LostBlock,
    NoStore,
    NotInArchive,
    VentiError,
)

COMMANDS = {
    "serve": "serve",
    "read": "blocks",
    "write": "blocks",
    "sync": "blocks",
    "vac": "vac",
    "unvac": "unvac",
    "check": "check",
    "copy": "copy",
    "repair": "repair",
    "verify": "verify",
    "scrub": "scrub",
    "rebuild-index": "rebuild",
    "stats": "stats",
    "import": "importing",
    "export": "export",
    "mirror": "mirror",
}
"""Each command and the module in ``venti.commands`` that adds it. Others are not even loaded: that takes longer than
to store a few files."""


def make_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The whole command line, or the part of it that ``command`` needs, if there is such a command."""
    parser = argparse.ArgumentParser("venti", description="Keep blocks for ever, named by their hash.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in dict.fromkeys((COMMANDS[command],) if command in COMMANDS else COMMANDS.values()):
        import_module(f"venti.commands.{module}").add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    words = sys.argv[1:] if argv is None else argv
    codes = {
        BadSettings: USAGE,
        BlockNotFound: NOT_FOUND,
        NotInArchive: NOT_FOUND,
        NoStore: NOT_FOUND,
        DamagedArchive: DAMAGED,
        DamagedBlock: DAMAGED,
        DamagedStore: DAMAGED,
        LostBlock: DAMAGED,
        VentiError: FAILED,
    }
    return run_program("venti", make_parser(*words[:1]), words, codes)


if __name__ == "__main__":
    code = main()
    # The system takes all memory back at once; to look through it for cycles first takes as long as storing some files.
    gc.freeze()
    leave(code)
