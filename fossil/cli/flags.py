"""Flags that several commands of fossil share, and what the server's verdicts are as exit codes."""

from __future__ import annotations

import argparse
from pathlib import Path

from fossil.console.report import Verdict
from ninep.cli.codes import DAMAGED, DONE, FAILED, UNREACHABLE
from ninep.cli.homes import data_home

CODES = {Verdict.OK: DONE, Verdict.WRONG: FAILED, Verdict.AWAY: UNREACHABLE, Verdict.DAMAGED: DAMAGED}
"""The exit codes of what a server says of a command that was done."""
DEFAULT_LISTEN = "/net.alt/tcp!*!564"


def add_data_flag(parser: argparse.ArgumentParser) -> None:
    """Adds ``--data`` of commands that work on a data directory themselves."""
    parser.add_argument("--data", metavar="DIR", help="where it is kept; default: fossil in your data directory")


def add_archive_flag(parser: argparse.ArgumentParser) -> None:
    """Adds ``--venti`` of commands that read an archive."""
    parser.add_argument("--venti", metavar="ADDRESS", help="where the archive is; default: the embedded venti in DIR")


def folder_of(arguments: argparse.Namespace) -> Path:
    """The data directory."""
    return Path(arguments.data) if arguments.data else data_home() / "fossil"
