"""``python -m venti``: an archive server and its tools."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ninep.wire.edge import DAMAGED, FAILED, NOT_FOUND, USAGE, run_program
from venti.commands import (
    blocks,
    check,
    copy,
    export,
    importing,
    mirror,
    rebuild,
    repair,
    scrub,
    serve,
    stats,
    unvac,
    vac,
    verify,
)
from venti.errors import (
    BadSettings,
    BlockNotFound,
    DamagedArchive,
    DamagedBlock,
    DamagedStore,
    NotInArchive,
    VentiError,
)

COMMANDS = (serve, blocks, vac, unvac, check, copy, repair, verify, scrub, rebuild, stats, importing, export, mirror)


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser("venti", description="Keep blocks for ever, named by their hash.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    codes = {
        BadSettings: USAGE,
        BlockNotFound: NOT_FOUND,
        NotInArchive: NOT_FOUND,
        DamagedArchive: DAMAGED,
        DamagedBlock: DAMAGED,
        DamagedStore: DAMAGED,
        VentiError: FAILED,
    }
    return run_program("venti", make_parser(), argv, codes)


if __name__ == "__main__":
    sys.exit(main())
