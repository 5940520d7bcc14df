"""Copies that are interrupted or killed: what was there is there, and nothing half has a real name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ninep.net.identity import user_name
from programs.processes import Program, environment, free_port, running

pytestmark = pytest.mark.process

SIZE = 64 << 20
OLD = b"precious\n"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "served"
    folder.mkdir()
    port = free_port()
    address = f"tcp!127.0.0.1!{port}"
    words = ("ninep", "export", str(folder), address, "--map-users", f"*={user_name()}")
    with running(Program(port, *words, log=tmp_path / "log")):
        yield folder, address


def begin(*words: str, **keywords: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ninep", *words],
        env=environment(),
        stderr=subprocess.PIPE,
        **keywords,  # type: ignore[call-overload] # keywords of Popen
    )


def until(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def part(folder: Path) -> int:
    """Bytes of the file that is on its way to its name, which may get there at any time."""
    size = 0
    for path in folder.glob(".file.*.part"):
        try:
            size = max(size, path.stat().st_blocks)
        except FileNotFoundError:
            pass
    return size


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize(("there", "dialect"), [(True, "9P2000"), (True, "9P2000.L"), (False, "9P2000")])
@pytest.mark.parametrize("command", ["put", "write", "get"])
def test_interrupted(
    command: str, number: signal.Signals, there: bool, dialect: str, served: tuple[Path, str], tmp_path: Path
) -> None:
    folder, address = served
    source, place = tmp_path / "source", tmp_path / "place"
    place.mkdir()
    target = (place if command == "get" else folder) / "file"
    if there:
        target.write_bytes(OLD)
    connection = ("-a", address, "-D", dialect)
    data = os.urandom(1 << 20) * 64
    if command == "get":
        (folder / "big").write_bytes(data)
        process = begin(*connection, "get", "big", str(target))
    elif command == "put":
        source.write_bytes(data)
        process = begin(*connection, "put", str(source), "file")
    else:
        process = begin(*connection, "write", "file", stdin=subprocess.PIPE)
        assert process.stdin is not None
        os.write(process.stdin.fileno(), data[:100_000])
    with process:
        try:
            until(lambda: part(target.parent) > 0)
            process.send_signal(number)
            code = process.wait(60)
            assert process.stderr is not None
            said = process.stderr.read()
        finally:
            process.kill()
    done = target.exists() and target.stat().st_size == SIZE
    if number != signal.SIGKILL:
        assert (code, said) == ((0, b"") if done else (128 + number, b"ninep: interrupted\n"))
        assert list(target.parent.glob(".*.part")) == []
    if not done:
        assert (target.read_bytes() if target.exists() else None) == (OLD if there else None)
