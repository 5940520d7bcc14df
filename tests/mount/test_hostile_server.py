"""A mount of a server that answers what nobody should: programs get errors, and the mount stays."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
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
CALLS = 400
WORKER = """
import sys; sys.path[:0] = [{tests!r}]
from mount.test_hostile_server import use
use({point!r}, {seed})
"""


def use(point: str, seed: int) -> None:
    """Does any system calls with what a mount shows; what they meet does not matter."""
    chance = random.Random(seed)
    names = ["f", "d1", "f2", "d3", "new", "x" * 255]

    def path() -> str:
        return "/".join([point, *(chance.choice(names) for _ in range(chance.randrange(1, 4)))])

    def read(where: str) -> None:
        with open(os.open(where, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            file.read(100_000)

    def write(where: str) -> None:
        with open(os.open(where, os.O_WRONLY | os.O_NONBLOCK), "wb") as file:
            file.write(b"x" * chance.choice((1, 5000, 200_000)))
            os.fsync(file.fileno())

    def create(where: str) -> None:
        os.close(os.open(where, os.O_CREAT | os.O_RDWR | os.O_NONBLOCK | chance.choice((0, os.O_EXCL, os.O_TRUNC))))

    def scan(where: str) -> None:
        with os.scandir(where) as entries:
            for entry, _ in zip(entries, range(200), strict=False):
                names.append(entry.name)

    calls: list[Callable[[str], object]] = [
        *(os.lstat, os.stat, os.readlink, os.mkdir, os.unlink, os.rmdir, os.statvfs, os.listxattr, scan, scan),
        *(read, write, create, lambda where: os.rename(where, path()), lambda where: os.link(where, path())),
        *(lambda where: os.symlink("target", where), lambda where: os.truncate(where, 1 << 40)),
        *(lambda where: os.utime(where, (1, 1)), lambda where: os.chmod(where, 0o700), lambda where: os.mkfifo(where)),
        *(lambda where: os.getxattr(where, "user.a"), lambda where: os.setxattr(where, "user.a", b"value")),
        lambda where: os.chown(where, 5, 5),
    ]
    for _ in range(CALLS):
        with contextlib.suppress(OSError, ValueError):
            chance.choice(calls)(path())


@pytest.mark.parametrize("dialect", ["9P2000", "9P2000.L"])
@pytest.mark.parametrize("seed", [1, 3])
def test_whatever_a_server_answers_the_mount_stays(tmp_path: Path, dialect: str, seed: int) -> None:
    point, log, port = tmp_path / "point", tmp_path / "mount.log", free_port()
    point.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        server = Program(port, "fakes.hostile_server", str(port), str(seed), log=tmp_path / "server.log")
    with log.open("wb") as out:
        mount = subprocess.Popen(
            [sys.executable, "-m", "ninep", "-D", dialect, "mount", f"tcp!127.0.0.1!{port}", str(point), "--keep", "0"],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment(),
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while f" {point} fuse" not in Path("/proc/mounts").read_text():
            assert mount.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        words = [
            WORKER.format(tests=str(Path(__file__).parents[1]), point=str(point), seed=seed * 10 + number)
            for number in range(2)
        ]
        workers = [subprocess.Popen([sys.executable, "-c", word], env=environment()) for word in words]
        assert [worker.wait(120) for worker in workers] == [0, 0]
        assert mount.poll() is None, log.read_text()[-3000:]
        assert server.process.poll() is None
        assert (point / "good" / "f").read_text() == "text\n"
        assert {"f", "d1", "f2", "d3"} <= set(os.listdir(point / "good"))
    finally:
        mount.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            mount.wait(PATIENCE)
        mount.kill()
        server.kill()
        subprocess.run(["fusermount3", "-uz", str(point)], check=False, capture_output=True)
