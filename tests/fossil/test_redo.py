"""The redo log: what was answered is there after a kill, and what is older than the database is not done again."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.served_file import OWNER
from fossil.data.disk import DiskFile
from fossil.errors import WritesStopped
from fossil.live.filesystem import ROOT, FileSystem
from fossil.metadata import redo
from fossil.metadata.ledger import FEW, MOST, Ledger
from fossil.metadata.redolog import SIZE, RedoLog
from fossil.metadata.rows import Rows
from fossil.metadata.schema import Database
from fossil.metadata.settings import Settings
from fossil.metadata.settled import boot
from fossil.metadata.tables import ALIVE, NAME, NODE
from ninep.protocol.errors import FileSystemFull
from programs.opened_fossil import Opened, client


def rows(number: int) -> Rows:
    node = (number, 1, 2, f"file-{number}", 0, 0o644, 1, 1, 1, 5, 5, "glenda", "glenda", "glenda", 1, None)
    extent = (number, 0, 1, 5, number * 5, 0, 5, bytes(range(32)))
    return Rows(
        [(3, number, 1)], [], [node], [], [(2, "gone", 1)], [(2, f"file-{number}", 1, number)], [], [], [extent]
    )


def as_tuples(group: Rows) -> Rows:
    return Rows(*(tuple(each) for each in group))


GROUPS = [(as_tuples(rows(number)), number + 1) for number in range(16, 20)]
LOG = redo.header("boot") + b"".join(redo.packed(group, path, 7) for group, path in GROUPS)


def test_every_prefix_has_the_groups_that_are_whole() -> None:
    ends = [redo.HEADER]
    for group, path in GROUPS:
        ends.append(ends[-1] + len(redo.packed(group, path, 7)))
    for cut in range(len(LOG) + 1):
        whole = sum(end <= cut for end in ends[1:])
        for rest in (b"", bytes(100), LOG[cut - 90 : cut + 10]):
            assert list(redo.groups(LOG[:cut] + rest, 7, "boot"))[:whole] == GROUPS[:whole]
        assert list(redo.groups(LOG[:cut] + bytes(1000), 7, "boot")) == GROUPS[:whole]


@pytest.mark.parametrize(("generation", "boot"), [(6, "boot"), (8, "boot"), (7 + (1 << 32), "boot"), (7, "another")])
def test_of_another_generation_or_start_of_the_machine(generation: int, boot: str) -> None:
    assert list(redo.groups(LOG, generation, boot)) == []


@pytest.mark.parametrize("generation", [7, 8])
def test_each_half_has_a_generation(generation: int) -> None:
    """What is behind the groups of one half has nothing to do with those of the other."""
    first = redo.header("boot") + b"".join(redo.packed(group, path, 7) for group, path in GROUPS)
    later = b"".join(redo.packed(group, path + 100, 8) for group, path in GROUPS[:2])
    log = first.ljust(redo.HALF, b"\0") + later
    expected = GROUPS if generation == 7 else [(group, path + 100) for group, path in GROUPS[:2]]
    assert list(redo.groups(log, generation, "boot")) == expected


def test_older_groups_behind_the_last_one_are_not_done() -> None:
    newer = redo.header("boot") + redo.packed(*GROUPS[0], 8)
    assert list(redo.groups(newer + LOG[len(newer) :], 8, "boot")) == GROUPS[:1]


@pytest.mark.parametrize("at", range(redo.HEADER, redo.HEADER + 40))
def test_a_flipped_bit_ends_the_log(at: int) -> None:
    damaged = bytearray(LOG)
    damaged[at] ^= 4
    assert list(redo.groups(bytes(damaged), 7, "boot")) == []


# In a file system


@pytest.fixture
def system(tmp_path: Path) -> Iterator[FileSystem]:
    (tmp_path / "live").mkdir()
    found = FileSystem(tmp_path / "live", owner=OWNER)
    yield found
    found.close()


def make(system: FileSystem, name: str) -> None:
    node = system.create(system.node(ROOT), name, 0o644, OWNER, OWNER)
    system.write(node, 0, name.encode(), OWNER)
    system.record()


def killed(system: FileSystem, tmp_path: Path) -> Path:
    to = tmp_path / "copy"
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(tmp_path / "live", to)
    return to


def content(folder: Path) -> dict[str, bytes]:
    system = FileSystem(folder, owner=OWNER)
    try:
        root = system.node(ROOT)
        nodes = {name: system.child(root, name) for name in system.children(root)}
        return {name: bytes(system.read(node, 0, 99)) for name, node in nodes.items() if node and name != "adm"}
    finally:
        system.close()


def test_answers_take_no_transaction(system: FileSystem, tmp_path: Path) -> None:
    before = system.database.total_changes
    for name in "abc":
        make(system, name)
    assert system.database.total_changes == before
    assert content(killed(system, tmp_path)) == {"a": b"a", "b": b"b", "c": b"c"}


def test_paths_that_were_given_are_not_given_again(system: FileSystem, tmp_path: Path) -> None:
    system.commit()
    system.next_path += 10_000
    make(system, "a")
    copy = FileSystem(killed(system, tmp_path), owner=OWNER)
    assert copy.next_path >= system.next_path
    copy.close()


def test_many_changes_go_to_the_database_by_themselves(system: FileSystem, tmp_path: Path) -> None:
    names = [f"{number}" for number in range(MOST)]
    for name in names:
        make(system, name)
    (found,) = system.database.execute("SELECT count(*) FROM name").fetchone()
    assert found > MOST // 4
    assert set(content(killed(system, tmp_path))) == set(names)


def test_an_answer_waits_for_few_rows(system: FileSystem, tmp_path: Path) -> None:
    """Where there is a moment after each answer the database is brought up to date in them, bit by bit."""
    database, names = system.database, [f"{number}" for number in range(2 * MOST)]
    answers, moments = [], []
    for name in names:
        before = database.total_changes
        make(system, name)
        answered = database.total_changes
        system.rest()
        answers.append(answered - before)
        moments.append(database.total_changes - answered)
    assert max(answers) == 0
    assert 0 < max(moments) <= 3 * FEW
    (found,) = database.execute("SELECT count(*) FROM name").fetchone()
    assert len(names) - found < MOST
    assert set(content(killed(system, tmp_path))) == set(names)


async def test_served_clients_bring_the_database_up_to_date(tmp_path: Path) -> None:
    """Nothing else does it for them: here no work is done in the background."""
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            for number in range(MOST // 2):
                await raw.made(f"{number}", data=b"x")
        (found,) = opened.system.database.execute("SELECT count(*) FROM name").fetchone()
        assert found > MOST // 8


def test_killed_at_every_moment(system: FileSystem, tmp_path: Path) -> None:
    """While rows of one part of the log go to the database, answers go to the other."""
    system.commit()
    source, state = random.Random(5), {}
    for number in range(3 * MOST):
        name = f"{source.randrange(40)}"
        node = system.child(system.node(ROOT), name)
        if node is None:
            make(system, name)
            state[name] = name.encode()
        elif source.random() < 0.5:
            system.write(node, 0, b"%08d" % number, OWNER)
            system.record()
            state[name] = b"%08d" % number
        else:
            system.remove(node, OWNER)
            system.record()
            del state[name]
        for _ in range(source.randrange(3)):
            system.rest()
        if number % 23 == 0:
            assert content(killed(system, tmp_path)) == state
        if number % 191 == 0:
            system.commit()
            system.next_epoch()


def test_a_look_at_whole_groups(system: FileSystem) -> None:
    """Who wants rows that fit together gets them, though some of a group are in the database already."""
    for number in range(MOST):
        make(system, f"{number}")
        if number % 50 == 0:
            system.rest()
    assert system.database.in_transaction
    system.complete()
    assert not system.database.in_transaction
    run = system.database.execute
    (names,) = run("SELECT count(*) FROM name").fetchone()
    (nodes,) = run("SELECT count(*) FROM node").fetchone()
    assert names + 1 == nodes > 100


def test_what_is_removed_after_it_was_changed(system: FileSystem, tmp_path: Path) -> None:
    """A file of an earlier epoch, changed and removed before the database knew of either, leaves no row alive."""
    make(system, "a")
    system.commit()
    system.next_epoch()
    node = system.child(system.node(ROOT), "a")
    assert node is not None
    system.write(node, 0, b"b", OWNER)
    system.record()
    system.remove(node, OWNER)
    system.record()
    copy = FileSystem(killed(system, tmp_path), owner=OWNER)
    alive = copy.database.execute(f"SELECT count(*) FROM node WHERE path=? AND died={ALIVE}", (node.path,))
    assert alive.fetchone() == (0,)
    copy.close()


def test_a_log_that_is_full_is_begun_anew(system: FileSystem, tmp_path: Path) -> None:
    make(system, "a")
    node = system.child(system.node(ROOT), "a")
    assert node is not None
    for number in range(4000):
        system.write(node, 0, b"%08d" % number, OWNER)
        system.record()
        if number % 997 == 0:
            assert content(killed(system, tmp_path)) == {"a": b"%08d" % number}
    assert (tmp_path / "live" / "redo").stat().st_size == SIZE


def test_redone_once(system: FileSystem, tmp_path: Path) -> None:
    """What was redone and then changed is not redone again, though its groups are still there."""
    make(system, "a")
    copy = killed(system, tmp_path)
    log = (copy / "redo").read_bytes()
    opened = FileSystem(copy, owner=OWNER)
    node = opened.child(opened.node(ROOT), "a")
    assert node is not None
    opened.remove(node, OWNER)
    opened.record()
    opened.close()
    (copy / "redo").write_bytes(log)
    assert content(copy) == {}


def test_other_changes_of_the_database_come_after_those_in_the_log(system: FileSystem, tmp_path: Path) -> None:
    """An extent that was moved to venti, say, must not be moved back by what is redone."""
    make(system, "a")
    make(system, "b")
    with system.transaction() as database:
        for table in (NAME, NODE):
            (row,) = database.rows(table, "WHERE name='a'")
            database.execute(f"DELETE FROM {table.name} WHERE name='a'")
            database.put(table, tuple("moved" if value == "a" else value for value in row[: table.width]))
    assert content(killed(system, tmp_path)) == {"moved": b"a", "b": b"b"}


def test_a_fresh_database_does_not_take_what_another_left(system: FileSystem, tmp_path: Path) -> None:
    make(system, "a")
    copy = killed(system, tmp_path)
    for name in ("metadata", "metadata-wal", "metadata-shm", "settled"):
        (copy / name).unlink()
    assert content(copy) == {}


def test_durable_keeps_no_log(system: FileSystem, tmp_path: Path) -> None:
    """Everything is in the database at once; what an ordinary run left is redone first."""
    make(system, "a")
    durable = FileSystem(killed(system, tmp_path), owner=OWNER, durable=True)
    make(durable, "b")
    (found,) = durable.database.execute("SELECT count(*) FROM name WHERE name IN ('a', 'b')").fetchone()
    assert found == 2
    durable.close()


def test_without_room_for_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes are transactions, as they are where the file system cannot set room aside."""

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "live").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", no_room)
        system = FileSystem(tmp_path / "live", owner=OWNER)
    make(system, "a")
    (found,) = system.database.execute("SELECT count(*) FROM name WHERE name='a'").fetchone()
    assert found == 1
    system.close()


@pytest.mark.expects_errors
def test_a_full_disk(system: FileSystem, tmp_path: Path) -> None:
    """What was answered stays, and what was refused is not redone."""
    (pages,) = system.database.execute("PRAGMA page_count").fetchone()
    system.database.execute(f"PRAGMA max_page_count={pages}")
    answered = []
    for number in range(2000):
        name = f"{number:0200}"
        try:
            make(system, name)
        except FileSystemFull:
            break
        answered.append(name)
    assert system.full
    assert len(answered) > MOST // 4
    assert set(content(killed(system, tmp_path))) == set(answered)
    system.database.execute("PRAGMA max_page_count=1000000")
    system.commit()
    make(system, "more")
    assert {*answered, "more"} < set(content(killed(system, tmp_path)))


@pytest.mark.expects_errors
def test_a_disk_that_is_found_full_after_the_answer(system: FileSystem, tmp_path: Path) -> None:
    """What was answered stays; from there on what grows is refused, until there is room."""
    (pages,) = system.database.execute("PRAGMA page_count").fetchone()
    system.database.execute(f"PRAGMA max_page_count={pages}")
    answered = []
    while not system.full:
        make(system, name := f"{len(answered):0200}")
        answered.append(name)
        system.rest()
    assert set(content(killed(system, tmp_path))) == set(answered)
    with pytest.raises(FileSystemFull):
        make(system, "refused")
    assert set(content(killed(system, tmp_path))) == set(answered)
    system.database.execute("PRAGMA max_page_count=1000000")
    system.rest()
    system.commit()
    make(system, "more")
    assert {*answered, "more"} <= set(content(killed(system, tmp_path)))


@pytest.mark.expects_errors
def test_a_database_that_fails_after_the_answer(system: FileSystem, tmp_path: Path) -> None:
    """No more changes are taken; what was answered is there after a restart."""
    for number in range(MOST // 3):
        make(system, f"{number}")
    system.database.execute(
        "CREATE TEMP TRIGGER fails BEFORE INSERT ON name BEGIN SELECT RAISE(ABORT, 'the disk is ill'); END"
    )
    answered = MOST // 3
    while system.stopped is None:
        make(system, f"{answered}")
        answered += 1
        system.rest()
    assert "the disk is ill" in system.stopped
    with pytest.raises(WritesStopped):
        make(system, "more")
    assert set(content(killed(system, tmp_path))) == {f"{number}" for number in range(answered)}


def test_a_group_is_one_write(tmp_path: Path) -> None:
    log = RedoLog(tmp_path / "redo")
    assert log.append(b"x" * 1000)
    assert not log.append(bytes(redo.HALF))
    assert log.end == redo.HEADER + 1000
    log.turn()
    assert log.append(b"z")
    assert not log.append(bytes(redo.HALF))
    log.turn()
    assert log.append(b"y")
    log.close()
    file = DiskFile(tmp_path / "redo")
    assert file.read(0, redo.HEADER + 3) == redo.header(boot()) + b"yxx"
    assert file.read(redo.HALF, 2) == b"z\0"
    file.close()


def test_redoing_on_a_full_disk(system: FileSystem, tmp_path: Path) -> None:
    """It says what to do, and keeps the log for the time when that is done."""
    for number in range(60):
        make(system, f"{number:0200}")
    copy = killed(system, tmp_path)
    log = (copy / "redo").read_bytes()
    database = sqlite3.connect(copy / "metadata", isolation_level=None, factory=Database)
    database.path = copy / "metadata"
    database.open_files()
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(OSError, match="make room"):
        Ledger(database, Settings(database), copy / "redo", durable=False)
    database.close()
    assert (copy / "redo").read_bytes() == log
    assert len(content(copy)) == 60


def test_groups_behind_a_damaged_one_are_noticed() -> None:
    """What is torn at the end is what a killed process was writing; damage in the middle is something else."""
    sizes = [len(redo.packed(group, path, 7)) for group, path in GROUPS]
    assert redo.cut_off(LOG, 7, "boot") == 0
    assert redo.cut_off(LOG[:-1] + bytes(100), 7, "boot") == 0
    for number in range(len(GROUPS) - 1):
        damaged = bytearray(LOG)
        damaged[redo.HEADER + sum(sizes[:number]) + 20] ^= 1
        assert len(list(redo.groups(bytes(damaged), 7, "boot"))) == number
        assert redo.cut_off(bytes(damaged), 7, "boot") == len(GROUPS) - 1 - number
    assert redo.cut_off(LOG, 6, "boot") == 0
