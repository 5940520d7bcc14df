"""Our programs as real processes: started, waited for, stopped or killed, always within a bound of time."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 60.0


SHARE = 1400
"""Ports of one test process. All of them lie below those that the system gives to connections."""

_first = 10_000 + SHARE * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 10)
_ports = itertools.cycle(range(_first, _first + SHARE))


def free_port() -> int:
    """A port that is free now, and that neither another test process nor an outgoing connection will take."""
    for port in itertools.islice(_ports, SHARE):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"no port from {_first} on is free")


def environment() -> dict[str, str]:
    """This process's own, less what would lead a program to somebody's real data."""
    unwanted = {"venti", "NINEGRID_NET", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"}
    return {name: value for name, value in os.environ.items() if name not in unwanted} | {"PYTHONUNBUFFERED": "1"}


def run(*arguments: str, cwd: Path | None = None, stdin: bytes = b"", timeout: float = 300) -> str:
    """What ``python -m ...`` prints; raises with both outputs when it does not end in success."""
    return run_bytes(*arguments, cwd=cwd, stdin=stdin, timeout=timeout).decode()


def run_bytes(*arguments: str, cwd: Path | None = None, stdin: bytes = b"", timeout: float = 300) -> bytes:
    """The same for programs that print no text."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env=environment(),
        input=stdin,
        capture_output=True,
        timeout=timeout,
    )
    if done.returncode:
        raise AssertionError(f"{arguments} ended with {done.returncode}:\n{done.stdout.decode()}{done.stderr.decode()}")
    return done.stdout


class Program:
    """A server of ours that runs as a process and answers on a port of 127.0.0.1."""

    def __init__(self, port: int, *arguments: str, log: Path) -> None:
        self.port = port
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(),
            )
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise AssertionError(f"nothing answers on port {self.port}: {self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        """Asks it to end, and expects that it does so cleanly."""
        self.process.terminate()
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        assert status == 0, f"ended with {status}: {self.log.read_text()[-2000:]}"

    def kill(self) -> None:
        """SIGKILL: nothing of it gets a last word."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def running(*programs: Program) -> Iterator[None]:
    """Stops the programs in order; kills them if the body failed."""
    try:
        yield
    except BaseException:
        for program in programs:
            program.kill()
        raise
    for program in programs:
        program.stop()
