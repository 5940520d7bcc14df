"""System calls of several users through a mount do what they do on a local file system, each case of a table.

With ``PJDFSTEST`` naming a built tree of pjd's suite, that is run as well: all of it, on an export and on a fossil.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.posix_cases import cases, faults
from programs.processes import Program, environment, free_port

pytest.importorskip("pyfuse3", reason="pyfuse3 is not installed: pip install 'ninegrid[mount]'")

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users"),
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="this machine has no /dev/fuse"),
    pytest.mark.skipif(not shutil.which("fusermount3"), reason="there is no fusermount3: apt install fuse3"),
]
PATIENCE = 60.0
SUITE = os.environ.get("PJDFSTEST", "")
SERVERS = {
    "export": ("ninep", "export", "--map-users", "root=root", "DIRECTORY", "ADDRESS"),
    "fossil": ("fossil", "serve", "--data", "DIRECTORY", "--listen", "ADDRESS", "--no-permissions"),
}
CASES = dict(cases())
UNLIKE = {"export": (), "fossil": tuple(f"rename/24.t: not ok {number}" for number in (4, 5, 8, 9))}
"""Tests of the suite that fail, and are said to in docs/reference/posix.md: links of directories are not counted."""


@contextlib.contextmanager
def mounted(folder: Path, name: str) -> Iterator[Path]:
    """Where a server's tree is mounted, for all users."""
    port, point, served = free_port(), folder / "point", folder / "served"
    address = f"tcp!127.0.0.1!{port}"
    for directory in (point, served):
        directory.mkdir()
    filled = {"DIRECTORY": str(served), "ADDRESS": address}
    server = Program(port, *(filled.get(word, word) for word in SERVERS[name]), log=folder / "server.log")
    log = folder / "mount.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "ninep", "-u", "root", "mount", "--allow-other", address, str(point)],
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
        place = point / "place"
        place.mkdir()
        yield place
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(PATIENCE)
        server.kill()
        subprocess.run(["fusermount3", "-uz", str(point)], check=False, capture_output=True)


@pytest.fixture(scope="module", params=["local", *SERVERS])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A directory on each file system: a local one shows that the table is right."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "local":
        yield request.param, folder
        return
    with mounted(folder, request.param) as point:
        yield request.param, point


@pytest.mark.parametrize("case", CASES)
def test_system_calls(place: tuple[str, Path], case: str) -> None:
    _, directory = place
    assert faults(str(directory), CASES[case]) == []


@pytest.mark.skipif(not SUITE, reason="PJDFSTEST names no built tree of pjd's file system test suite")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("server", SERVERS)
def test_pjdfstest(tmp_path: Path, server: str) -> None:
    with mounted(tmp_path, server) as directory:
        bad = []
        for script in sorted(Path(SUITE, "tests").glob("*/*.t")):
            done = subprocess.run(["bash", str(script)], cwd=directory, capture_output=True, text=True, timeout=600)
            name = str(script.relative_to(Path(SUITE, "tests")))
            planned = re.search(r"^1\.\.(\d+)", done.stdout, re.MULTILINE)
            lines = re.findall(r"^(?:not )?ok .*", done.stdout, re.MULTILINE)
            assert planned is None or int(planned[1]) == len(lines), name
            bad += [f"{name}: {line}" for line in lines if line.startswith("not ok") and "# TODO" not in line]
        assert [line for line in bad if not line.startswith(UNLIKE[server])] == []
