"""Snapshots of other things than all that is there now: a directory, a snapshot, a directory in a snapshot."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from contracts.served_file import OWNER
from fakes.flaky_venti import FlakyVenti
from fakes.ninep_client import connected
from fossil.archive.restored import restore
from fossil.live.filesystem import ROOT
from fossil.metadata.tables import ALIVE
from fossil.past.history import ARCHIVE, SNAPSHOT
from fossil.server.service import open_fossil
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.wire.dialect import Buffer
from programs.opened_fossil import Opened, client
from venti.vac import label
from venti.vac.reader import open_archive


def unseen(opened: Opened) -> int:
    """Rows that are dead and that no snapshot shows."""
    run = opened.system.database.execute
    return sum(
        run(
            f"SELECT count(*) FROM {table} WHERE died<{ALIVE} AND NOT EXISTS (SELECT 1 FROM snapshot "
            "WHERE kind<>'forgotten' AND (epoch>=born AND epoch<died OR shown>=born AND shown<died))"
        ).fetchone()[0]
        for table in ("node", "name", "extent")
    )


async def test_a_directory_and_what_is_above_it(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        async with client(opened, aname="main") as raw:
            await raw.made("active", "usr", perm=st.DMDIR | 0o755)
            await raw.made("active", "usr", "glenda", perm=st.DMDIR | 0o755)
            await raw.made("active", "usr", "glenda", "profile", data=b"then")
            system = opened.system
            usr = system.child(system.node(ROOT), "usr")
            assert usr is not None
            glenda = system.child(usr, "glenda")
            assert glenda is not None
            opened.history.take(SNAPSHOT, "home", top=glenda.path)
            fid = await raw.open("active", "usr", "glenda", "profile", mode=m.OWRITE)
            await raw.ask(m.Twrite(fid, 0, b"now!"))
            assert [stat.name for stat in await raw.list("snapshot", "home")] == ["profile"]
            assert await raw.content("snapshot", "home", "profile") == b"then"
            assert (await raw.stat("snapshot", "home")).name == "home"
            assert [stat.name for stat in await raw.list("snapshot", "home", "..")] == ["home"]
        async with client(opened, aname="main/snapshot/home") as raw:
            assert [stat.name for stat in await raw.list("..")] == ["home"]


async def test_a_snapshot_of_a_snapshot_outlives_it(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        async with client(opened, aname="main") as raw:
            await raw.made("active", "file", data=b"then")
            first = opened.history.take(SNAPSHOT, "first")
            await raw.ask(m.Tremove(await raw.walk("active", "file")))
            opened.history.take(SNAPSHOT, "second", of=opened.history.past(first.epoch))
            opened.history.forget([first.epoch])
            while opened.history.sweep():
                pass
            opened.system.freed.settle()
            opened.system.freed.release()
            assert [stat.name for stat in await raw.list("snapshot")] == ["second"]
            assert await raw.content("snapshot", "second", "file") == b"then"
    with Opened(tmp_path) as opened:
        async with client(opened, aname="main") as raw:
            assert await raw.content("snapshot", "second", "file") == b"then"
        opened.history.expire(1 << 40)
        opened.history.take(SNAPSHOT)
        while opened.history.sweep():
            pass
        assert unseen(opened) == 0
        assert opened.system.database.execute("SELECT count(*) FROM snapshot").fetchone() == (1,)


@pytest.mark.parametrize("seed", range(12))
def test_random_lives_of_copies(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    with Opened(tmp_path) as opened:
        system, history = opened.system, opened.history
        shown: dict[int, dict[str, bytes]] = {}
        live: dict[str, bytes] = {}
        for _ in range(150):
            root = system.node(ROOT)
            name = source.choice("abcdefgh")
            node = system.child(root, name)
            action = source.choice(("write", "write", "remove", "snap", "copy", "forget", "sweep"))
            if action == "write":
                node = node or system.create(root, name, 0o644, OWNER, OWNER)
                live[name] = source.randbytes(source.randrange(1, 5000))
                system.truncate(node, 0, OWNER, counts=True)
                system.write(node, 0, live[name], OWNER)
            elif action == "remove" and node is not None:
                system.remove(node, OWNER)
                del live[name]
            elif action == "snap":
                shown[history.take(SNAPSHOT).epoch] = dict(live)
            elif action == "copy" and shown:
                old = source.choice(sorted(shown))
                shown[history.take(SNAPSHOT, of=history.past(old)).epoch] = shown[old]
            elif action == "forget" and shown:
                epoch = source.choice(sorted(shown))
                del shown[epoch]
                history.forget([epoch])
            elif action == "sweep":
                for _ in range(source.randrange(4)):
                    history.sweep()
            system.commit()
        while history.sweep():
            pass
        assert unseen(opened) == 0
        system.freed.settle()
        system.freed.release()
        for epoch, tree in shown.items():
            past = history.past(epoch)
            found = {}
            for name in set(past.children(past.root)) - {"adm"}:
                node = past.child(past.root, name)
                assert node is not None
                data = past.read(node, 0, 1 << 20)
                assert isinstance(data, Buffer)
                found[name] = bytes(data)
            assert found == tree


async def test_a_snapshot_moves_into_the_archive(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with (
        open_fossil(tmp_path / "data", owner=OWNER, open_store=venti.connect, clock=trio.current_time) as fossil,
        connected(fossil.tree, OWNER, aname="main") as raw,
    ):
        history = fossil.history
        await raw.made("active", "dir", perm=st.DMDIR | 0o755)
        await raw.made("active", "dir", "file", data=b"then")
        old = history.take(SNAPSHOT, "old")
        await raw.ask(m.Tremove(await raw.walk("active", "dir", "file")))
        await raw.made("active", "dir", "other", data=b"now")
        past = history.past(old.epoch)
        directory = past.child(past.root, "dir")
        assert directory is not None
        history.take(ARCHIVE, "2003/1220", of=past)
        await trio.sleep(2)
        history.take(ARCHIVE, "kept/dir", of=past, top=directory.path)
        fossil.archiver.wake()
        await fossil.archiver.idle()
        history.forget([old.epoch])
        while history.sweep():
            pass
        assert await raw.content("archive", "2003", "1220", "dir", "file") == b"then"
        score = history.last().score
        assert history.newest(ARCHIVE) is None, "the live tree of no moment is in the archive tree"
    assert score is not None
    archive = await open_archive(venti.store, label.parse(score))
    for names, text in (
        (["active", "dir", "other"], b"now"),
        (["archive", "2003", "1220", "dir", "file"], b"then"),
        (["archive", "kept", "dir", "file"], b"then"),
    ):
        file = await archive.walk(names)
        assert await file.read(0, file.size) == text
    assert (await restore(tmp_path / "restored", venti.store, label.parse(score))).archives == 2
    async with (
        open_fossil(tmp_path / "restored", owner=OWNER, open_store=venti.connect, clock=trio.current_time) as fossil,
        connected(fossil.tree, OWNER, aname="main") as raw,
    ):
        assert [one.name for one in fossil.history.all(ARCHIVE)] == ["2003/1220", "kept/dir"]
        assert await raw.content("archive", "2003", "1220", "dir", "file") == b"then"
        assert await raw.content("archive", "kept", "dir", "file") == b"then"
        assert await raw.content("active", "dir", "other") == b"now"
        assert fossil.history.last().score == score
