"""Forgetting snapshots: nothing is kept that nobody can see, and nothing is lost that somebody can."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from contracts.served_file import OWNER
from fossil.live.filesystem import ROOT
from fossil.metadata.tables import ALIVE
from fossil.past.history import ARCHIVE, SNAPSHOT
from ninep.protocol import messages as m
from ninep.wire.dialect import Buffer
from programs.opened_fossil import Opened, client


def unseen(opened: Opened) -> int:
    """Rows that are dead and that no snapshot shows."""
    run = opened.system.database.execute
    return sum(
        run(
            f"SELECT count(*) FROM {table} WHERE died<{ALIVE} AND NOT EXISTS "
            "(SELECT 1 FROM snapshot WHERE kind<>'forgotten' AND epoch>=born AND epoch<died)"
        ).fetchone()[0]
        for table in ("node", "name", "extent")
    )


def sweep(opened: Opened) -> int:
    steps = 0
    while opened.history.sweep():
        steps += 1
    return steps


@pytest.mark.parametrize("seed", range(12))
def test_random_lives(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    with Opened(tmp_path) as opened:
        system, history = opened.system, opened.history
        shown: dict[int, dict[str, bytes]] = {}
        live: dict[str, bytes] = {}
        for _ in range(150):
            root = system.node(ROOT)
            name = source.choice("abcdefgh")
            node = system.child(root, name)
            action = source.choice(("write", "write", "remove", "snap", "forget", "sweep"))
            if action == "write":
                node = node or system.create(root, name, 0o644, OWNER, OWNER)
                live[name] = source.randbytes(source.randrange(1, 5000))
                system.truncate(node, 0, OWNER, counts=True)
                system.write(node, 0, live[name], OWNER)
            elif action == "remove" and node is not None:
                system.remove(node, OWNER)
                del live[name]
            elif action == "snap":
                taken = history.take(source.choice((SNAPSHOT, ARCHIVE)))
                shown[taken.epoch] = dict(live)
            elif action == "forget" and shown:
                epoch = source.choice(sorted(shown))
                del shown[epoch]
                history.forget([epoch])
            elif action == "sweep":
                for _ in range(source.randrange(4)):
                    history.sweep()
            system.commit()
        sweep(opened)
        assert unseen(opened) == 0
        system.freed.settle()
        system.freed.release()
        for epoch, tree in shown.items():
            past = history.past(epoch)
            names = set(past.children(past.root)) - {"adm"}
            assert names == set(tree)
            for name in names:
                node = past.child(past.root, name)
                assert node is not None
                data = past.read(node, 0, 1 << 20)
                assert isinstance(data, Buffer)
                assert bytes(data) == tree[name]


def test_a_step_is_small_and_all_of_them_are_as_many_as_the_change(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        system, history = opened.system, opened.history
        root = system.node(ROOT)
        for n in range(3000):
            system.create(root, f"{n}", 0o644, OWNER, OWNER)
        first = history.take(SNAPSHOT)
        for n in range(10):
            node = system.child(root, f"{n}")
            assert node is not None
            system.remove(node, OWNER)
        history.take(SNAPSHOT)
        history.forget([first.epoch])
        assert sweep(opened) <= 4
        assert unseen(opened) == 0
        for n in range(10, 3000):
            node = system.child(root, f"{n}")
            assert node is not None
            system.remove(node, OWNER)
        history.expire(1 << 40)
        system.commit()
        before = system.database.total_changes
        assert history.sweep()
        assert system.database.total_changes - before <= 250
        sweep(opened)
        assert unseen(opened) == 0


async def test_who_looks_at_a_snapshot_is_told_that_it_is_gone(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        async with client(opened, aname="main") as raw:
            opened.system.create(opened.system.node(ROOT), "file", 0o644, OWNER, OWNER)
            taken = opened.history.take(SNAPSHOT)
            fid = await raw.walk("snapshot", *taken.name.split("/"))
            opened.history.forget([taken.epoch])
            assert await raw.refused(m.Twalk(fid, raw.fid(), ["file"])) == "snapshot has been deleted"
            assert await raw.list("snapshot") == []


def test_an_interrupted_sweep_goes_on_after_a_restart(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        system, history = opened.system, opened.history
        root = system.node(ROOT)
        for n in range(1500):
            system.create(root, f"{n}", 0o644, OWNER, OWNER)
        history.take(SNAPSHOT)
        for n in range(1500):
            node = system.child(root, f"{n}")
            assert node is not None
            system.remove(node, OWNER)
        history.take(SNAPSHOT)
        history.expire(1 << 40)
        system.commit()
        assert history.sweep()
    with Opened(tmp_path) as opened:
        assert unseen(opened) > 0
        sweep(opened)
        assert unseen(opened) == 0
