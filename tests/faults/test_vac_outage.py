"""The archive goes away in the middle of ``vac`` and ``unvac``, and comes back: nothing is missing at the end."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from programs.processes import PATIENCE, Program, environment, free_port

pytestmark = pytest.mark.process


class Archive:
    """A server that can be killed and started again in its place."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        self.address = f"tcp!127.0.0.1!{self.port}"
        self.start()

    def start(self) -> None:
        store = str(self.root / "store")
        self.program = Program(
            self.port, "venti", "serve", self.address, "--store", store, log=self.root / "server.log"
        )

    def size(self) -> int:
        """Bytes in its arenas; none before there are any, for a server listens before it opens its store."""
        return sum(path.stat().st_size for path in self.root.glob("store/arenas/*"))


def command(archive: Archive, name: str, *words: str, cwd: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "venti", name, "-h", archive.address, *words],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def result(process: subprocess.Popen[bytes]) -> str:
    out, err = process.communicate(timeout=4 * PATIENCE)
    assert process.returncode == 0, err.decode()
    return out.decode().strip()


def size_of(path: Path) -> int:
    """Of a file that may get its real name meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def grown(probe: Path | Archive, size: int, process: subprocess.Popen[bytes]) -> None:
    """Waits until what the command writes has so many bytes, or it ended."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        now = probe.size() if isinstance(probe, Archive) else sum(map(size_of, probe.rglob("*")))
        if now >= size:
            return
        time.sleep(0.01)


def test_killed_and_started_again(tmp_path: Path) -> None:
    source = tmp_path / "tree"
    source.mkdir()
    source_bytes = random.Random(7)
    for number in range(300):
        (source / f"{number:03}").write_bytes(source_bytes.randbytes(source_bytes.randrange(200_000)))
    archive = Archive(tmp_path)
    try:
        process = command(archive, "vac", "tree", cwd=tmp_path)
        for size in (2_000_000, 10_000_000):
            grown(archive, size, process)
            archive.program.kill()
            time.sleep(0.3)
            archive.start()
        score = result(process)

        target = tmp_path / "target"
        target.mkdir()
        process = command(archive, "unvac", score, cwd=target)
        grown(target, 2_000_000, process)
        archive.program.kill()
        time.sleep(0.3)
        archive.start()
        result(process)
        for path in source.iterdir():
            assert (target / "tree" / path.name).read_bytes() == path.read_bytes()
    finally:
        archive.program.kill()
