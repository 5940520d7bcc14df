"""Trouble that clients can cause as often as they like fills no log."""

from __future__ import annotations

import errno
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ninep.tasks import sparing
from ninep.tasks.sparing import SparingFilter
from programs.processes import environment, free_port


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def test_each_trouble_is_told_once_in_a_while() -> None:
    now = 0.0
    handler, log = Lines(), logging.Logger("some")  # noqa: LOG001 of its own
    handler.addFilter(SparingFilter(lambda: now))
    log.addHandler(handler)

    def fails(kind: type[Exception], request: object) -> None:
        try:
            raise kind("told")
        except Exception as error:
            log.error("request failed: %s", request, exc_info=error)

    for number in range(100):
        fails(KeyError, number)
        fails(ValueError, number)
        log.warning("request failed: %s: %s", number, OSError(errno.EIO, "broken"))
        log.warning("request failed: %s: %s", number, OSError(errno.ESTALE, "gone"))
    assert handler.lines == [
        "request failed: 0",
        "request failed: 0",
        "request failed: 0: [Errno 5] broken",
        "request failed: 0: [Errno 116] gone",
    ]
    now = sparing.SILENCE
    fails(KeyError, 7)
    fails(KeyError, 8)
    assert handler.lines[4:] == ["request failed: 7 (and 99 times more since this was said last)"]


def test_all_else_is_always_told() -> None:
    handler, log = Lines(), logging.Logger("some")  # noqa: LOG001 of its own
    handler.addFilter(SparingFilter(lambda: 0.0))
    log.addHandler(handler)
    for number in range(3):
        log.warning("the disk is full: %d", number)
    assert len(handler.lines) == 3


SERVER = """
import sys
from ninep.cli import program
from ninep.commands import serve
from ninep.ram import tree

def broken(*_: object, **__: object) -> None:
    raise RuntimeError("a bug")

tree.RamFile.stat = broken
from ninep.__main__ import main
sys.exit(main(sys.argv[1:]))
"""

CLIENT = """
import sys, trio
from ninep.client.tree import connect

async def ask():
    async with connect(sys.argv[1]) as tree:
        for _ in range(200):
            try:
                await tree.stat("")
            except Exception as error:
                assert "internal error" in str(error) or "Input/output" in str(error), error

trio.run(ask)
"""


@pytest.mark.process
def test_a_server_that_fails_a_thousand_times_writes_a_short_log(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    address = f"tcp!127.0.0.1!{port}"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, "ramfs", address], stdout=out, stderr=out, env=environment()
        )
    try:
        deadline = time.monotonic() + 60
        while str(port) not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        subprocess.run([sys.executable, "-c", CLIENT, address], check=True, timeout=60, env=environment())
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    finally:
        server.kill()
        server.wait()
    assert 1 <= log.read_text().count("Traceback") <= 6, log.read_text()[-3000:]
