"""What is listed and cannot be looked at stays in listings, and is named where it is in the way."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from ninep.__main__ import main
from ninep.cli.codes import DONE, FAILED
from ninep.client.connection import DIALECTS, connected
from ninep.client.tree import RemoteTree
from ninep.copy.get import Get
from ninep.copy.put import Put
from ninep.copy.remove import Remove
from ninep.copy.transfer import Entries, Incomplete
from ninep.protocol.errors import FileError, FileNotFound, FileRemoved, InputOutput, PermissionDenied
from ninep.protocol.ids import Ids
from ninep.protocol.stat import DMDIR
from ninep.ram.file import RamFile
from ninep.ram.tree import RamTree
from ninep.server.serve import serve_stream
from programs.processes import Program, free_port

OWNER = "glenda"
LOCKED = ("folder", "locked")
every_dialect = pytest.mark.parametrize("version", DIALECTS)


@asynccontextmanager
async def client(tree: RamTree, version: str) -> AsyncIterator[RemoteTree]:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, tree)
        async with connected(near, version=version, ids=Ids()) as connection:
            yield RemoteTree(await connection.attach(OWNER))


async def filled() -> RamTree:
    tree = RamTree(OWNER)
    async with client(tree, DIALECTS[0]) as remote:
        await remote.mkdir("d")
        await remote.mkdir("d/folder")
        for name in ("a", "locked", "z", "folder/inner"):
            await remote.write_bytes(f"d/{name}", b"text")
    return tree


def lock(patch: pytest.MonkeyPatch, error: type[FileError]) -> None:
    """Makes walks to two of the names fail."""
    real = RamFile.step

    def step(file: RamFile, name: str) -> Any:
        if name in LOCKED:
            raise error
        return real(file, name)

    patch.setattr(RamFile, "step", step)


@every_dialect
@pytest.mark.parametrize("error", [PermissionDenied, InputOutput])
async def test_it_stays_in_listings(version: str, error: type[FileError], monkeypatch: pytest.MonkeyPatch) -> None:
    tree = await filled()
    lock(monkeypatch, error)
    async with client(tree, version) as remote:
        found = {entry.name: entry for entry in await remote.listdir("d")}
        assert sorted(found) == ["a", "folder", "locked", "z"]
        assert found["folder"].is_directory
        assert not found["locked"].is_directory
        assert found["a"].is_known
        assert found["locked"].is_known is (version != DIALECTS[-1])
        assert len({entry.qid.path for entry in found.values()}) == 4


@every_dialect
async def test_fids_are_given_back(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = await filled()
    lock(monkeypatch, PermissionDenied)
    async with client(tree, version) as remote:
        await remote.listdir("d")
        before = remote.connection.take_fid()
        for _ in range(50):
            await remote.listdir("d")
        assert remote.connection.take_fid() < before + 20


@pytest.mark.parametrize("error", [FileNotFound, FileRemoved])
async def test_what_has_gone_meanwhile_is_not_listed(error: type[FileError], monkeypatch: pytest.MonkeyPatch) -> None:
    tree = await filled()
    lock(monkeypatch, error)
    async with client(tree, DIALECTS[-1]) as remote:
        assert sorted(entry.name for entry in await remote.listdir("d")) == ["a", "z"]


@every_dialect
async def test_a_copy_names_it_and_is_not_complete(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tree = await filled()
    lock(monkeypatch, PermissionDenied)
    async with client(tree, version) as remote:
        with pytest.raises(Incomplete):
            await Get(remote).get("d", tmp_path / "d", recursive=True)
        for name in LOCKED:
            assert f"{tmp_path}/d/{name}: permission denied" in caplog.text
        assert (tmp_path / "d/a").read_bytes() == (tmp_path / "d/z").read_bytes() == b"text"
        with pytest.raises(Incomplete):
            await Remove(remote).remove("d")
        assert sorted(entry.name for entry in await remote.listdir("d")) == sorted(LOCKED)


@every_dialect
async def test_what_can_be_looked_at_later_is_copied_whole(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not known of an entry is not taken for its length or its time."""
    tree = await filled()
    with pytest.MonkeyPatch.context() as patch:
        lock(patch, PermissionDenied)
        async with client(tree, version) as remote:
            entries = await remote.listdir("d")

    real = Entries.next

    async def listed(listing: Entries) -> Any:
        await real(listing)
        return entries if not (tmp_path / "d/folder").exists() else []

    monkeypatch.setattr(Entries, "next", listed)
    async with client(tree, version) as remote:
        await Get(remote).get("d", tmp_path / "d", recursive=True)
    assert (tmp_path / "d/locked").read_bytes() == b"text"
    assert abs((tmp_path / "d/locked").stat().st_mtime - (tmp_path / "d/a").stat().st_mtime) < 60
    assert (tmp_path / "d/folder").is_dir()


@every_dialect
async def test_what_cannot_be_looked_at_here_is_named_and_the_rest_is_put(
    version: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A link to itself, in a dialect that follows links."""
    (tmp_path / "d/inner").mkdir(parents=True)
    for name in ("a", "z", "inner/file"):
        (tmp_path / "d" / name).write_bytes(b"text")
    for name in ("loop", "inner/loop"):
        (tmp_path / "d" / name).symlink_to("loop")
    async with client(RamTree(OWNER), version) as remote:
        if version == DIALECTS[0]:
            with pytest.raises(Incomplete):
                await Put(remote).put(tmp_path / "d", "d", recursive=True)
            for name in ("loop", "inner/loop"):
                assert f"{tmp_path}/d/{name}: Too many levels of symbolic links" in caplog.text
        else:
            await Put(remote).put(tmp_path / "d", "d", recursive=True)
        for name in ("a", "z", "inner/file"):
            assert await remote.read_bytes(f"d/{name}") == b"text"


SERVED = """
from ninep.protocol.errors import PermissionDenied
from ninep.ram.file import RamFile
from ninep.ram.tree import RamTree
real = RamFile.step
def step(file, name):
    if name in ("folder", "locked") and file.qid.path != 1:
        raise PermissionDenied
    return real(file, name)
RamFile.step = step
tree = RamTree("glenda")
"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "made.py").write_text(SERVED)
    port = free_port()
    where = f"tcp!127.0.0.1!{port}"
    program = Program(port, "ninep", "serve", str(tmp_path / "made.py"), where, log=tmp_path / "log")
    yield where
    program.stop()


@pytest.mark.process
@every_dialect
def test_the_commands_say_so(
    address: str, version: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def ninep(*words: str) -> tuple[int, str, str]:
        code = main(["-a", address, "-u", "glenda", "-D", version, *words])
        out, err = capfd.readouterr()
        said = err + "".join(f"{record.getMessage()}\n" for record in caplog.records if record.levelno > logging.INFO)
        caplog.clear()
        return code, out, said

    assert main(["-a", address, "-u", "glenda", "mkdir", "d", "d/folder", "d/other"]) == DONE
    linux = version == DIALECTS[-1]
    code, out, err = ninep("ls", "d")
    assert out.split() == ["folder", "other"]
    assert (code, "d/folder: permission denied" in err) == ((FAILED, True) if linux else (DONE, False))
    code, out, err = ninep("ls", "-l", "d")
    assert out.splitlines()[0].startswith("d-?????????" if linux else "d-rwx")
    assert out.splitlines()[0].endswith("folder")
    rows = {row["name"]: row for row in json.loads(ninep("ls", "--json", "d")[1])}
    assert rows["folder"]["mode"] & DMDIR
    assert (rows["folder"]["length"], rows["folder"]["mtime"] is None) == ((None, True) if linux else (0, False))
