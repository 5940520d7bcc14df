"""``python -m bench soak``: the whole chain under mixed load, with kills, watched for what does not level off.

venti, fossil on it, cfs before it and a mount of that run as programs of their own. Clients come and go at each of
them, properly and not, files are made, changed, read, listed and removed within a bounded set, snapshots are archived.
In the first half each server is killed with SIGKILL and started again in turn; the second half is quiet, so that every
program is seen for long enough to tell whether what it holds levels off.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import trio

from bench import servers
from bench.lives import as_svg
from bench.watched import MEBIBYTE, Allowance, Sample, judged, of_directory, of_process
from ninep.cli.streams import print_result
from ninep.client.tree import RemoteTree, connect
from ninep.disk import check_writable, write_text
from ninep.net.dial import dial
from ninep.net.errors import WireError
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.errors import NinepError
from ninep.tasks.nursery import open_nursery
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import VentiError
from venti.stores import remote as venti_client

FILES = 40
"""Files in the set of each worker."""
LARGEST = 300_000
RECOVERY = 45.0
"""Seconds after a kill within which clients may meet errors: so long requests wait for a server."""
DIALECTS = (m.VERSION, m.VERSION_UNIX, lm.VERSION)
TROUBLE = (NinepError, WireError, VentiError, OSError, trio.TooSlowError)


class Life:
    """A program of ours: started, killed and started again on the same port and data.

    Attributes:
        name: what it is called in the report.
        address: where it serves.
        samples: of the process that runs now; what killed ones held is in ``ended``.
    """

    def __init__(self, name: str, port: int, directory: Path | None, log: Path, *words: str) -> None:
        self.name = name
        self.address = f"tcp!127.0.0.1!{port}"
        self.samples: list[Sample] = []
        self.ended: list[list[Sample]] = []
        self._port = port
        self._directory = directory
        self._log = log
        self._words = words
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers. Raises ``PeerFailed``."""
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._words], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        deadline = time.monotonic() + servers.PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            time.sleep(0.05)
        raise servers.PeerFailed(f"{self.name} does not answer: {self.said()}")

    @property
    def died(self) -> bool:
        """Whether it ended without having been asked to."""
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.ended.append(self.samples)
        self.samples = []

    def stop(self) -> None:
        """Ends it, by force if need be."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def said(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""

    def sample(self, now: float, latency: float) -> None:
        """Takes one."""
        assert self._process is not None
        with contextlib.suppress(OSError):
            self.samples.append(Sample(now, *of_process(self._process.pid), *of_directory(self._directory), latency))


class Mounted(Life):
    """The mount: it has no port of its own."""

    def __init__(self, point: Path, log: Path, address: str) -> None:
        super().__init__("mount", 0, None, log, "ninep", "mount", "--patience", "60", address, str(point))
        self.point = point

    def start(self) -> None:
        """Starts it and waits until it is mounted."""
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._words], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        deadline = time.monotonic() + servers.PATIENCE
        while not os.path.ismount(self.point):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise servers.PeerFailed(f"the mount did not come: {self.said()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Unmounts it."""
        subprocess.run(["fusermount3", "-u", "-z", str(self.point)], check=False, capture_output=True)
        super().stop()


class Soak:
    """One run.

    Attributes:
        lives: the programs.
        done: how often each kind of work was done.
        trouble: what clients met that they should not have.
    """

    def __init__(self, root: Path, seconds: float, *, pace: float, mount: bool) -> None:
        """``pace`` is how often a second each worker does something."""
        ports = [servers.free_port() for _ in range(3)]
        addresses = [f"tcp!127.0.0.1!{port}" for port in ports]
        places = [root / name for name in ("venti", "fossil", "cfs", "point")]
        for place in places:
            place.mkdir()
        venti, fossil, cfs, point = places
        self.venti = Life(
            *("venti", ports[0], venti, root / "venti.log"),
            *("venti", "serve", addresses[0], "--store", str(venti), "--scrub", "65536"),
        )
        self.fossil = Life(
            *("fossil", ports[1], fossil, root / "fossil.log", "fossil", "serve", "--data", str(fossil)),
            *("--listen", addresses[1], "--venti", addresses[0], "--no-permissions"),
        )
        self.cfs = Life(
            *("cfs", ports[2], cfs, root / "cfs.log", "cfs", "serve", "-a", addresses[1], "--listen", addresses[2]),
            *("--cache", str(cfs), "--size", "32M"),
        )
        self.lives: list[Life] = [self.venti, self.fossil, self.cfs]
        self.mounted = Mounted(point, root / "mount.log", addresses[2]) if mount else None
        if self.mounted is not None:
            self.lives.append(self.mounted)
        self.done: Counter[str] = Counter()
        self.trouble: Counter[str] = Counter()
        self._data = fossil
        self._seconds = seconds
        self._pause = 1 / pace
        self._begun = 0.0
        self._killed = -RECOVERY
        self._chance = random.Random(7)
        self._latency = 0.0

    async def run(self, say: Callable[[str], None]) -> None:
        """All of it; the programs are ended in any case."""
        try:
            for life in self.lives:
                life.start()
            self._begun = trio.current_time()
            self._killed = self._begun - RECOVERY
            async with open_nursery() as nursery:
                for number in range(3):
                    nursery.start_soon(self._again, "cfs", partial_use(self._visit, self.cfs, number))
                    nursery.start_soon(self._again, "fossil", partial_use(self._visit, self.fossil, 10 + number))
                nursery.start_soon(self._again, "fossil, at length", partial_use(self._stay, self.fossil))
                nursery.start_soon(self._again, "venti", self._archive)
                nursery.start_soon(self._again, "snapshot", self._snapshot)
                if self.mounted is not None:
                    nursery.start_soon(self._again, "mount", self._through_mount)
                nursery.start_soon(self._bystander)
                nursery.start_soon(self._kills, say)
                await self._watch(say)
                nursery.cancel_scope.cancel()
        finally:
            for life in reversed(self.lives):
                with contextlib.suppress(OSError):
                    life.stop()

    def found(self, allowed: Allowance) -> list[str]:
        """What is wrong, in words."""
        wrong = [f"{life.name}: {text}" for life in self.lives for text in judged(life.samples, allowed)]
        wrong += [f"{kind}: {count} times" for kind, count in sorted(self.trouble.items())]
        wrong += [f"{kind} was never done" for kind in ("cfs", "fossil", "venti") if not self.done[kind]]
        for life in self.lives:
            lines = [line for line in life.said().splitlines() if "Traceback" in line or "request failed" in line]
            wrong += [f"{life.name} logged: {line}" for line in lines[:3]]
        return wrong

    async def _again(self, kind: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                with trio.fail_after(2 * RECOVERY):
                    await work()
                self.done[kind] += 1
            except TROUBLE as error:
                if trio.current_time() > self._killed + RECOVERY:
                    self.trouble[f"{kind} met {error!r}"[:300]] += 1
                await trio.sleep(0.5)
            await trio.sleep(self._pause * self._chance.uniform(0.5, 1.5))

    async def _visit(self, life: Life, number: int) -> None:
        """A client that comes, works on a file or two, and goes: properly, by hanging up, or in mid-sentence."""
        async with connect(life.address, version=self._chance.choice(DIALECTS)) as tree:
            folder = await self._folder(tree, f"visitor{number}")
            for _ in range(3):
                await self._work(tree, folder)
        if self._chance.random() < 0.3:
            stream = await dial(life.address, service="9fs")
            await stream.send_all(bytes(self._chance.randbytes(self._chance.randrange(30))))
            await trio.aclose_forcefully(stream)

    async def _stay(self, life: Life) -> None:
        """A client that stays for a hundred pieces of work."""
        async with connect(life.address, version=lm.VERSION) as tree:
            folder = await self._folder(tree, "resident")
            for _ in range(100):
                await self._work(tree, folder)
                await trio.sleep(self._pause / 2)

    async def _folder(self, tree: RemoteTree, name: str) -> str:
        if not await tree.exists(name):
            await tree.mkdir(name)
        return name

    async def _work(self, tree: RemoteTree, folder: str) -> None:
        chance = self._chance
        name = f"{folder}/{chance.randrange(FILES)}"
        there = await tree.exists(name)
        match chance.randrange(6):
            case 0 | 1:
                await tree.write_bytes(name, chance.randbytes(chance.randrange(LARGEST)))
            case 2 | 3 if there:
                await tree.read_bytes(name)
            case 4 if there:
                await tree.remove(name)
            case _:
                await tree.listdir(folder)

    async def _archive(self) -> None:
        """A client of the archive: some new blocks, some old ones, all read back."""
        chance = self._chance
        async with venti_client.connect(self.venti.address) as store:
            blocks = [chance.randbytes(2000)] + [bytes([n]) * 8192 for n in range(20)]
            scores = [await store.write(BlockType.DATA, block) for block in blocks]
            await store.sync()
            for score, block in zip(scores, blocks, strict=True):
                if await store.read(score, BlockType.DATA, 8192) != block:
                    self.trouble["venti gave back other bytes than were written"] += 1

    async def _snapshot(self) -> None:
        """Archives, from time to time."""
        words = [sys.executable, "-m", "fossil", "snap", "-a", "--data", str(self._data)]
        ended = await trio.run_process(words, check=False, capture_stdout=True, capture_stderr=True)
        if ended.returncode:
            raise OSError(f"snap: {ended.stderr.decode(errors='replace')[-200:]}")
        await trio.sleep(20)

    async def _through_mount(self) -> None:
        await trio.to_thread.run_sync(self._use_mount, abandon_on_cancel=True)

    def _use_mount(self) -> None:
        assert self.mounted is not None
        folder = self.mounted.point / "mounted"
        folder.mkdir(exist_ok=True)
        chance = self._chance
        for _ in range(10):
            path = folder / str(chance.randrange(FILES))
            data = chance.randbytes(chance.randrange(LARGEST))
            match chance.randrange(5):
                case 0 | 1:
                    path.write_bytes(data)
                    if path.read_bytes() != data:
                        self.trouble["the mount gave back other bytes than were written"] += 1
                case 2 if path.exists():
                    path.unlink()
                case 3 if path.exists():
                    path.rename(folder / "renamed")
                case _:
                    for name in os.listdir(folder):
                        with contextlib.suppress(FileNotFoundError):
                            os.stat(folder / name)

    async def _bystander(self) -> None:
        """One who asks little, and wants it soon."""
        while True:
            try:
                async with connect(self.cfs.address) as tree:
                    while True:
                        begun = time.perf_counter()
                        await tree.stat("")
                        self._latency = max(self._latency, time.perf_counter() - begun)
                        await trio.sleep(0.2)
            except TROUBLE:
                await trio.sleep(0.2)

    async def _kills(self, say: Callable[[str], None]) -> None:
        """Each server in turn, in the first half."""
        targets = [self.cfs, self.fossil, self.venti]
        for life in targets:
            await trio.sleep(self._seconds / 2 / (len(targets) + 1))
            self._killed = trio.current_time()
            say(f"killing {life.name}")
            life.kill()
            await trio.sleep(1)
            await trio.to_thread.run_sync(life.start)
            self._killed = trio.current_time()

    async def _watch(self, say: Callable[[str], None]) -> None:
        every = max(0.5, min(10.0, self._seconds / 120))
        told = self._begun
        while (now := trio.current_time()) < self._begun + self._seconds:
            latency, self._latency = self._latency, 0.0
            for life in self.lives:
                if life.died and now > self._killed + RECOVERY:
                    raise servers.PeerFailed(f"{life.name} ended by itself: {life.said()}")
                await trio.to_thread.run_sync(life.sample, now - self._begun, latency)
            if now > told + 60:
                told = now
                say(f"{(now - self._begun) / 60:.0f} min: " + "; ".join(map(line_of, self.lives)))
            await trio.sleep(every)


def partial_use(use: Callable[..., Awaitable[None]], *arguments: object) -> Callable[[], Awaitable[None]]:
    """``use`` with its arguments."""
    return lambda: use(*arguments)


def line_of(life: Life) -> str:
    """What a program holds now."""
    if not life.samples:
        return f"{life.name}: nothing seen"
    last = life.samples[-1]
    return f"{life.name} {last.memory / MEBIBYTE:.0f} MiB, {last.descriptors} fds, {last.files} files"


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory that goes away."""
    root = Path(tempfile.mkdtemp(prefix="ninegrid-soak-"))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def report(soak: Soak) -> str:
    """A table: what each program held at a third, two thirds and the end of its last life."""
    lines = [
        f"{'program':8} {'minutes':>7} {'memory, MiB':>20} {'descriptors':>14} {'threads':>10} {'files':>14} {'ms':>8}"
    ]
    for life in soak.lives:
        samples = life.samples
        if not samples:
            continue
        at = [samples[len(samples) // 3], samples[2 * len(samples) // 3], samples[-1]]
        columns = [
            "/".join(f"{getattr(sample, name) // unit}" for sample in at)
            for name, unit in (("memory", MEBIBYTE), ("descriptors", 1), ("threads", 1), ("files", 1))
        ]
        minutes = (samples[-1].time - samples[0].time) / 60
        worst = max(sample.latency for sample in samples) * 1000
        columns.append(f"{worst:.0f}")
        lines.append(f"{life.name:8} {minutes:7.1f} " + " ".join(f"{column:>16}" for column in columns))
    lines.append("done: " + ", ".join(f"{kind} {count}" for kind, count in sorted(soak.done.items())))
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Returns 0 if all levelled off and nobody met what he should not have, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long; default: 5")
    parser.add_argument("--pace", type=float, default=3.0, help="what each client does a second; default: 3")
    parser.add_argument("--growth", type=float, default=10.0, help="MiB by which memory may grow")
    parser.add_argument("--save", metavar="FILE", help="write all samples to a file, as JSON")
    parser.add_argument("--plot", metavar="FILE", help="draw them as an SVG file")
    parser.add_argument("--no-mount", action="store_true", help="without the mount, which needs FUSE")
    arguments = parser.parse_args(argv)
    for file in (arguments.save, arguments.plot):
        if file:
            check_writable(file)
    mount = not arguments.no_mount and find_spec("pyfuse3") is not None and os.access("/dev/fuse", os.W_OK)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with scratch() as root:
        soak = Soak(root, arguments.minutes * 60, pace=arguments.pace, mount=mount)
        try:
            trio.run(soak.run, say)
        except servers.PeerFailed as error:
            say(f"soak: {error}")
            return 1
        finally:
            lives = {life.name: [*life.ended, life.samples] for life in soak.lives}
            if arguments.save:
                write_text(arguments.save, json.dumps(lives))
            if arguments.plot:
                write_text(arguments.plot, as_svg(lives))
        print_result(report(soak))
        wrong = soak.found(Allowance(int(arguments.growth * MEBIBYTE)))
    for text in wrong:
        print_result(f"soak: {text}")
    return int(bool(wrong))
