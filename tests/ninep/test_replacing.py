"""A name stands for the old content or the new one, whole, whatever happens to whoever writes it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from contracts.cancelled_at import at_each_checkpoint
from ninep.client.replacing import replacing
from ninep.client.tree import RemoteTree, connected, local_user
from ninep.copy.get import Get
from ninep.copy.put import Put
from ninep.export.accounts import Accounts
from ninep.export.tree import ExportTree
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.errors import (
    FileError,
    FileExists,
    FileSystemFull,
    IsDirectory,
    NotPermitted,
    PermissionDenied,
    WstatProhibited,
)
from ninep.protocol.stat import DMAPPEND, DMEXCL, Stat
from ninep.ram.file import RamFile
from ninep.ram.tree import RamTree
from ninep.server.files import FileTree
from ninep.server.serve import serve_stream
from ninep.synthetic.tree import SyntheticTree

OWNER = "glenda"
OLD, NEW = b"old" * 40_000, b"new content" * 30_000
SMALL = b"few"
DIALECTS = pytest.mark.parametrize("version", [m.VERSION, m.VERSION_UNIX, lm.VERSION])
SIZES = pytest.mark.parametrize("new", [NEW, SMALL, b""], ids=["large", "small", "empty"])


@asynccontextmanager
async def client(tree: FileTree, version: str = m.VERSION, uname: str = OWNER) -> AsyncIterator[RemoteTree]:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_stream, far, tree, local=True))
        async with connected(near, version=version, msize=8216) as connection:
            yield RemoteTree(await connection.attach(uname))


async def names(tree: RemoteTree) -> list[str]:
    return sorted(entry.name for entry in await tree.listdir())


@DIALECTS
@SIZES
async def test_what_is_new_takes_the_place_of_what_is_old(version: str, new: bytes) -> None:
    async with client(RamTree(OWNER), version) as tree:
        await tree.write_bytes("file", OLD, 0o640)
        before = await tree.stat("file")
        await tree.write_bytes("file", new)
        after = await tree.stat("file")
        assert await tree.read_bytes("file") == new
        assert (after.mode, after.uid, after.gid) == (before.mode, before.uid, before.gid)
        await tree.write_bytes("other", new)
        assert await names(tree) == ["file", "other"]


@DIALECTS
@SIZES
@pytest.mark.parametrize("there", [True, False])
async def test_cancelled_at_any_checkpoint(version: str, new: bytes, there: bool) -> None:
    ram = RamTree(OWNER)
    async with client(ram, version) as other, client(ram, version) as tree:

        async def prepare() -> None:
            if there:
                await other.write_bytes("file", OLD)
            elif await other.exists("file"):
                await other.remove("file")

        async def check(done: bool) -> None:
            content = await other.read_bytes("file") if await other.exists("file") else None
            assert content == new or (not done and content == (OLD if there else None))
            assert [name for name in await names(other) if name != "file"] == []
            await prepare()

        await prepare()
        steps = await at_each_checkpoint(lambda: tree.write_bytes("file", new), check)
        assert steps > 3
        assert len(await fids(tree)) == 1


async def fids(tree: RemoteTree) -> list[int]:
    """The fids that the server knows of this connection."""
    found = []
    for fid in range(tree.connection._next + 1):
        try:
            await tree.connection.ask(m.Tstat(fid) if tree.connection.version != lm.VERSION else lm.Tgetattr(fid, 1))
            found.append(fid)
        except FileError:
            pass
    return found


@DIALECTS
@pytest.mark.parametrize("there", [True, False])
async def test_a_put_that_is_cancelled_at_any_checkpoint(version: str, there: bool, tmp_path: Path) -> None:
    ram = RamTree(OWNER)
    source = tmp_path / "source"
    source.write_bytes(NEW)
    source.chmod(0o751)
    async with client(ram, version) as other, client(ram, version) as tree:

        async def check(done: bool) -> None:
            content = await other.read_bytes("file") if await other.exists("file") else None
            assert content == NEW or (not done and content == (OLD if there else None))
            assert [name for name in await names(other) if name != "file"] == []
            if done:
                assert (await other.stat("file")).mode & 0o777 == 0o751
            if there:
                await other.write_bytes("file", OLD)
            elif content is not None:
                await other.remove("file")

        if there:
            await other.write_bytes("file", OLD)
        await at_each_checkpoint(lambda: Put(tree).put(source, "file"), check)


@DIALECTS
async def test_an_error_of_the_body_leaves_what_was_there(version: str) -> None:
    async with client(RamTree(OWNER), version) as tree:
        await tree.write_bytes("file", OLD)
        for name in ("file", "new"):

            async def spoilt(name: str) -> None:
                async with replacing(tree.root, name) as file:
                    await file.write_range(0, NEW)
                    raise KeyError("mine")

            with pytest.raises(KeyError):
                await spoilt(name)
        assert await tree.read_bytes("file") == OLD
        assert await names(tree) == ["file"]


@DIALECTS
async def test_a_full_disk(version: str) -> None:
    async with client(RamTree(OWNER, capacity=200_000), version) as tree:
        await tree.write_bytes("file", OLD)
        for name in ("file", "new"):
            with pytest.raises(FileSystemFull):
                await tree.write_bytes(name, NEW)
        assert await tree.read_bytes("file") == OLD
        assert await names(tree) == ["file"]


@pytest.mark.parametrize("version", [m.VERSION, m.VERSION_UNIX])
@pytest.mark.parametrize("what", ["rename", "create"])
@pytest.mark.parametrize("refusal", [WstatProhibited(), NotPermitted(), FileExists(), FileError("no")], ids=repr)
async def test_where_nothing_can_be_renamed_or_made_it_is_written_in_its_place(
    version: str, what: str, refusal: FileError, monkeypatch: pytest.MonkeyPatch
) -> None:
    ram = RamTree(OWNER)
    async with client(ram, version) as tree:
        await tree.write_bytes("file", OLD)
    wstat = RamFile.wstat

    def created(*_: object) -> None:
        raise refusal

    def changed(file: RamFile, changes: Stat) -> Any:
        if changes.name:
            raise refusal
        return wstat(file, changes)

    if what == "create":
        for method in ("create", "lcreate"):
            monkeypatch.setattr(RamFile, method, created)
    monkeypatch.setattr(RamFile, "wstat", changed)
    async with client(ram, version) as tree:
        await tree.write_bytes("file", NEW)
        assert await tree.read_bytes("file") == NEW
        if what == "create":
            with pytest.raises(type(refusal)):
                await tree.write_bytes("new", NEW)
            assert await names(tree) == ["file"]
            return
        await tree.write_bytes("new", NEW)
        assert await tree.read_bytes("new") == NEW
        with trio.CancelScope() as scope:
            async with replacing(tree.root, "half") as file:
                await file.write_range(0, NEW)
                scope.cancel()
                await trio.sleep_forever()
        assert await names(tree) == ["file", "new"]


async def test_a_file_that_may_not_be_written_is_not_replaced_either() -> None:
    ram = RamTree(OWNER, mode=0o777)
    for version in (m.VERSION, lm.VERSION):
        async with client(ram, version) as tree:
            await tree.write_bytes("file", OLD, 0o644)
        async with client(ram, version, "somebody") as tree:
            with pytest.raises(PermissionDenied):
                await tree.write_bytes("file", NEW)
            assert await tree.read_bytes("file") == OLD
            assert await names(tree) == ["file"]


async def test_a_file_of_somebody_else_stays_his() -> None:
    ram = RamTree(OWNER, mode=0o777)
    async with client(ram) as tree:
        await tree.write_bytes("file", OLD)
        await tree.wstat("file", Stat(mode=0o666))
    async with client(ram, m.VERSION, "somebody") as tree:
        await tree.write_bytes("file", NEW)
        assert await tree.read_bytes("file") == NEW
        assert (await tree.stat("file")).uid == OWNER
        assert await names(tree) == ["file"]


@pytest.mark.parametrize("kind", [DMAPPEND, DMEXCL])
async def test_a_file_that_is_more_than_its_content_stays_what_it_is(kind: int) -> None:
    async with client(RamTree(OWNER)) as tree:
        async with await tree.root.walk([]) as file:
            await file.create("file", kind | 0o644, m.OWRITE)
            await file.write(0, b"first ")
        before = await tree.stat("file")
        await tree.write_bytes("file", b"second")
        after = await tree.stat("file")
        assert after.mode == before.mode
        assert after.qid.path == before.qid.path


async def test_files_of_functions_are_written_as_ever() -> None:
    written: list[Any] = []
    made = SyntheticTree(OWNER)
    made.control("ctl")(written.append)
    made.file("motto")(lambda: "m").writes(written.append)
    async with client(made) as tree:
        await tree.write_bytes("ctl", b"go")
        await tree.write_bytes("motto", b"new")
        await tree.write_bytes("motto", b"")
    assert written == ["go", b"new", b""]


async def test_a_directory_is_no_file() -> None:
    for version in (m.VERSION, lm.VERSION):
        async with client(RamTree(OWNER), version) as tree:
            await tree.mkdir("dir")
            for content in (NEW, SMALL):
                with pytest.raises(IsDirectory):
                    await tree.write_bytes("dir", content)
            assert await names(tree) == ["dir"]


async def test_a_symbolic_link_is_not_followed_and_a_put_replaces_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(NEW)
    served = tmp_path / "served"
    served.mkdir()
    (served / "target").write_bytes(OLD)
    async with client(ExportTree(served, accounts=Accounts(switch=False)), lm.VERSION, local_user()) as tree:
        await tree.symlink("link", "target")
        await Put(tree).put(source, "link")
        assert (served / "link").read_bytes() == NEW
        assert not (served / "link").is_symlink()
        assert (served / "target").read_bytes() == OLD


async def test_a_name_as_long_as_a_name_can_be(tmp_path: Path) -> None:
    async with client(ExportTree(tmp_path, accounts=Accounts(switch=False)), m.VERSION, local_user()) as tree:
        for name in ("x" * 255, "\u00e4" * 127):
            await tree.write_bytes(name, OLD)
            await tree.write_bytes(name, NEW)
            assert await tree.read_bytes(name) == NEW
        assert len(await names(tree)) == 2


async def test_defaults_let_nobody_write_whom_the_directory_does_not_let(tmp_path: Path) -> None:
    """In 9P2000.L nobody masks permissions: 0666 by default would be a file that everybody may write."""
    for version in (m.VERSION, m.VERSION_UNIX, lm.VERSION):
        async with client(RamTree(OWNER, mode=0o750), version) as tree:
            await tree.write_bytes("small", SMALL)
            await tree.write_bytes("large", NEW)
            async with tree.create("created"):
                pass
            async with await tree.open_file("opened", "w"):
                pass
            await tree.mkdir("dir")
            found = {entry.name: entry.mode & 0o777 for entry in await tree.listdir()}
            assert found == {"small": 0o640, "large": 0o640, "created": 0o640, "opened": 0o640, "dir": 0o750}


@DIALECTS
@pytest.mark.parametrize("there", [True, False])
async def test_a_get_that_is_cancelled_at_any_checkpoint(version: str, there: bool, tmp_path: Path) -> None:
    target = tmp_path / "file"
    async with client(RamTree(OWNER), version) as tree:
        await tree.write_bytes("file", NEW)

        async def check(done: bool) -> None:
            content = target.read_bytes() if target.exists() else None
            assert content == NEW or (not done and content == (OLD if there else None))
            assert set(os.listdir(tmp_path)) <= {"file"}
            if there:
                target.write_bytes(OLD)
            elif content is not None:
                target.unlink()

        if there:
            target.write_bytes(OLD)
        await at_each_checkpoint(lambda: Get(tree).get("file", target), check)


async def test_a_get_that_is_refused_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(OLD)
    ram = RamTree(OWNER)
    async with client(ram) as tree:
        await tree.write_bytes("file", NEW)
        await tree.wstat("file", Stat(mode=0o200))
    async with client(ram, m.VERSION, "somebody") as tree:
        for name in ("file", "new"):
            with pytest.raises(PermissionDenied):
                await Get(tree).get("file", tmp_path / name)
    assert (tmp_path / "file").read_bytes() == OLD
    assert os.listdir(tmp_path) == ["file"]
