"""Servers whose terminal is closed: a clean end, and everything is there."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from programs.processes import Program, environment, free_port, run, running

pytestmark = pytest.mark.process


@pytest.mark.parametrize("kind", ["fossil", "venti", "cfs", "export"])
def test_a_closed_terminal_loses_nothing(kind: str, tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    address, source = f"tcp!127.0.0.1!{port}", f"tcp!127.0.0.1!{other}"
    (tmp_path / "tree").mkdir()
    data = str(tmp_path / "data")
    words = {
        "fossil": ("fossil", "serve", "--data", data, "--listen", address, "--no-permissions"),
        "venti": ("venti", "serve", address, "--store", data),
        "cfs": ("cfs", "serve", "-a", source, "--listen", address, "--cache", data),
        "export": ("ninep", "export", str(tmp_path / "tree"), address),
    }[kind]
    with running(Program(other, "ninep", "ramfs", "--world", source, log=tmp_path / "log")):
        leader, terminal = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=environment(),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(terminal)
        with process:
            try:
                said = b""
                while b"serving" not in said or b"\n" not in said.partition(b"serving")[2]:
                    said += os.read(leader, 1000)
                if kind == "venti":
                    score = run("venti", "write", "-h", address, stdin=b"content").strip()
                elif kind == "fossil":
                    run("ninep", "-a", address, "write", "file", stdin=b"content")
                else:
                    run("ninep", "-a", address, "ls")
                os.close(leader)
                assert process.wait(60) == 0
            finally:
                process.kill()
    if kind in ("fossil", "venti"):
        with running(Program(port, *words, log=tmp_path / "log2")):
            if kind == "venti":
                assert run("venti", "read", "-h", address, score) == "content"
            else:
                assert run("ninep", "-a", address, "cat", "file") == "content"
