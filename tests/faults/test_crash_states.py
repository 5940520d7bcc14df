"""Every state that a crash could leave: after each of them the file system is one that was, and no byte is wrong.

After the end of the process, which takes nothing from the operating system: the state of the last answer. After a loss
of power: one that was, not older than the last time that everything was made durable, whatever of the writes since
then came to the disk.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import CoroutineType

import pytest
import trio
from faults.simulated_disk import LoggedFile

from contracts.served_file import OWNER
from fossil.errors import DamagedData, WritesStopped
from fossil.live.filesystem import ROOT, FileSystem
from fossil.metadata import ledger, redo, settled
from fossil.metadata.rows import Rows
from fossil.metadata.schema import checkpoint, open_reader, pinned
from fossil.past.history import ARCHIVE, SNAPSHOT, History
from ninep.protocol.errors import FileSystemFull

STATES = 12
"""Losses of power that are tried at each point."""

State = dict[str, bytes]


class Machine:
    """A file system on a simulated disk, and the states that its clients have seen."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        folder.mkdir()
        self.source = random.Random(seed)
        self.moments = random.Random(seed)
        self.file = LoggedFile(folder / "data")
        self.system = FileSystem(folder, owner=OWNER, file=self.file)
        self.history = History(self.system)
        self.reader = open_reader(folder / "metadata")
        self.state: State = {}
        self.states: list[State] = [{}]
        """All since the last time that everything was durable, that one first."""
        self.wal: list[tuple[str, int]] = []
        self.settle()

    def close(self) -> None:
        self.reader.close()
        self.system.close()

    def step(self) -> None:
        """A change that is answered, or several that were answered together."""
        for _ in range(self.source.choice((1, 1, 1, 3))):
            self._change()
        self.source.choice((self.system.record, self.system.record, self.system.record, self.system.commit))()
        for _ in range(self.moments.randrange(3)):
            self.system.rest()
        self.states.append(dict(self.state))

    def _change(self) -> None:
        system, source = self.system, self.source
        root = system.node(ROOT)
        name = source.choice("abcdefgh")
        node = system.child(root, name)
        action = source.choice(("write", "write", "append", "cut", "remove", "rename", "snap", "expire"))
        if action == "write":
            node = node or system.create(root, name, 0o644, OWNER, OWNER)
            at, data = source.randrange(4000), source.randbytes(source.randrange(1, 9000))
            system.write(node, at, data, OWNER)
            old = self.state.get(name, b"").ljust(at, b"\0")
            self.state[name] = old[:at] + data + old[at + len(data) :]
        elif action == "append" and node is not None:
            data = source.randbytes(source.randrange(1, 500))
            system.write(node, node.length, data, OWNER)
            self.state[name] += data
        elif action == "cut" and node is not None:
            length = source.randrange(len(self.state[name]) + 1)
            system.truncate(node, length, OWNER, counts=True)
            self.state[name] = self.state[name][:length]
        elif action == "remove" and node is not None:
            system.remove(node, OWNER)
            del self.state[name]
        elif action == "rename" and node is not None:
            other = source.choice("abcdefgh")
            if other not in self.state:
                system.rename(node, other, OWNER)
                self.state[other] = self.state.pop(name)
        elif action == "snap":
            self.history.take(source.choice((SNAPSHOT, ARCHIVE)))
        elif action == "expire":
            self.history.expire(1 << 40)
            while self.history.sweep():
                pass

    def settle(self, interrupt: Callable[[str], None] = lambda at: None, meanwhile: int = 0) -> None:
        """As the service does it, with changes in between; ``interrupt`` is called at each point of it."""
        system = self.system
        system.freed.settle()
        mark = system.sync_point.mark()
        known = dict(self.state)
        with pinned(self.reader):
            for _ in range(meanwhile):
                self.step()
            interrupt("before the sync")
            system.log.sync()
            interrupt("between data and database")
            system.sync_point.write(mark)
            newer = self.states[self.states.index(known) + 1 :] if known in self.states else []
            self.states = [known, *newer]
            interrupt("before the checkpoint")
            checkpoint(self.system.database)
            interrupt("after the checkpoint")
        system.freed.release()

    # What is left

    def after_kill(self, to: Path) -> State:
        """What the next start finds after the process was killed, perhaps while it wrote what it had not answered."""
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.folder, to)
        changes = self.system.ledger
        assert changes.log is not None
        group = redo.packed(Rows(*([[]] * 8), [(ROOT, b"x" * 100)]), 99, changes.generation)
        with (to / "redo").open("r+b") as file:
            # Behind the last group stand older ones; the next may have been written in part.
            file.seek(changes.log.end)
            file.write(group[: self.source.randrange(len(group))])
        return look(to)

    def after_power_loss(self, to: Path) -> State:
        """What it finds after a loss of power that left what the source of chance says."""
        source = self.source
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.folder, to)
        (to / "data").write_bytes(self.file.crashed(source))
        note = settled.unpack((to / settled.NAME).read_bytes())
        assert note is not None
        (to / settled.NAME).write_bytes(settled.pack(note._replace(boot="another")))
        log = (to / "redo").read_bytes()
        (to / "redo").write_bytes(redo.header("another") + log[redo.HEADER : source.randrange(len(log))])
        wal = to / "metadata-wal"
        if wal.exists():
            # What was synced of the database's log is whole; what came later is there, torn, or not.
            data = wal.read_bytes()
            sound = note.mark.length if note.mark is not None and data[16:24].hex() == note.mark.salt else 0
            cut = source.randrange(sound, len(data) + 1) if len(data) > sound else len(data)
            torn = bytearray(data[:cut])
            for _ in range(source.randrange(4)):
                if len(torn) > sound:
                    torn[source.randrange(sound, len(torn))] ^= 0xFF
            wal.write_bytes(torn)
        return look(to)


def look(folder: Path) -> State:
    """All files and their bytes. Raises ``DamagedData`` rather than telling anything wrong."""

    async def read(system: FileSystem) -> State:
        found: State = {}
        root = system.node(ROOT)
        for name in system.children(root):
            node = system.child(root, name)
            assert node is not None
            if name != "adm":
                data = system.read(node, 0, node.length)
                found[name] = bytes(await data if isinstance(data, CoroutineType) else data)
        return found

    system = FileSystem(folder, owner=OWNER)
    try:
        return trio.run(read, system)
    finally:
        system.close()


@pytest.mark.parametrize("seed", range(5))
def test_random_work_and_random_ends(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed:
        # The database takes over what the redo log has all the time, a row or two after each answer.
        monkeypatch.setattr(ledger, "MOST", 12)
        monkeypatch.setattr(ledger, "FEW", 1)
    machine = Machine(tmp_path / "live", seed)
    copy = tmp_path / "copy"

    def end(_: str) -> None:
        assert machine.after_kill(copy) == machine.state
        for _ in range(STATES // 4):
            assert machine.after_power_loss(copy) in machine.states

    try:
        for number in range(40):
            machine.step()
            if number % 5 == 0:
                assert machine.after_kill(copy) == machine.state
                for _ in range(STATES // 2):
                    assert machine.after_power_loss(copy) in machine.states
            if number % 10 == 9:
                machine.settle(end if number % 20 == 19 else lambda at: None, meanwhile=number % 3)
    finally:
        machine.close()


def test_a_lost_state_is_noticed(tmp_path: Path) -> None:
    """The test itself: a disk that loses what it said was synced is found out."""
    machine = Machine(tmp_path / "live", 1)
    try:
        for _ in range(10):
            machine.step()
        machine.settle()
        machine.file.stable[:] = bytes(len(machine.file.stable))
        copy = tmp_path / "copy"
        with pytest.raises(DamagedData):
            _ = [machine.after_power_loss(copy) for _ in range(20)]
    finally:
        machine.close()


@pytest.mark.parametrize("room", [0, 1, 4095, 4096, 20_000, 70_000])
def test_disk_full_at_any_byte(tmp_path: Path, room: int) -> None:
    """A write that does not fit changes nothing; removing works; then there is room again."""
    machine = Machine(tmp_path / "live", 2)
    try:
        machine.step()
        system, root = machine.system, machine.system.node(ROOT)
        node = system.create(root, "full", 0o644, OWNER, OWNER)
        system.write(node, 0, b"before" * 2000, OWNER)
        system.commit()
        system.log.trim()
        machine.file.room_left = room
        refused = 0
        for n in range(20):
            try:
                system.write(node, n * 5000, b"x" * 5000, OWNER)
            except FileSystemFull:
                refused += 1
            system.commit()
        assert refused
        content = look_at(system, "full")
        assert set(content.replace(b"before", b"")) <= set(b"xbefor\0")
        assert system.stopped is None
        system.remove(node, OWNER)
        system.commit()
        machine.settle()
        machine.file.room_left = None
        node = system.create(root, "again", 0o644, OWNER, OWNER)
        system.write(node, 0, b"fits" * 10_000, OWNER)
        system.commit()
        machine.state = {"again": b"fits" * 10_000, **{name: machine.state[name] for name in machine.state}}
        assert machine.after_kill(tmp_path / "copy") == machine.state
    finally:
        machine.close()


def look_at(system: FileSystem, name: str) -> bytes:
    async def read() -> bytes:
        node = system.child(system.node(ROOT), name)
        assert node is not None
        data = system.read(node, 0, node.length)
        return bytes(await data if isinstance(data, CoroutineType) else data)

    return trio.run(read)


@pytest.mark.expects_errors
def test_a_failed_sync_is_final(tmp_path: Path) -> None:
    """Nothing is promised behind it: no change is taken any more, reading goes on, a restart has what was synced."""
    machine = Machine(tmp_path / "live", 3)
    try:
        for _ in range(5):
            machine.step()
        machine.settle()
        machine.step()
        machine.file.failing = True
        with pytest.raises(OSError, match="Input/output"):
            machine.settle()
        machine.system.stop("fdatasync failed")
        node = next(iter(machine.state))
        assert look_at(machine.system, node) == machine.state[node]
        with pytest.raises(WritesStopped):
            machine.system.create(machine.system.node(ROOT), "more", 0o644, OWNER, OWNER)
        for _ in range(STATES):
            assert machine.after_power_loss(tmp_path / "copy") in machine.states
    finally:
        machine.file.failing = False
        machine.close()
