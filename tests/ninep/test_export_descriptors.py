"""An export that runs short of descriptors: refusals that say so, nothing half done, and all is well afterwards."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from fakes.ninep_client import Raw, connected
from ninep.export.accounts import Accounts
from ninep.export.descriptors import TABLE
from ninep.export.tree import ExportTree
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.errors import FileError

ROOM = 40


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ExportTree]:
    (tmp_path / "dir").mkdir()
    for number in range(100):
        (tmp_path / "dir" / f"f{number}").write_text(f"{number}")
    tree = ExportTree(tmp_path, accounts=Accounts(switch=False))
    before = TABLE.most
    # What other tests left open stands here and there in the table: from here on every number is free.
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    fillers = [os.dup(0)]
    while fillers[-1] < highest:
        fillers.append(os.dup(0))
    TABLE.most = max(highest, fillers[-1]) + 1 + ROOM
    yield tree
    TABLE.most = before
    tree.close()
    for filler in fillers:
        os.close(filler)


async def exhausted(raw: Raw, top: int) -> list[int]:
    """Walks from the directory with the fid ``top`` until the server has no more."""
    fids: list[int] = []
    for number in range(ROOM + 5):
        fid = raw.fid()
        try:
            await raw.ask(m.Twalk(top, fid, [f"f{number}"]))
        except FileError as error:
            if error.errno != errno.EMFILE:
                raise
            assert await raw.refused(lm.Tgetattr(fid, 1)) == "fid unknown or out of range"
            return fids
        fids.append(fid)
    raise AssertionError("there is no end")


async def test_walks_are_refused_and_work_again(tree: ExportTree) -> None:
    async with connected(tree, version=lm.VERSION) as raw:
        top = await raw.walk("dir")
        fids = await exhausted(raw, top)
        assert len(fids) > ROOM // 2
        for fid in (raw.fid(), raw.fid()):
            with pytest.raises(FileError) as caught:
                await raw.ask(m.Twalk(top, fid, ["f99"]))
            assert caught.value.errno == errno.EMFILE
        for fid in fids:
            await raw.ask(m.Tclunk(fid))
        await raw.ask(m.Twalk(top, raw.fid(), ["f99"]))


async def test_what_is_open_goes_on_and_nothing_is_half_made(tree: ExportTree, tmp_path: Path) -> None:
    async with connected(tree, version=lm.VERSION) as raw:
        top, file = await raw.walk("dir"), await raw.walk("dir", "f7")
        await raw.ask(lm.Tlopen(file, os.O_RDWR))
        fids = await exhausted(raw, top)
        assert await raw.read(file) == b"7"
        await raw.ask(m.Twrite(file, 1, b"x"))
        before = sorted(os.listdir(tmp_path / "dir"))
        for request in (
            lm.Tlcreate(top, "new", os.O_RDWR, 0o644, m.NOFID),
            lm.Tmkdir(top, "new", 0o755, m.NOFID),
            lm.Tsymlink(top, "new", "target", m.NOFID),
            lm.Tmknod(top, "new", 0o100644, 0, 0, m.NOFID),
            lm.Tlopen(fids[0], os.O_RDONLY),
        ):
            with pytest.raises(FileError) as caught:
                await raw.ask(request)
            assert caught.value.errno == errno.EMFILE, request
        assert sorted(os.listdir(tmp_path / "dir")) == before
        # What needs none for itself is done.
        await raw.ask(lm.Tunlinkat(top, "f7", 0))
        await raw.ask(lm.Trenameat(top, "f8", top, "renamed"))
        await raw.ask(m.Tclunk(fids.pop()))
        await raw.ask(m.Tclunk(fids.pop()))
        await raw.ask(m.Tclunk(fids.pop()))
        await raw.ask(lm.Tlcreate(top, "new", os.O_RDWR, 0o644, m.NOFID))
    assert (tmp_path / "dir" / "new").exists()


async def test_others_can_still_come_and_a_hang_up_gives_all_back(tree: ExportTree) -> None:
    async with connected(tree, version=lm.VERSION) as greedy:
        await exhausted(greedy, await greedy.walk("dir"))
        async with connected(tree, version=lm.VERSION) as other:
            assert (await other.ask(lm.Tgetattr(0, 0x7FF))).attributes.mode & 0o40000
            # The directory is held already; a file in it is one more.
            with pytest.raises(FileError) as caught:
                await other.ask(m.Twalk(0, other.fid(), ["dir", "f98"]))
            assert caught.value.errno == errno.EMFILE
    await trio.testing.wait_all_tasks_blocked()
    async with connected(tree, version=lm.VERSION) as other:
        await other.walk("dir", "f98")


def test_few_descriptors_leave_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    before = TABLE.most
    for limit, most in (((64, 64), 48), ((1024, 4096), 768), ((resource.RLIM_INFINITY,) * 2, (1 << 20) - 256)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: limit)
        TABLE.measure()
        assert TABLE.most == most
    TABLE.most = before
