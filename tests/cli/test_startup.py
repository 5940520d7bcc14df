"""What a program loads before it works: help needs no event loop, and a command that speaks to a socket no database."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import cfs.cli.serve
import cfs.upstream.upstream
import ninep.client.connection
import ninep.commands.flags
import ninep.net.accept
import ninep.server.session
import venti.cli.settings as settings
import venti.commands.vac
import venti.log.index
import venti.log.opening
import venti.log.space
import venti.server
import venti.trees.tree
import venti.upkeep.service
from ninep.cli.codes import UNREACHABLE
from ninep.cli.flags import BUSY_POLL
from ninep.wire import busypoll
from ninep.wire.limits import Limits

PROGRAMS = ("ninep", "venti", "fossil", "cfs")
STORES = {"lmdb", "sqlite3", "msgpack", "blake3", "lz4", "multiprocessing"}
REST = {"rich", "pyfuse3", "fsspec", "asyncio", "dataclasses", "tomllib"}
SERVERS = {"ninep.server.session", "ninep.copy.put", "ninep.export", "venti.log", "fossil.live", "cfs.disk"}

HELP = """
import argparse, sys
from {program}.__main__ import PROGRAM
parser = PROGRAM.parser()
parser.format_help()
for command in parser._subparsers._group_actions[0].choices.values():
    command.format_help()
print(*sys.modules)
"""
COMMAND = """
import sys
from {program}.__main__ import main
code = main(sys.argv[1:])
print(code, *sys.modules)
"""


def loaded(code: str, *words: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_loads_nothing_to_work_with(program: str) -> None:
    found = set(loaded(HELP.format(program=program)))
    assert f"{program}.__main__" in found
    assert not found & {"trio", "ssl", "socket", *STORES, *REST, *SERVERS}


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("ninep", ["-a", "unix!{nobody}", "ls"]),
        ("ninep", ["-a", "unix!{nobody}", "cat", "x"]),
        ("ninep", ["-a", "unix!{nobody}", "stat", "x"]),
        ("ninep", ["-a", "unix!{nobody}", "write", "x"]),
        ("ninep", ["-a", "unix!{nobody}", "mkdir", "x"]),
        ("ninep", ["-a", "unix!{nobody}", "rm", "x"]),
        ("venti", ["read", "-h", "unix!{nobody}", "00" * 20]),
        ("venti", ["sync", "-h", "unix!{nobody}"]),
        ("fossil", ["df", "--data", "{folder}"]),
        ("fossil", ["snap", "--data", "{folder}"]),
        ("fossil", ["history", "--data", "{folder}", "/x"]),
        ("fossil", ["con", "--data", "{folder}", "df"]),
        ("cfs", ["stats", "-a", "unix!{nobody}"]),
        ("cfs", ["unpin", "-a", "unix!{nobody}", "x"]),
    ],
)
def test_what_speaks_to_a_socket_loads_no_store(program: str, words: Sequence[str], tmp_path: Path) -> None:
    words = [word.format(nobody=tmp_path / "nobody", folder=tmp_path) for word in words]
    code, *found = loaded(COMMAND.format(program=program), *words)
    assert code == str(UNREACHABLE)
    assert "trio" in found
    assert not set(found) & {*STORES, *SERVERS, "rich", "pyfuse3", "fsspec", "asyncio", "tomllib"}


@pytest.mark.parametrize(
    ("told", "real"),
    [
        (BUSY_POLL, busypoll.LIMIT),
        (ninep.commands.flags.DIALECTS, ninep.client.connection.DIALECTS),
        (ninep.commands.flags.CONNECTIONS, ninep.net.accept.CONNECTIONS),
        (ninep.commands.flags.MOST_FIDS, ninep.server.session.MOST_FIDS),
        (ninep.commands.flags.REQUESTS, Limits().requests),
        (settings.SCRUB_RATE, venti.upkeep.service.SCRUB_RATE),
        (settings.ARENA_SIZE, venti.log.opening.ARENA_SIZE),
        (settings.MEMORY, venti.log.index.MEMORY),
        (settings.RESERVE, venti.log.space.RESERVE),
        (settings.REQUEST_BYTES, venti.server.LIMITS.request_bytes),
        (settings.REPLY_BYTES, venti.server.LIMITS.reply_bytes),
        (settings.HANDSHAKE, venti.server.LIMITS.handshake),
        (settings.IDLE, venti.server.LIMITS.idle),
        (venti.commands.vac.BLOCK_SIZE, venti.trees.tree.DSIZE),
        (cfs.cli.serve.PATIENCE, cfs.upstream.upstream.PATIENCE),
    ],
)
def test_what_help_tells_as_usual_is_what_the_library_has(told: object, real: object) -> None:
    assert told == real


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_names_the_command_as_it_was_called(program: str) -> None:
    module = [sys.executable, "-m", program]
    done = subprocess.run([*module, "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"usage: python -m {program} ")
    done = subprocess.run([*module, "no-such-command"], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.startswith(f"usage: python -m {program} ")
    assert done.returncode == 2
