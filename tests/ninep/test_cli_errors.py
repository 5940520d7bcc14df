"""What goes wrong is said in one line, with what to do, and an exit code that tells the kind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from programs.processes import Program, environment, free_port

pytestmark = pytest.mark.process


def ninep(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ninep", *words],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=90,
        check=False,
    )
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("ninep: ")
    return done.returncode, done.stderr


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Something that is no server of ours, and says the same to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"tcp!127.0.0.1!{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_addresses_where_nobody_is() -> None:
    code, said = ninep("-a", "tcp!no-such-host.invalid!564", "ls")
    assert code == 3
    assert "cannot reach tcp!no-such-host.invalid!564" in said
    code, said = ninep("-a", f"tcp!127.0.0.1!{free_port()}", "ls")
    assert code == 3
    assert "refused" in said
    code, said = ninep("-a", "unix!/no/such/socket", "ls")
    assert code == 3
    assert "No such file" in said
    code, said = ninep("-a", "tcp!h!p!x", "ls")
    assert code == 2


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (b"venti-04:02-server\n", 1, ""),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 1, ""),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 1, ""),
        (b"\x14\x00\x00\x00\x65\xff\xff\x00\x20\x00\x00\x07\x00unknown", 1, "does not speak 9P2000"),
        (b"", 3, ""),
    ],
    ids=["venti", "http", "ssh", "unknown version", "hangs up"],
)
def test_servers_of_something_else(answer: bytes, code: int, text: str) -> None:
    with answering(answer) as address:
        found, said = ninep("-a", address, "ls")
    assert text in said
    assert found in (code, 3)


def test_permission_denied(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    port = free_port()
    server = Program(port, "ninep", "ramfs", f"tcp!127.0.0.1!{port}", log=tmp_path / "log")
    address = f"tcp!127.0.0.1!{port}"
    try:
        assert ninep("-a", address, "-u", "stranger", "mkdir", "x") == (1, "ninep: x: permission denied\n")
        assert ninep("-a", address, "cat", "nothing") == (5, "ninep: nothing: file does not exist\n")
    finally:
        server.stop()


def test_what_cannot_be_served(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x = 1")
    unmountable = (3, "cannot reach") if find_spec("pyfuse3") else (1, "mounting needs pyfuse3")
    for words, code, text in (
        (("export", str(tmp_path / "none")), 5, "No such file"),
        (("export", str(tmp_path / "file")), 1, "is no directory"),
        (("export", str(tmp_path), "tcp!*!0"), 2, "--no-auth"),
        (("export", str(tmp_path), "tls!127.0.0.1!0"), 2, "--tls-cert"),
        (("export", str(tmp_path), "--map-users", "glenda=no-such-user"), 1, "no user 'no-such-user'"),
        (("export", str(tmp_path), "systemd!"), 1, "systemd passed no sockets"),
        (("serve", str(tmp_path / "none.py")), 1, "No such file"),
        (("serve", str(tmp_path / "file")), 1, "tree is not there"),
        (("serve", f"{tmp_path / 'file'}:x"), 1, "x is no FileTree"),
        (("mount", f"tcp!127.0.0.1!{free_port()}", str(tmp_path)), *unmountable),
    ):
        found, said = ninep(*words)
        assert text in said, words
        assert found == code, (words, said)
    assert os.listdir(tmp_path) == ["file"]
