"""Mounts side by side, used by ordinary system calls: ours through FUSE, plan9port's 9pfuse, and the directory itself.

Both mounts are of our export. What is read was put into the exported directory past the mount, so that the kernel has
not seen it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

from bench import servers
from bench.measure import Result, Timing
from bench.plan import Step
from ninep.net.identity import user_name

PIECE = 1 << 20


class Mount:
    """One way to the files of a directory.

    Attributes:
        name: what it is called in the results.
    """

    def __init__(self, name: str, scale: float, words: Callable[[str, str], list[str]] | None) -> None:
        """``words`` make the command that mounts an address on a directory; None is the directory itself."""
        self.name = name
        self._scale = scale
        self._words = words

    @contextlib.contextmanager
    def server(self) -> Iterator[int]:
        """Exports a directory and mounts it."""
        with tempfile.TemporaryDirectory(prefix="ninegrid-bench-") as scratch:
            self._served, self._point = Path(scratch, "served"), Path(scratch, "point")
            self._served.mkdir()
            self._point.mkdir()
            if self._words is None:
                self._point = self._served
                yield 0
                return
            export = ("ninep", "export", str(self._served), "tcp!127.0.0.1!PORT")
            users = ("--map-users", f"*={user_name()}")
            with contextlib.contextmanager(servers.ours)(*export, *users) as port, self._mounted(port):
                yield port

    @contextlib.contextmanager
    def _mounted(self, port: int) -> Iterator[None]:
        assert self._words is not None
        words = self._words(f"tcp!127.0.0.1!{port}", str(self._point))
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + servers.PATIENCE
            while not os.path.ismount(self._point):
                # A program that mounts may go into the background.
                if process.poll() not in (None, 0) or time.monotonic() > deadline:
                    raise servers.PeerFailed(f"{words[0]} does not mount here")
                time.sleep(0.05)
            yield
        finally:
            subprocess.run(["fusermount3", "-u", "-z", str(self._point)], check=False, capture_output=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()

    async def run(self, _: int) -> list[Result]:
        """All workloads."""
        files = max(50, int(2000 * self._scale))
        size = max(8 << 20, int((256 << 20) * self._scale))
        return [*self._tree(files), *self._stream(size), self._random(size, max(200, int(10_000 * self._scale)))]

    def _each(self, workload: str, count: int, one: Callable[[int], object], size: int = 0) -> Result:
        latencies = []
        start = now = perf_counter()
        for number in range(count):
            one(number)
            before, now = now, perf_counter()
            latencies.append(now - before)
        return Timing(now - start, latencies).result(self.name, workload, 1, size)

    def _tree(self, count: int) -> Iterator[Result]:
        data = random.Random(1).randbytes(4096)
        folder = self._point / "made"
        folder.mkdir()

        def make(number: int) -> None:
            (folder / f"file-{number}").write_bytes(data)

        yield self._each("write 4 KiB files", count, make, count * len(data))
        there = self._served / "there"
        there.mkdir()
        for number in range(count):
            (there / f"file-{number}").write_bytes(data)

        def look(_: int) -> None:
            found = [entry.stat() for entry in os.scandir(self._point / "there")]
            if sum(status.st_size for status in found) != count * len(data):
                raise AssertionError(f"{self.name} lists other files than there are")

        listed = self._each("list and stat a directory", 1, look)
        yield Result(listed.server, "list, stat each file", 1, count, listed.seconds, 0, 0, 0)

        def read(number: int) -> None:
            if (self._point / "there" / f"file-{number}").read_bytes() != data:
                raise AssertionError(f"{self.name} gave other bytes than there are")

        yield self._each("read 4 KiB files", count, read, count * len(data))
        yield self._each("remove files", count, lambda number: (folder / f"file-{number}").unlink())

    def _stream(self, size: int) -> Iterator[Result]:
        data = random.Random(2).randbytes(PIECE)
        count = size // PIECE
        file = os.open(self._point / "written", os.O_WRONLY | os.O_CREAT)
        start = perf_counter()
        written = self._each("sequential write, 1 MiB", count, lambda _: os.write(file, data), count * PIECE)
        # What a mount still has to send counts.
        os.close(file)
        yield dataclasses.replace(written, seconds=perf_counter() - start)
        if (self._served / "written").stat().st_size != count * PIECE:
            raise AssertionError(f"{self.name} has not written all")
        (self._served / "big").write_bytes(data * count)
        file = os.open(self._point / "big", os.O_RDONLY)

        def read(_: int) -> None:
            left = PIECE
            while left:
                got = len(os.read(file, left))
                if not got:
                    raise AssertionError(f"{self.name} ends a file too early")
                left -= got

        yield self._each("sequential read, 1 MiB", count, read, count * PIECE)
        os.close(file)

    def _random(self, size: int, count: int) -> Result:
        (self._served / "random").write_bytes(random.Random(3).randbytes(PIECE) * (size // PIECE))
        places = random.Random(4)
        file = os.open(self._point / "random", os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)

        def read(_: int) -> None:
            os.pread(file, 4096, places.randrange(size // 4096) * 4096)

        found = self._each("random read 4 KiB", count, read, count * 4096)
        os.close(file)
        return found


def _ours(address: str, point: str) -> list[str]:
    return [sys.executable, "-m", "ninep", "mount", address, point]


def _original(address: str, point: str) -> list[str]:
    return [f"{servers.plan9('9pfuse')}", address, point]


def plan(scale: float) -> list[Step]:
    """What this machine has of the three."""
    ways: list[Mount] = []
    if find_spec("pyfuse3") and shutil.which("fusermount3"):
        ways.append(Mount("our mount", scale, _ours))
    else:
        print("bench: our mount needs pyfuse3 and fusermount3", file=sys.stderr)
    if servers.plan9("9pfuse"):
        ways.append(Mount("9pfuse", scale, _original))
    ways.append(Mount("no mount", scale, None))
    return [Step(way.name, way.server, way.run, way.name == "our mount") for way in ways]
