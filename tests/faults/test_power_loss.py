"""Losses of power at any moment of what the real programs really do: what was promised is there, and nothing is wrong.

A program runs under strace, a client notes what it is answered and when, and disks are rebuilt as a loss of power could
have left them; see ``lost_power``. ``POWER_LOSS=500 pytest tests/faults/test_power_loss.py`` tries so many disks of
each recording, and ``POWER_LOSS_SEED`` begins elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from faults.lost_power import Disk
from faults.recorded_calls import Call, can_record, recorded, traced

from cfs.disk.store import Store
from fakes import small_partition
from fakes.damaged_store import blocks
from fakes.stored_content import MIB, SERVER, content, get
from fossil.live.filesystem import ROOT, FileSystem
from fossil.metadata import settled
from ninep.client.tree import RemoteTree
from ninep.client.tree import connect as attach
from ninep.protocol.stat import Stat
from programs.processes import Program, environment, free_port
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import VentiError
from venti.blocks.score import Score
from venti.log.durable import durable_ends
from venti.log.files import OsFolder
from venti.log.opening import open_disk_store
from venti.stores.remote import connect
from venti.upkeep.replica import replicate

pytestmark = [
    pytest.mark.process,
    pytest.mark.expects_errors,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not can_record(), reason="needs strace, and the right to trace"),
]

DISKS = int(os.environ.get("POWER_LOSS", "12"))
SEED = int(os.environ.get("POWER_LOSS_SEED", "1"))


class Losses:
    """Disks that losses of power leave of one recording.

    Attributes:
        calls: what was recorded.
    """

    def __init__(self, tmp_path: Path, root: Path) -> None:
        self._folder = tmp_path / "left"
        self.calls = recorded(tmp_path / "record", root)
        assert any(call.kind == "sync" for call in self.calls)

    def __iter__(self) -> Iterator[tuple[float, Path]]:
        """Each with its moment."""
        for number in range(DISKS):
            source = random.Random(SEED * 1_000_003 + number)
            yield self.at(self._moment(source), source, strict=bool(number % 2))

    def _moment(self, source: random.Random) -> float:
        """Most often in the middle of something: a moment at which one call begins or ends."""
        call: Call = source.choice(self.calls)
        return source.choice((call.begun, call.ended, call.ended + 0.001))

    def at(self, moment: float, source: random.Random, *, strict: bool) -> tuple[float, Path]:
        """A disk after a loss at one moment."""
        Disk(self.calls, moment, strict=strict).left(self._folder, source)
        return moment, self._folder


@contextlib.contextmanager
def serving(tmp_path: Path, *words: str) -> Iterator[str]:
    """A recorded server; killed at the end. Gives its address; ``{address}`` in the words stands for it."""
    port = free_port()
    address = f"tcp!127.0.0.1!{port}"
    log = tmp_path / "log"
    command = [sys.executable, "-m", *(word.format(address=address) for word in words)]
    with log.open("ab") as out:
        process = subprocess.Popen(
            traced(tmp_path / "record", *command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment(),
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield address
        assert process.poll() is None, log.read_text()
    finally:
        with contextlib.suppress(FileNotFoundError):
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
        process.wait()


def ran(tmp_path: Path, *words: str) -> tuple[str, float]:
    """Runs a recorded command to its end, which must be a good one; what it printed, and when it had ended."""
    command = traced(tmp_path / "record", sys.executable, "-m", *words)
    done = subprocess.run(command, env=environment(), capture_output=True, timeout=120, check=True)
    return done.stdout.decode(), time.time()


def replaced(tmp_path: Path, code: str, *, strict: bool) -> set[bytes]:
    """What a file can hold after a loss at the end of a program that replaces it."""
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    command = [sys.executable, "-c", f"from pathlib import Path; file = Path({str(root / 'file')!r})\n{code}"]
    subprocess.run(traced(tmp_path / "record", *command), env=environment(), check=True, timeout=60)
    calls = recorded(tmp_path / "record", root)
    found = set()
    for number in range(60):
        Disk(calls, time.time(), strict=strict).left(tmp_path / "left", random.Random(number))
        file = tmp_path / "left/file"
        found.add(file.read_bytes() if file.exists() else b"none")
    return found


SAFELY = "from ninep.disk import replace_file; replace_file(file, b'old'); replace_file(file, b'new')"
CARELESSLY = "new = Path(f'{file}.new'); new.write_bytes(b'new' * 500); new.replace(file)"
IN_PLACE = "import os; file.write_bytes(b'old'); os.fsync(os.open(file, os.O_RDWR)); file.write_bytes(b'new')"
WITHOUT_ITS_NAME = "import os; file.write_bytes(b'new'); os.fsync(os.open(file, os.O_RDWR))"


def test_the_test_itself(tmp_path: Path) -> None:
    """It finds out who does not sync, and nothing wrong with who does."""
    for strict in (False, True):
        assert replaced(tmp_path, SAFELY, strict=strict) == {b"new"}
        assert b"" in replaced(tmp_path, CARELESSLY, strict=strict)
    assert replaced(tmp_path, IN_PLACE, strict=False) == {b"old", b"", b"new"}
    assert replaced(tmp_path, WITHOUT_ITS_NAME, strict=False) == {b"new"}
    assert replaced(tmp_path, WITHOUT_ITS_NAME, strict=True) == {b"new", b"none"}


def test_venti(tmp_path: Path) -> None:
    """What a sync was answered for is there, and no block is another one."""
    written: list[tuple[float, set[Score]]] = []
    content: dict[Score, bytes] = {}

    async def client(address: str, number: int) -> None:
        source = random.Random(number)
        async with connect(address) as store:
            mine = set()
            for _ in range(12):
                for _ in range(source.randrange(1, 8)):
                    block = source.randbytes(source.choice((10, 700, 8192)))
                    score = await store.write(BlockType.DATA, block)
                    content[score] = block
                    mine.add(score)
                if source.random() < 0.6:
                    await store.sync()
                    written.append((time.time(), set(mine)))

    async def clients(address: str) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(client, address, number)

    root = tmp_path / "store"
    words = ("venti", "serve", "{address}", "--store", str(root), "--arena-size", "64k", "--workers", "0")
    with serving(tmp_path, *words) as address:
        trio.run(clients, address)
        time.sleep(0.5)

    async def check(folder: Path, promised: set[Score]) -> None:
        async with open_disk_store(folder) as store:
            for score, block in content.items():
                try:
                    assert await store.read(score, BlockType.DATA, 8192) == block
                except VentiError:
                    assert score not in promised
            await store.write(BlockType.DATA, b"it goes on")

    for moment, folder in Losses(tmp_path, root):
        promised = set[Score]().union(*(scores for when, scores in written if when <= moment))
        trio.run(check, folder, promised)


State = dict[str, bytes]


class History:
    """The states of a tree, one behind the other; when each was answered, and up to which of them is promised."""

    def __init__(self, *, durable: bool) -> None:
        self._durable = durable
        self.states: list[State] = [{}]
        self._answered: list[tuple[float, int]] = [(0.0, 0)]

    @property
    def last(self) -> State:
        return dict(self.states[-1])

    def next(self, state: State) -> None:
        """It was answered."""
        self.states.append(state)
        if self._durable:
            self.synced()

    def synced(self) -> None:
        """All of it is durable."""
        self._answered.append((time.time(), len(self.states) - 1))

    def allowed(self, moment: float) -> list[State]:
        """What may be there after a loss."""
        return self.states[self._answered[bisect_right(self._answered, (moment, 1 << 60)) - 1][1] :]


async def change(tree: RemoteTree, history: History, source: random.Random) -> None:
    state, name = history.last, f"f{source.randrange(8)}"
    what = source.choice(("write", "write", "write", "sync", "remove", "rename", "cut"))
    if name not in state:
        async with tree.create(name) as file:
            history.next(state | {name: b""})
            data = source.randbytes(source.choice((5, 600, 9000)))
            await file.write(0, data)
            history.next(state | {name: data})
            if source.random() < 0.3:
                await file.fsync()
                history.synced()
    elif what == "write":
        at, data = source.randint(0, len(state[name])), source.randbytes(source.choice((5, 600, 9000)))
        async with tree.open(name, 1) as file:
            await file.write(at, data)
            history.next(state | {name: state[name][:at] + data + state[name][at + len(data) :]})
    elif what == "remove":
        del state[name]
        await (await tree.walk(name)).remove()
        history.next(state)
    else:
        async with await tree.walk(name) as file:
            other = f"f{source.randrange(8)}"
            if what == "sync":
                await file.fsync()
                history.synced()
            elif what == "cut":
                await file.wstat(Stat(length=len(state[name]) // 2))
                history.next(state | {name: state[name][: len(state[name]) // 2]})
            elif other not in state:
                await file.wstat(Stat(name=other))
                state[other] = state.pop(name)
                history.next(state)


@pytest.mark.parametrize("durable", [False, True])
def test_fossil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool) -> None:
    """There is one moment that it is as of, not before the last sync; with --durable that of the last answer."""
    history = History(durable=durable)
    source = random.Random(SEED)
    root = tmp_path / "data"

    async def client(address: str) -> None:
        async with attach(address) as tree:
            for _ in range(120):
                await change(tree, history, source)

    words = ("fossil", "serve", "--data", str(root), "--listen", "{address}", "--no-permissions")
    with serving(tmp_path, *words, *(["--durable"] if durable else [])) as address:
        trio.run(client, address)
    assert len(history.states) > 80

    async def found(system: FileSystem) -> State:
        state = {}
        for name in system.children(system.node(ROOT)):
            if name != "adm" and (node := system.child(system.node(ROOT), name)) is not None:
                data: Any = system.read(node, 0, node.length)
                state[name] = bytes(data if isinstance(data, (bytes, bytearray, memoryview)) else await data)
        return state

    (tmp_path / "boot").write_text("another start of the machine\n")
    monkeypatch.setattr(settled, "_BOOT", tmp_path / "boot")
    for moment, folder in Losses(tmp_path, root):
        (folder / "metadata-shm").unlink(missing_ok=True)
        system = FileSystem(folder, owner="somebody")
        try:
            assert trio.run(found, system) in history.allowed(moment)
            system.create(system.node(ROOT), "it goes on", 0o644, "somebody", "somebody")
            system.record()
        finally:
            system.close()


async def filled(path: Path, count: int) -> None:
    async with open_disk_store(path, arena_size=20_000) as store:
        for block in blocks(count):
            await store.write(BlockType.DATA, block)


def mirrored(source: Path, copy: Path) -> None:
    (copy / "arenas").mkdir(parents=True, exist_ok=True)
    for _ in replicate(OsFolder(source / "arenas"), OsFolder(copy / "arenas"), durable_ends(source)):
        pass


def test_mirror(tmp_path: Path) -> None:
    """A copy that was cut short is gone on with; one that was reported is whole."""
    source, root = tmp_path / "source", tmp_path / "copy"
    trio.run(filled, source, 60)
    ended = ran(tmp_path, "venti", "mirror", str(source), str(root))[1]
    losses = Losses(tmp_path, root)
    whole = {path.name: path.read_bytes() for path in (source / "arenas").iterdir()}

    def arenas(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (folder / "arenas").iterdir()}

    for _, folder in losses:
        mirrored(source, folder)
        assert arenas(folder) == whole
    for strict in (False, True):
        _, folder = losses.at(ended, random.Random(strict), strict=strict)
        assert arenas(folder) == whole


def test_import(tmp_path: Path) -> None:
    """All blocks are there when it has ended; cut short, it can be done again."""
    root, partition = tmp_path / "store", tmp_path / "partition"
    partition.write_bytes(small_partition.partition())
    ended = ran(tmp_path, "venti", "import", "--store", str(root), str(partition))[1]
    losses = Losses(tmp_path, root)

    async def held(folder: Path) -> int:
        count = 0
        async with open_disk_store(folder) as store:
            for type, data in small_partition.BLOCKS:
                with contextlib.suppress(VentiError):
                    assert await store.read(Score.of(data), BlockType.from_wire(type), 1 << 15) == data
                    count += 1
        return count

    for _, folder in losses:
        assert trio.run(held, folder) <= len(small_partition.BLOCKS)
    for strict in (False, True):
        _, folder = losses.at(ended, random.Random(strict), strict=strict)
        assert trio.run(held, folder) == len(small_partition.BLOCKS)


def test_a_result_in_a_file(tmp_path: Path) -> None:
    """It holds the old score or the new one, and never nothing; the new one when the command has ended."""
    root = tmp_path / "results"
    root.mkdir()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("content")

    def score(folder: Path) -> str:
        return (folder / "score").read_text() if (folder / "score").exists() else ""

    port = free_port()
    archive = f"tcp!127.0.0.1!{port}"
    server = Program(port, "venti", "serve", archive, "--store", str(tmp_path / "venti"), log=tmp_path / "log")
    try:
        words = ("venti", "vac", "-h", archive, "-f", str(root / "score"), str(tmp_path / "tree"))
        ended = ran(tmp_path, *words)[1]
    finally:
        server.kill()
    losses = Losses(tmp_path, root)
    new = score(root)
    for _, folder in losses:
        assert score(folder) in ("", new)
    for strict in (False, True):
        assert score(losses.at(ended, random.Random(strict), strict=strict)[1]) == new


def test_cfs(tmp_path: Path) -> None:
    """A cache promises nothing: what it returns after a loss is right."""
    root = tmp_path / "cache"
    code = (
        "import sys; sys.path[:0] = sys.argv[2:];"
        "from pathlib import Path; from cfs.disk.store import Store;"
        "from fakes.stored_content import MIB, SERVER, content, put\n"
        "with Store(Path(sys.argv[1]), 16 * MIB, SERVER) as store:\n"
        "    for number in range(1, 40): put(store, number, content(number, 1000 * number)); store.flush()\n"
    )
    tests = Path(__file__).parent.parent
    command = [sys.executable, "-c", code, str(root), str(tests), str(tests.parent)]
    subprocess.run(traced(tmp_path / "record", *command), env=environment(), check=True, timeout=120)
    calls = recorded(tmp_path / "record", root)
    for number in range(DISKS):
        source = random.Random(SEED * 1_000_003 + number)
        Disk(calls, source.choice(calls).begun, strict=bool(number % 2)).left(tmp_path / "left", source)
        (tmp_path / "left/index-shm").unlink(missing_ok=True)
        with Store(tmp_path / "left", 16 * MIB, SERVER) as store:
            for file in range(1, 40):
                assert get(store, file, 1000 * file) in (None, content(file, 1000 * file))
