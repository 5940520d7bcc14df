"""The whole chain on real data: the standard library through cfs into fossil, into venti, and back by every way."""

from __future__ import annotations

import hashlib
import sysconfig
import time
from pathlib import Path

import pytest

from programs.processes import Program, free_port, run, running

LIBRARY = Path(sysconfig.get_path("stdlib"))


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every plain file below ``root``."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the standard library's own tree, so that it cannot change under the test."""
    copy = tmp_path_factory.mktemp("original") / "library"
    skipped = {"site-packages", "__pycache__"}
    for path in LIBRARY.rglob("*"):
        parts = path.relative_to(LIBRARY).parts
        if path.is_file() and not path.is_symlink() and not skipped & set(parts):
            target = copy.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return copy


class Grid:
    """venti, fossil on it, cfs before it: three processes on three ports."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venti_port, self.fossil_port, self.cfs_port = free_port(), free_port(), free_port()

    def start(self) -> tuple[Program, Program, Program]:
        root = self.root
        venti_address = f"tcp!127.0.0.1!{self.venti_port}"
        fossil_address = f"tcp!127.0.0.1!{self.fossil_port}"
        cfs_address = f"tcp!127.0.0.1!{self.cfs_port}"
        venti = Program(
            self.venti_port, "venti", "serve", venti_address, "--store", f"{root}/venti", log=root / "venti.log"
        )
        fossil = Program(
            self.fossil_port,
            *("fossil", "serve", "--data", f"{root}/fossil", "--listen", fossil_address, "--venti", venti_address),
            log=root / "fossil.log",
        )
        cfs = Program(
            self.cfs_port,
            *("cfs", "serve", "-a", fossil_address, "--listen", cfs_address, "--cache", f"{root}/cache"),
            log=root / "cfs.log",
        )
        return cfs, fossil, venti

    def ninep(self, *arguments: str, aname: str = "main/active") -> str:
        return run("ninep", "-a", f"tcp!127.0.0.1!{self.cfs_port}", "-A", aname, *arguments)


@pytest.mark.process
@pytest.mark.timeout(900)
def test_standard_library_survives_the_whole_chain(library: Path, tmp_path: Path) -> None:
    """Put through cfs, archived, everything stopped and started: all ways back give the same SHA-256."""
    expected = digests(library)
    assert len(expected) > 1000
    grid = Grid(tmp_path)
    data = ("--data", f"{tmp_path}/fossil")

    with running(*grid.start()):
        grid.ninep("put", "-r", str(library), "library")
        run("fossil", "snap", "-a", *data)
        deadline = time.monotonic() + 300
        score = ""
        while not score.startswith("vac:"):
            assert time.monotonic() < deadline, (tmp_path / "fossil.log").read_text()[-2000:]
            time.sleep(0.5)
            try:
                score = run("fossil", "last", *data).strip()
            except AssertionError:
                continue

    with running(*grid.start()):
        assert run("fossil", "last", *data).strip() == score
        grid.ninep("get", "-r", "library", f"{tmp_path}/from-active")
        year = grid.ninep("ls", "archive", aname="main").split()[0].split("/")[-1]
        day = grid.ninep("ls", f"archive/{year}", aname="main").split()[0].split("/")[-1]
        grid.ninep("get", "-r", f"archive/{year}/{day}/library", f"{tmp_path}/from-archive", aname="main")
        unpacked = tmp_path / "unpacked"
        unpacked.mkdir()
        run("venti", "unvac", "-h", f"tcp!127.0.0.1!{grid.venti_port}", score, cwd=unpacked)

    assert digests(tmp_path / "from-active") == expected
    assert digests(tmp_path / "from-archive") == expected
    found = [path for path in unpacked.rglob("library") if (path / "os.py").exists()]
    assert found, sorted(path.name for path in unpacked.iterdir())
    for tree in found:
        assert digests(tree) == expected
