"""``vac`` and ``unvac`` in this process, against a server that has the recorded archives: fixtures for their tests."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from fakes import recorded_archives
from programs.processes import Program, free_port, running
from venti.__main__ import main
from venti.blocks.blocktype import BlockType
from venti.stores.remote import connect
from venti.stores.write_behind import write_behind

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the blocks of the recorded archives in its store, written over the network."""
    root = tmp_path_factory.mktemp("archive")
    port = free_port()
    where = f"tcp!127.0.0.1!{port}"

    async def load() -> None:
        async with connect(where) as store, write_behind(store) as behind:
            for kind, data in recorded_archives.blocks():
                await behind.write(BlockType.from_wire(kind), data)

    with running(Program(port, "venti", "serve", where, "--store", str(root / "blocks"), log=root / "log")):
        trio.run(load)
        yield where


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    path = tmp_path / "here"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def venti(
    address: str,
    capfdbinary: pytest.CaptureFixture[bytes],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Runs a command against the server, which the variable ``venti`` names; exit code, output, errors and log."""
    monkeypatch.setenv("venti", address)
    monkeypatch.setenv("TZ", "UTC")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        out, err = capfdbinary.readouterr()
        logged = "".join(f"{record.getMessage()}\n" for record in caplog.records)
        caplog.clear()
        return code, os.fsdecode(out), os.fsdecode(err) + logged

    return run


def contents(root: Path) -> dict[str, Any]:
    """Everything below a directory: permissions, contents, targets, times of files."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        data: object = None
        if kind == stat.S_IFREG:
            data = (hashlib.sha256(path.read_bytes()).hexdigest(), status.st_size)
        elif kind == stat.S_IFLNK:
            data = os.readlink(path)
        permissions = 0 if kind == stat.S_IFLNK else stat.S_IMODE(status.st_mode) & 0o777
        found[str(path.relative_to(root))] = (kind, permissions, data)
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that the original archives hold, with more that is odd."""
    root = tmp_path_factory.mktemp("original")
    with tarfile.open(recorded_archives.RECORDED / "tree.tar.gz") as packed:
        packed.extractall(root, filter="tar")
    path = root / "tree"
    odd = path / "odd"
    odd.mkdir()
    (odd / "link").symlink_to("../../somewhere/else")
    (odd / "long").symlink_to("x" * 4000)
    (odd / "directory").symlink_to(".")
    os.mkfifo(odd / "pipe", 0o640)
    (Path(os.fsdecode(bytes(odd) + b"/not-\xff-text"))).write_bytes(b"bytes")
    (odd / "new\nline").write_bytes(b"")
    (odd / "secret").write_bytes(b"s")
    (odd / "secret").chmod(0o400)
    deep = odd
    for _ in range(60):
        deep /= "d"
    deep.mkdir(parents=True)
    (deep / "end").write_bytes(b"deep")
    with (odd / "holes").open("wb") as file:
        file.seek(3_000_000)
        file.write(b"middle")
        file.truncate(8_000_001)
    return path
