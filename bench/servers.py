"""Starting the servers to be measured as processes of their own, on loopback, each in a scratch directory.

A peer in C is measured when the environment variable ``PLAN9`` names a plan9port tree that has it.
"""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

PATIENCE = 60.0
"""Seconds a server gets until its port answers."""

Server: TypeAlias = Callable[[], contextlib.AbstractContextManager[int]]
"""Starts a server; the value of the context is its port on 127.0.0.1."""


class PeerFailed(Exception):
    """A server did not start; the text has the end of what it said."""


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ours(*arguments: str) -> Iterator[int]:
    """Runs ``python -m`` with the arguments; ``PORT`` and ``DIR`` in them are filled in."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ninegrid-bench-") as scratch:
        filled = [word.replace("PORT", str(port)).replace("DIR", scratch) for word in arguments]
        log = Path(scratch, "log")
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *filled], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        try:
            _wait(port, lambda: process.poll() is None, lambda: log.read_text(errors="replace"))
            yield port
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def process(words: Sequence[str], port: int, **streams: Any) -> Iterator[None]:
    """Runs a program that listens on a port, and ends it."""
    with tempfile.TemporaryFile() as log:
        kept: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **streams}
        running = subprocess.Popen(words, **kept)

        def said() -> str:
            log.seek(0)
            return log.read().decode(errors="replace")

        try:
            _wait(port, lambda: running.poll() is None, said)
            yield
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


class Watched:
    """A program that runs until it is ended; what it says goes to a file.

    Attributes:
        pid: of its process.
    """

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.pid = self._process.pid

    def wait_for(self, port: int) -> None:
        """Returns when the port answers. Raises ``PeerFailed``."""
        _wait(port, lambda: self._process.poll() is None, lambda: self._log.read_text(errors="replace"))

    def end(self) -> None:
        """Ends it, by force if need be."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def our_venti() -> Iterator[int]:
    """Our archive on disk."""
    yield from ours("venti", "serve", "tcp!127.0.0.1!PORT", "--store", "DIR/store")


def our_kept_venti(store: Path) -> Server:
    """The same with its store in a directory that outlasts it."""

    @contextlib.contextmanager
    def server() -> Iterator[int]:
        yield from ours("venti", "serve", "tcp!127.0.0.1!PORT", "--store", str(store))

    return server


@contextlib.contextmanager
def our_fossil() -> Iterator[int]:
    """Our file server on an embedded archive."""
    yield from ours("fossil", "serve", "--data", "DIR/data", "--listen", "tcp!127.0.0.1!PORT")


@contextlib.contextmanager
def our_ramfs() -> Iterator[int]:
    """Our file server in memory: what the protocol side alone can do."""
    yield from ours("ninep", "ramfs", "tcp!127.0.0.1!PORT")


def plan9(program: str) -> Path | None:
    """The path of a plan9port program, or None where there is none."""
    root = os.environ.get("PLAN9")
    if not root:
        return None
    path = Path(root, "bin", program)
    return path if path.exists() else None


@contextlib.contextmanager
def c_venti() -> Iterator[int]:
    """The C archive, compressing, with caches of 64 MiB each."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ninegrid-bench-") as scratch:
        root = Path(scratch)
        for name, size in (("arenas", 4 << 30), ("isect", 256 << 20)):
            with (root / name).open("wb") as part:
                part.truncate(size)
        (root / "venti.conf").write_text(
            f"index main\nisect {root}/isect\narenas {root}/arenas\nmem 64m\nbcmem 64m\nicmem 64m\n"
            f"addr tcp!127.0.0.1!{port}\n"
        )
        for words in (
            ("venti/fmtarenas", "-a", "512M", "arenas0", f"{root}/arenas"),
            ("venti/fmtisect", "isect0", f"{root}/isect"),
            ("venti/fmtindex", f"{root}/venti.conf"),
        ):
            subprocess.run([f"{plan9(words[0])}", *words[1:]], check=True, capture_output=True, timeout=300)
        with _console([f"{plan9('venti/venti')}", "-s", "-c", f"{root}/venti.conf"], port):
            yield port


@contextlib.contextmanager
def c_fossil() -> Iterator[int]:
    """The C file server without an archive, without permissions."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ninegrid-bench-") as scratch:
        root = Path(scratch)
        part = root / "fossil.part"
        with part.open("wb") as file:
            file.truncate(2 << 30)
        formatter, server = f"{plan9('fossil/flfmt')}", f"{plan9('fossil/fossil')}"
        subprocess.run([formatter, "-y", "-l", "bench", f"{part}"], check=True, capture_output=True, timeout=300)
        commands = (
            f"fsys main config {part}",
            "fsys main open -AWPV -c 3000",
            f"listen tcp!127.0.0.1!{port}",
        )
        words = [word for command in commands for word in ("-c", command)]
        with _console([server, "-t", *words], port):
            yield port


@contextlib.contextmanager
def _console(command: list[str], port: int) -> Iterator[None]:
    """Runs a Plan 9 program on a terminal of its own and ends its whole session afterwards."""
    said: list[bytes] = []
    with tempfile.TemporaryDirectory(prefix="ns-") as namespace:
        child, terminal = pty.fork()
        if child == 0:
            os.environ["NAMESPACE"] = namespace
            os.execv(command[0], command)

        def drain() -> None:
            with contextlib.suppress(OSError):
                while text := os.read(terminal, 65536):
                    said.append(text)

        reader = threading.Thread(target=drain, daemon=True)
        reader.start()
        try:
            _wait(port, lambda: True, lambda: b"".join(said).decode(errors="replace"))
            yield
        finally:
            # Plan 9 programs here fork; everything in the session of the terminal is theirs.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, 9)
            os.waitpid(child, 0)
            os.close(terminal)
            reader.join(5)


def _wait(port: int, alive: Callable[[], bool], said: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if not alive():
            break
        time.sleep(0.05)
    raise PeerFailed(f"no server on port {port}: {said()[-500:].strip() or 'it said nothing'}")
