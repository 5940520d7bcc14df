"""Servers whose descriptors are all in use: they say so, refuse whom they cannot serve, and go on."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from programs.processes import environment, free_port

FEW = 48
HELLO = b"\x13\0\0\0\x64\xff\xff\0\x20\0\0\x06\x009P2000"
VENTI = b"venti-02-test\n\0\x0c\x04\0\0\x0202\0\x01x\0\0\0"


def words(program: str, address: str, root: Path) -> list[str]:
    match program:
        case "ramfs":
            return ["ninep", "ramfs", address]
        case "export":
            (root / "served").mkdir()
            return ["ninep", "export", str(root / "served"), address]
        case "fossil":
            return ["fossil", "serve", "--data", str(root / "data"), "--listen", address]
        case "venti":
            return ["venti", "serve", address, "--store", str(root / "store"), "--workers", "0"]
        case _:
            raise AssertionError(program)


def greeted(port: int, hello: bytes) -> socket.socket | None:
    """A connection that has said hello and had its answer, if it had one."""
    link = socket.create_connection(("127.0.0.1", port), 10)
    try:
        link.sendall(hello)
        if hello == VENTI:
            while (letter := link.recv(1)) != b"\n":
                if not letter:
                    raise OSError("no version line")
        if link.recv(100):
            return link
    except OSError:
        pass
    link.close()
    return None


def started(program: str, root: Path, log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A server with few descriptors, and its port: it says itself that it serves, so that no other one is met there."""
    for attempt in range(5):
        port = free_port()
        place = root / str(attempt)
        place.mkdir()
        with log.open("wb") as out:
            server = subprocess.Popen(
                [sys.executable, "-m", *words(program, f"tcp!127.0.0.1!{port}", place)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment(),
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, FEW)),
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and server.poll() is None:
            if f"!{port}" in log.read_text():
                return server, port
            time.sleep(0.05)
        server.kill()
        server.wait()
    raise AssertionError(log.read_text())


@pytest.mark.parametrize("program", ["ramfs", "export", "fossil", "venti"])
def test_a_server_without_descriptors_goes_on(program: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    hello = VENTI if program == "venti" else HELLO
    server, port = started(program, tmp_path, log)
    links: list[socket.socket] = []
    try:
        assert server.poll() is None, log.read_text()
        # Some only hold the line: whoever speaks finds room all the same.
        silent = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(FEW)]
        links += silent
        for _ in range(4):
            link = greeted(port, hello)
            assert link is not None, log.read_text()
            links.append(link)
        refused = 0
        for _ in range(FEW):
            link = greeted(port, hello)
            if link is None:
                refused += 1
            else:
                links.append(link)
        assert refused, log.read_text()
        assert server.poll() is None
        for link in links:
            link.close()
        deadline = time.monotonic() + 30
        while (link := greeted(port, hello)) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert link is not None
        link.close()
        said = log.read_text()
        # An export counts them, and refuses before the system does.
        assert "Too many open files" in said or "are open, the most that this server takes" in said
        assert "Traceback" not in said
        assert len(said.splitlines()) < 15
    finally:
        for link in links:
            link.close()
        server.kill()
        server.wait()
