"""A mount of a whole fossil: each moment shows what was then, and nothing done to the past touches the present.

Also where the server gives a file and all that snapshots have of it one qid path, as the original fossil does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from programs.processes import Program, environment, free_port, run

pytest.importorskip("pyfuse3", reason="pyfuse3 is not installed: pip install 'ninegrid[mount]'")

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="this machine has no /dev/fuse"),
    pytest.mark.skipif(not shutil.which("fusermount3"), reason="there is no fusermount3: apt install fuse3"),
]
PATIENCE = 30.0


@contextlib.contextmanager
def mounted(address: str, point: Path, dialect: str) -> Iterator[Path]:
    point.mkdir(exist_ok=True)
    log = point.with_name("mount.log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "ninep", "-A", "main", "-D", dialect, "mount", address, str(point)],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment(),
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while f" {point} fuse" not in Path("/proc/mounts").read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield point
    finally:
        process.terminate()
        process.wait(PATIENCE)
        subprocess.run(["fusermount3", "-uz", str(point)], check=False, capture_output=True)


class Grown(NamedTuple):
    """A mount of a file system in which everything was changed after each snapshot."""

    address: str
    point: Path
    snapshot: Path
    days: list[Path]

    def direct(self, path: str) -> str:
        return run("ninep", "-A", "main", "-a", self.address, "cat", path)


SERVERS = [("fossil", "9P2000.L"), ("fakes.shared_qids", "9P2000.L"), ("fakes.shared_qids", "9P2000")]


@pytest.fixture(scope="module", params=SERVERS, ids="-".join)
def grown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grown]:
    folder = tmp_path_factory.mktemp("past")
    module, dialect = request.param
    port = free_port()
    address = f"tcp!127.0.0.1!{port}"
    data = ("--data", str(folder / "data"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        server = Program(port, module, "serve", *data, "--listen", address, log=folder / "log")
    try:
        (folder / "tree/dir/deep").mkdir(parents=True)
        paths = []
        for number, command in enumerate((("snap",), ("snap", "-a"), ("snap", "-a"), ())):
            for name in ("file", "dir/inner", "dir/deep/deepest"):
                (folder / "tree" / name).write_text(f"{name} {number}\n" * (number + 1))
            run("ninep", "-a", address, "put", "-r", str(folder / "tree"), "tree")
            if command:
                paths.append(run("fossil", *command, *data).strip().lstrip("/"))
        with mounted(address, folder / "point", dialect) as point:
            yield Grown(address, point, point / paths[0], [point / path for path in paths[1:]])
    finally:
        server.kill()


def text(number: int, name: str = "file") -> str:
    return f"{name} {number}\n" * (number + 1)


def test_each_moment_shows_what_was_then(grown: Grown) -> None:
    trees = {grown.point / "active": 3, grown.snapshot: 0, grown.days[0]: 1, grown.days[1]: 2}
    for _ in range(2):
        for tree, number in trees.items():
            for name in ("file", "dir/inner", "dir/deep/deepest"):
                assert (tree / "tree" / name).read_text() == text(number, name)
                assert (tree / "tree" / name).stat().st_size == len(text(number, name))
        trees = dict(reversed(trees.items()))


def test_no_two_files_have_one_inode(grown: Grown) -> None:
    seen: dict[int, str] = {}
    for folder, _, _ in os.walk(grown.point):
        listed = {entry.name: entry.inode() for entry in os.scandir(folder)}
        for name, inode in listed.items():
            place = f"{folder}/{name}"
            assert os.lstat(place).st_ino == inode, place
            assert seen.setdefault(inode, place) == place
    assert len(seen) > 30


def test_programs_that_go_by_inodes(grown: Grown, tmp_path: Path) -> None:
    """diff takes two names of one inode for the same, tar for links, and cp refuses to copy one to the other."""
    for one, other in ((grown.days[0], grown.days[1]), (grown.snapshot, grown.point / "active")):
        done = subprocess.run(["diff", "-r", one / "tree", other / "tree"], capture_output=True)
        assert done.returncode == 1
        assert done.stdout.count(b"diff -r") == 3
    subprocess.run(["cp", "-a", *grown.days, tmp_path], check=True)
    assert [(tmp_path / day.name / "tree/file").read_text() for day in grown.days] == [text(1), text(2)]
    assert (
        subprocess.run(["find", grown.point, "-name", "file", "-size", "+0"], capture_output=True).stdout.count(b"\n")
        == 4
    )


def test_nothing_done_to_the_past_touches_the_present(grown: Grown) -> None:
    live = grown.point / "active/tree/file"
    assert live.read_text() == text(3)
    for past in (grown.snapshot, *grown.days):
        file, new = past / "tree/file", past / "tree/new"
        file.read_text()
        for change, *words in (
            (os.open, file, os.O_WRONLY | os.O_APPEND),
            (os.open, file, os.O_RDWR),
            (os.unlink, file),
            (os.truncate, file, 1),
            (os.rename, file, new),
            (os.mkdir, new),
        ):
            with pytest.raises(OSError, match="Read-only file system"):
                change(*words)
        for source, target in (
            (past / "tree/dir/deep/deepest", grown.point / "active/tree/dir/deep/deepest"),
            (grown.point / "active/tree/dir/inner", past / "tree/dir/moved"),
        ):
            with contextlib.suppress(OSError):
                os.rename(source, target)
    assert live.read_text() == text(3)
    assert sorted(os.listdir(live.parent / "dir")) == ["deep", "inner"]
    assert grown.direct("active/tree/file") == text(3)
    assert grown.direct("active/tree/dir/inner") == text(3, "dir/inner")


def test_changes_of_the_present_leave_the_past(grown: Grown) -> None:
    name = "dir/inner"
    with (grown.snapshot / "tree" / name).open() as held, (grown.point / "active/tree" / name).open("r+") as out:
        out.write("changed")
        out.flush()
        os.fsync(out.fileno())
        assert held.read() == text(0, name)
        assert (grown.days[0] / "tree" / name).read_text() == text(1, name)
        out.seek(0)
        out.write(text(3, name))
