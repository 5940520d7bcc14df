"""fsspec's own tests of what a file system has to do, over 9P: all of them, on each of our servers and dialects."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from programs.in_thread import InThread
from programs.served_fsspec import SERVERS

abstract = pytest.importorskip(
    "fsspec.tests.abstract", reason="fsspec is not installed: pip install 'ninegrid[fsspec]'"
)
NinepFileSystem = pytest.importorskip("ninep.fsspec.filesystem").NinepFileSystem


class Fixtures(abstract.AbstractFixtures):
    """What fsspec's tests ask of a file system. ``SERVER`` and ``VERSION`` say which one."""

    SERVER = "ramfs"
    VERSION = m.VERSION

    @pytest.fixture(scope="class")
    @classmethod
    def fs(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
        server = InThread(partial(SERVERS[cls.SERVER], tmp_path_factory.mktemp("server")))
        with NinepFileSystem(server.thing, version=cls.VERSION, auto_mkdir=True, skip_instance_cache=True) as files:
            files.mkdir("tests")
            yield files
        server.close()

    @pytest.fixture
    def fs_path(self) -> str:
        return "tests"

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return posixpath.join

    @pytest.fixture
    def local_path(self, tmp_path: Path) -> str:
        return f"{tmp_path}"


class OnRamfs(Fixtures):
    pass


class OnRamfsLinux(Fixtures):
    VERSION = lm.VERSION


class OnExport(Fixtures):
    SERVER = "export"


class OnExportLinux(Fixtures):
    SERVER, VERSION = "export", lm.VERSION


class OnFossil(Fixtures):
    SERVER = "fossil"


class OnFossilLinux(Fixtures):
    SERVER, VERSION = "fossil", lm.VERSION


KINDS: list[Any] = [
    abstract.AbstractCopyTests,
    abstract.AbstractGetTests,
    abstract.AbstractPutTests,
    abstract.AbstractOpenTests,
    abstract.AbstractPipeTests,
]
for fixtures in (OnRamfs, OnRamfsLinux, OnExport, OnExportLinux, OnFossil, OnFossilLinux):
    for kind in KINDS:
        name = f"Test{kind.__name__.removeprefix('Abstract').removesuffix('Tests')}{fixtures.__name__}"
        globals()[name] = type(name, (kind, fixtures), {"__module__": __name__})
del fixtures, kind
