"""Any sequence of writes, reads, syncs, restarts, crashes, damage and full disks, against a model."""

from __future__ import annotations

import logging
import random
import shutil
from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fakes.recorded_disk import RecordedDisk
from programs.in_thread import InThread
from programs.quick_disk import quick_directory
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, DamagedBlock, ReadOnlyStore, StoreFull
from venti.blocks.score import Score
from venti.log.arena import START
from venti.log.clump import HEADER
from venti.log.opening import open_disk_store
from venti.log.store import DiskStore

CONTENT = [random.Random(n).randbytes(20 + n * 31) + bytes(n % 3 * 200) for n in range(24)]
NUMBERS = some.integers(0, len(CONTENT) - 1)
KINDS = some.sampled_from([BlockType.DATA, BlockType.DIR])
Key = tuple[int, BlockType]


class StoreMachine(RuleBasedStateMachine):
    """``stored`` must be there, ``certain`` must survive the loss of power, ``damaged`` must be reported."""

    def __init__(self) -> None:
        super().__init__()
        self.path = quick_directory()
        self.disk = RecordedDisk()
        self.stored: set[Key] = set()
        self.certain: set[Key] = set()
        self.damaged: set[Key] = set()
        self.store: InThread[DiskStore] | None = None
        logging.getLogger("venti").setLevel(logging.CRITICAL)

    def teardown(self) -> None:
        logging.getLogger("venti").setLevel(logging.NOTSET)
        if self.store is not None:
            self.disk.room = None
            self.store.close()
        shutil.rmtree(self.path)

    def opened(self, read_only: bool = False) -> AbstractAsyncContextManager[DiskStore]:
        disk = self.disk
        return open_disk_store(
            self.path, folder=lambda _: disk, arena_size=3000, read_only=read_only, clock=lambda: 1.0, reserve=0
        )

    @property
    def living(self) -> InThread[DiskStore]:
        assert self.store is not None
        return self.store

    @initialize()
    def start(self) -> None:
        self.store = InThread(self.opened)

    @rule(number=NUMBERS, kind=KINDS)
    def write(self, number: int, kind: BlockType) -> None:
        """A block that is damaged, and known to be, is stored anew."""
        key = (number, kind)
        if key in self.damaged:
            with pytest.raises(DamagedBlock):
                self.living.call(self.living.thing.read, Score.of(CONTENT[number]), kind, 8192)
        try:
            assert self.living.call(self.living.thing.write, kind, CONTENT[number]) == Score.of(CONTENT[number])
        except StoreFull:
            assert self.disk.room is not None
            assert key not in self.stored or key in self.damaged
        else:
            self.stored.add(key)
            if key in self.damaged:
                self.damaged.discard(key)
                self.certain.discard(key)

    @rule(number=NUMBERS, kind=KINDS)
    def read(self, number: int, kind: BlockType) -> None:
        self.compare(number, kind)

    def compare(self, number: int, kind: BlockType) -> None:
        score, key = Score.of(CONTENT[number]), (number, kind)
        if key in self.damaged:
            with pytest.raises(DamagedBlock, match=str(score)):
                self.living.call(self.living.thing.read, score, kind, 8192)
        elif key in self.stored:
            assert self.living.call(self.living.thing.read, score, kind, 8192) == CONTENT[number]
        else:
            with pytest.raises(BlockNotFound, match=str(score)):
                self.living.call(self.living.thing.read, score, kind, 8192)

    @rule()
    def sync(self) -> None:
        self.living.call(self.living.thing.sync)
        self.certain |= self.stored

    @rule()
    def reopen(self) -> None:
        self.living.close()
        self.certain |= self.stored
        self.start()

    @rule()
    @precondition(lambda self: not self.damaged)
    def lose_the_index(self) -> None:
        """With damaged blocks an index made anew may or may not know them."""
        self.living.close()
        self.certain |= self.stored
        shutil.rmtree(self.path / "index")
        self.start()

    @rule(seed=some.integers(0, 1 << 30), power=some.booleans())
    @precondition(lambda self: not self.damaged)
    def crash(self, seed: int, power: bool) -> None:
        """The index is as the last batch left it; of what was written since, the disk decides."""
        index = self.path / "index"
        kept = shutil.copytree(index, self.path / "kept")
        count = len(self.disk.steps)
        found = self.disk.after_power_loss(count, random.Random(seed)) if power else self.disk.after_kill(count)
        self.disk.room = None
        self.living.close()
        shutil.rmtree(index)
        kept.rename(index)
        self.disk = found
        self.start()
        if not power:
            certain = set(self.stored)
        else:
            certain = self.certain
            for number in range(len(CONTENT)):
                for kind in (BlockType.DATA, BlockType.DIR):
                    if (number, kind) in self.stored - certain and not self.is_there(number, kind):
                        self.stored.discard((number, kind))
        for number, kind in certain:
            self.compare(number, kind)

    def is_there(self, number: int, kind: BlockType) -> bool:
        try:
            self.living.call(self.living.thing.read, Score.of(CONTENT[number]), kind, 8192)
        except BlockNotFound:
            return False
        return True

    @rule(bit=some.integers(0, 7), place=some.floats(0, 0.999), data=some.data())
    @precondition(lambda self: self.stored - self.damaged)
    def damage(self, bit: int, place: float, data: some.DataObject) -> None:
        """One bit of one clump flips on the disk."""
        number, kind = data.draw(some.sampled_from(sorted(self.stored - self.damaged)))
        where = self.living.call_sync(self.living.thing.locate, Score.of(CONTENT[number]), kind)
        assert where is not None
        at = where.offset + int(place * (HEADER + where.stored))
        if at in range(where.offset + 6, where.offset + 8):
            at += 2  # Two bytes of a header mean nothing, but its checksum covers them.
        name = f"{where.arena:08d}.arena"
        assert at >= START
        self.disk.files[name][at] ^= 1 << bit
        self.disk.start = {name: bytes(content) for name, content in self.disk.files.items()}
        self.disk.steps.clear()
        self.damaged.add((number, kind))
        self.certain |= self.stored

    @rule(room=some.one_of(some.none(), some.integers(0, 1500)))
    def disk_space(self, room: int | None) -> None:
        """The store does not look for room more than once a second: begin anew."""
        self.disk.room = None
        self.reopen()
        self.disk.room = room

    @rule()
    def read_only(self) -> None:
        self.living.close()
        self.certain |= self.stored
        before = {name: bytes(content) for name, content in self.disk.files.items()}
        self.store = InThread(lambda: self.opened(read_only=True))
        with pytest.raises(ReadOnlyStore):
            self.living.call(self.living.thing.write, BlockType.DATA, b"x")
        for number in range(len(CONTENT)):
            self.compare(number, BlockType.DATA)
        self.living.close()
        assert {name: bytes(content) for name, content in self.disk.files.items()} == before
        self.start()

    @invariant()
    def sealed_arenas_are_protected(self) -> None:
        if self.store is not None:
            self.living.call_sync(self.compare_protection)

    def compare_protection(self) -> None:
        log = self.living.thing.log
        for number in log.numbers:
            protected = self.disk.protected(f"{number:08d}.arena")
            assert log.is_sealed(number) == protected or number in log.full


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestStore = StoreMachine.TestCase
