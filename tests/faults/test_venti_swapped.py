"""Real processes: behind the address of venti there is suddenly another store, or an older state of the right one.

With ours and with the original. Afterwards every archive that is listed can be read from the venti of now, by another
program, and ``status`` and exit codes have told of it meanwhile.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from programs.plan9port import OriginalVenti, needs
from programs.processes import Program, environment, free_port, run

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]


class Archive(Protocol):
    address: str
    folder: Path

    def start(self) -> None: ...
    def kill(self) -> None: ...


class Ours:
    def __init__(self, path: Path) -> None:
        self._port = free_port()
        self.address = f"tcp!127.0.0.1!{self._port}"
        self.folder = path / "store"
        self._log = path / "venti.log"
        self.start()

    def start(self) -> None:
        self._program = Program(self._port, "venti", "serve", self.address, "--store", str(self.folder), log=self._log)

    def kill(self) -> None:
        self._program.kill()


class Theirs:
    def __init__(self, path: Path) -> None:
        self.folder = path / "original"
        self._venti = OriginalVenti(self.folder)
        self.address = self._venti.address
        self._venti.stop()
        shutil.copytree(self.folder, path / "empty")
        self.start()

    def start(self) -> None:
        if not self.folder.exists():
            shutil.copytree(self.folder.with_name("empty"), self.folder)
        self._venti.start()

    def kill(self) -> None:
        self._venti.stop()


@pytest.fixture(params=["ours", pytest.param("theirs", marks=needs("venti/venti"))])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Archive]:
    venti: Archive = Ours(tmp_path) if request.param == "ours" else Theirs(tmp_path)
    yield venti
    venti.kill()


class Served:
    """A fossil with its commands."""

    def __init__(self, path: Path, *words: str) -> None:
        self._words = words
        self._path = path
        self._port = free_port()
        self.address = f"tcp!127.0.0.1!{self._port}"
        self.data = ("--data", str(path / "data"))
        self.files: dict[str, bytes] = {}

    def start(self, *words: str) -> None:
        arguments = ("fossil", "serve", *self.data, "--listen", self.address, *self._words, *words)
        self.program = Program(self._port, *arguments, log=self._path / "fossil.log")

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fossil", *words, *self.data],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def put(self, name: str, *, count: int = 40) -> None:
        source, folder = random.Random(name), self._path / name
        folder.mkdir()
        for n in range(count):
            self.files[f"{name}/{n}"] = source.randbytes(source.randrange(1, 60_000))
            (folder / f"{n}").write_bytes(self.files[f"{name}/{n}"])
        run("ninep", "-a", self.address, "put", "-r", str(folder), name)

    def archived(self) -> str:
        """Takes an archive; its score, once venti has all of it."""
        assert self.ask("snap", "-a").returncode == 0
        return self.last()

    def last(self) -> str:
        deadline = time.monotonic() + 100
        while True:
            done = self.ask("last", "--wait")
            if not done.returncode:
                return done.stdout.strip()
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.2)

    def scores(self) -> list[str]:
        lines = self.ask("snapshots").stdout.splitlines()
        assert not any("not whole" in line for line in lines)
        return [line.split()[-1] for line in lines if line.startswith("/archive/")]


def check_all(fossil: Served, address: str) -> None:
    """Every archive that is listed is whole at this address, for whoever reads it."""
    scores = fossil.scores()
    assert scores
    for score in scores:
        report = json.loads(run("venti", "check", "--json", "-h", address, score))
        assert report["faults"] == []
        names = run("venti", "unvac", "-t", "-h", address, score).splitlines()
        assert "active/" in names
    assert {f"active/{name}" for name in fossil.files} <= set(names)
    assert fossil.ask("status").returncode == 0
    assert fossil.ask("check", "--archives").returncode == 0


@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "before it starts"])
@pytest.mark.parametrize("state", ["empty", "older"])
def test_another_store(tmp_path: Path, archive: Archive, state: str, running: bool) -> None:
    fossil = Served(tmp_path, "--venti", archive.address)
    fossil.start()
    try:
        fossil.put("one")
        fossil.archived()
        archive.kill()
        shutil.copytree(archive.folder, tmp_path / "older")
        archive.start()
        fossil.put("two")
        score = fossil.archived()
        assert fossil.ask("status").returncode == 0
        if not running:
            fossil.program.stop()
        archive.kill()
        if running:
            done = fossil.ask("status")
            assert (done.returncode, "is away" in done.stdout) == (1, True)
            assert fossil.ask("check", "--archives").returncode == 3
        shutil.rmtree(archive.folder)
        if state == "older":
            shutil.copytree(tmp_path / "older", archive.folder)
        archive.start()
        if not running:
            fossil.start()
        newest = fossil.last()
        assert f"venti {archive.address} does not have everything" in (tmp_path / "fossil.log").read_text()
        check_all(fossil, archive.address)
        run("ninep", "-a", fossil.address, "rm", "two/0")
        del fossil.files["two/0"]
        assert fossil.archived() not in (score, newest)
        check_all(fossil, archive.address)
    finally:
        fossil.program.kill()


def test_from_the_embedded_archive_to_another(tmp_path: Path, archive: Archive) -> None:
    """And what was evicted meanwhile goes along."""
    fossil = Served(tmp_path)
    fossil.start("--local-size", "200K")
    try:
        for name in ("one", "two"):
            fossil.put(name)
            fossil.archived()
        time.sleep(4)
        before = fossil.scores()
        fossil.program.stop()
        fossil.start("--venti", archive.address)
        fossil.put("three")
        fossil.archived()
        assert fossil.scores()[: len(before)] == before
        check_all(fossil, archive.address)
        shutil.rmtree(tmp_path / "data" / "venti")
        for name, data in fossil.files.items():
            if name.endswith("7"):
                run("ninep", "-a", fossil.address, "get", name, str(tmp_path / "got"))
                assert (tmp_path / "got").read_bytes() == data
    finally:
        fossil.program.kill()


def test_what_only_an_archive_had_that_is_gone(tmp_path: Path, archive: Archive) -> None:
    """Nothing is claimed, and nothing new is archived, until it is back."""
    fossil = Served(tmp_path)
    fossil.start("--local-size", "100K")
    try:
        fossil.put("one")
        fossil.archived()
        deadline = time.monotonic() + 60
        while (tmp_path / "data" / "data").stat().st_blocks * 512 > 400_000:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        fossil.program.stop()
        (tmp_path / "data" / "venti").rename(tmp_path / "elsewhere")
        fossil.start("--venti", archive.address)
        for words in (("last", "--wait"), ("last",)):
            done = fossil.ask(*words)
            assert (done.returncode, done.stdout) == (1, "")
            assert "lacks" in done.stderr or "does not have everything" in done.stderr
        done = fossil.ask("status")
        assert done.returncode == 1
        assert "in no archive that answers, and not here" in done.stdout
        (tmp_path / "elsewhere").rename(tmp_path / "data" / "venti")
        fossil.last()
        check_all(fossil, archive.address)
    finally:
        fossil.program.kill()


def test_two_fossils_on_one_venti(tmp_path: Path, archive: Archive) -> None:
    both = []
    try:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            fossil = Served(tmp_path / name, "--venti", archive.address)
            fossil.start()
            both.append(fossil)
            fossil.put("same")
            fossil.archived()
        archive.kill()
        shutil.rmtree(archive.folder)
        archive.start()
        for fossil in both:
            fossil.last()
            check_all(fossil, archive.address)
    finally:
        for fossil in both:
            fossil.program.kill()


def test_killed_in_the_middle_of_archives(tmp_path: Path, archive: Archive) -> None:
    """What is called the newest archive can be read, or it is said that venti does not keep what it acknowledges."""
    fossil = Served(tmp_path, "--venti", archive.address)
    fossil.start()
    source = random.Random(3)
    try:
        for round in range(4):
            fossil.put(f"round{round}", count=60)
            fossil.ask("snap", "-a")
            time.sleep(source.uniform(0.05, 0.6))
            archive.kill()
            archive.start()
        deadline = time.monotonic() + 60
        while True:
            done = fossil.ask("last", "--wait")
            if not done.returncode:
                check_all(fossil, archive.address)
                return
            if "cannot give it back" in done.stderr:
                assert fossil.ask("status").returncode == 1
                return
            assert time.monotonic() < deadline, done.stderr
    finally:
        fossil.program.kill()
