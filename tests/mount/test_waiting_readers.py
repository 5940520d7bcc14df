"""Readers that wait for a stream through a mount can be interrupted and killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from programs.processes import Program, environment, free_port

pytest.importorskip("pyfuse3", reason="pyfuse3 is not installed: pip install 'ninegrid[mount]'")

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="this machine has no /dev/fuse"),
    pytest.mark.skipif(not shutil.which("fusermount3"), reason="there is no fusermount3: apt install fuse3"),
]
PATIENCE = 30.0
TREE = """
import trio
from ninep.synthetic.tree import SyntheticTree

tree = SyntheticTree()
rang = trio.Event()
ended = 0


@tree.stream("bell")
async def bell():
    global ended
    try:
        while True:
            await rang.wait()
            yield "ding\\n"
    finally:
        ended += 1


@tree.control("ring")
def ring(line):
    global rang
    rang.set()
    rang = trio.Event()


@tree.file("ended")
def count():
    return f"{ended}\\n"
"""
HANDLING = """
import os, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: print("signalled", flush=True))
bell = os.open(sys.argv[1], os.O_RDONLY)
print("open", flush=True)
print(os.read(bell, 100).decode(), end="", flush=True)
"""
THREADED = """
import os, sys, threading
bell = os.open(sys.argv[1], os.O_RDONLY)
threading.Thread(target=os.read, args=(bell, 100)).start()
print("open", flush=True)
"""
INHERITED = """
import os, subprocess, sys
bell = os.open(sys.argv[1], os.O_RDONLY)
print(subprocess.Popen(["cat"], stdin=bell).pid, flush=True)
"""


UNFORGIVING = """
import ctypes, os, sys
bell = os.open(sys.argv[1], os.O_RDONLY)
room = ctypes.create_string_buffer(100)
print(ctypes.CDLL(None).read(bell, room, 100), room.value.decode(), end="", flush=True)
"""
"""Python's own read begins again after a signal."""


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the tree with the bell is mounted."""
    folder = tmp_path_factory.mktemp("bell")
    (folder / "bell.py").write_text(TREE)
    place = folder / "a place"
    place.mkdir()
    port = free_port()
    address = f"tcp!127.0.0.1!{port}"
    server = Program(port, "ninep", "serve", str(folder / "bell.py"), address, log=folder / "log")
    with (folder / "mount.log").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "ninep", "mount", "--keep", "0", address, str(place)],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment(),
        )
    try:
        until(lambda: os.path.ismount(place) or process.poll() is not None, "it is not mounted")
        if process.poll() is not None:
            pytest.skip(f"mounting does not work here: {(folder / 'mount.log').read_text().strip()}")
        yield place
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        server.kill()
        subprocess.run(["fusermount3", "-uz", str(place)], check=False, stderr=subprocess.DEVNULL)


def until(condition: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


@contextlib.contextmanager
def reader(*command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_waiting_reader_ends_by_a_signal(point: Path, number: signal.Signals) -> None:
    ended = int((point / "ended").read_text())
    with reader("cat", str(point / "bell")) as process:
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(PATIENCE) == -number
    # The server has heard of it.
    until(lambda: int((point / "ended").read_text()) > ended, "the stream is not given up")


def test_one_that_handles_it_goes_on_and_misses_nothing(point: Path) -> None:
    with reader(sys.executable, "-c", HANDLING, str(point / "bell")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "signalled\n"
        (point / "ring").write_text("now")
        assert process.stdout.readline() == "ding\n"
        assert process.wait(PATIENCE) == 0


def test_a_reader_in_a_thread_of_its_own(point: Path) -> None:
    with reader(sys.executable, "-c", THREADED, str(point / "bell")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(0.3)
        process.kill()
        assert process.wait(PATIENCE) == -signal.SIGKILL


def test_a_reader_that_another_program_has_opened_for(point: Path) -> None:
    with reader(sys.executable, "-c", INHERITED, str(point / "bell")) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        # It is nobody's child any more.
        assert process.wait(PATIENCE) == 0
        time.sleep(0.3)
        os.kill(child, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{child}") or "Z (zombie)" in status(child), "it still runs")


def status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


def test_others_who_wait_for_the_same_go_on(point: Path) -> None:
    with (
        reader("cat", str(point / "bell")) as first,
        reader(sys.executable, "-c", UNFORGIVING, str(point / "bell")) as second,
    ):
        time.sleep(1)
        first.kill()
        first.wait(PATIENCE)
        time.sleep(1)
        assert second.poll() is None, second.stdout.read()
        (point / "ring").write_text("now")
        assert second.stdout is not None
        assert second.stdout.readline() == "5 ding\n"
