"""A grid for programs that know fsspec."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from contracts.in_thread import InThread
from ninep.client import local_user
from ninep.ramfs import RamTree
from ninep.server import serve
from ninep.wire.listen import listen, where

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'ninegrid[fsspec]'")


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    listeners = await listen("tcp!127.0.0.1!0", service="9fs")
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, RamTree(local_user()), listeners)
        yield where(listeners[0])
        nursery.cancel_scope.cancel()


@pytest.fixture
def address() -> Iterator[str]:
    server = InThread(served)
    yield server.thing
    server.close()


@pytest.fixture
def files(address: str) -> Iterator[Any]:
    from ninep.fsspec import NinepFileSystem

    with NinepFileSystem(address=address, skip_instance_cache=True) as files:
        yield files


def test_a_life_of_files(files: Any) -> None:
    files.makedirs("a/b/c")
    with files.open("a/b/file", "wb") as file:
        file.write(b"0123456789" * 100_000)
    assert files.info("a/b/file")["size"] == 1_000_000
    assert files.ls("a/b", detail=False) == ["a/b/c", "a/b/file"]
    assert files.cat_file("a/b/file", 10, 20) == b"0123456789"
    with files.open("a/b/file") as file:
        file.seek(500_005)
        assert file.read(10) == b"5678901234"
        assert file.readline()[:3] == b"567"
    before = files.ukey("a/b/file")
    with files.open("a/b/file", "ab") as file:
        file.write(b"x")
    assert files.ukey("a/b/file") != before
    files.cp("a/b/file", "copy")
    files.mv("copy", "moved")
    assert files.find("") == ["a/b/file", "moved"]
    assert files.glob("a/**/file") == ["a/b/file"]
    assert not files.exists("copy")
    files.rm("a", recursive=True)
    files.rm("moved")
    assert files.ls("") == []


def test_errors_are_those_of_files(files: Any) -> None:
    for attempt, error in (
        (lambda: files.info("none"), FileNotFoundError),
        (lambda: files.open("none").read(), FileNotFoundError),
        (lambda: files.mkdir("a") or files.mkdir("a"), FileExistsError),
        (lambda: files.open("a", "wb"), OSError),
    ):
        with pytest.raises(error):
            attempt()


def test_urls(address: str) -> None:
    from ninep.fsspec import NinepFileSystem

    fsspec.register_implementation("ninep", NinepFileSystem, clobber=True)
    _, host, port = address.split("!")
    with fsspec.open(f"ninep://{host}:{port}/table.csv", "wt") as file:
        file.write("name,size\none,1\ntwo,2\n")
    with fsspec.open(f"ninep://{host}:{port}/table.csv") as file:
        assert file.read().startswith(b"name")
    files, path = fsspec.url_to_fs(f"ninep://{host}:{port}/table.csv")
    assert path == "table.csv"
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(f"ninep://{host}:{port}/table.csv")
    assert table["size"].sum() == 3
    files.close()
