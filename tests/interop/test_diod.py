"""diod, the other server of 9P2000.L: its server under our client and mount, its client tools on our servers."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contracts.exerciser import exercise_file, exercise_tree, tree_of
from ninep.blocking import connect
from ninep.client.connection import DIALECTS
from ninep.protocol.errors import FileExists, FileNotFound, IsDirectory, NotDirectory
from programs.processes import Program, environment, free_port

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not shutil.which("diod"), reason="there is no diod: apt install diod"),
]


@contextmanager
def diod(folder: Path) -> Iterator[str]:
    port = free_port()
    words = ["-f", "-n", "-N", "-S", "-U", getpass.getuser(), "-l", f"127.0.0.1:{port}", "-e", str(folder)]
    with (folder.parent / "diod.log").open("wb") as log:
        process = subprocess.Popen(
            ["diod", *words], cwd=folder.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
        yield f"tcp!127.0.0.1!{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "served"
    path.mkdir()
    return path


def test_our_client_on_its_server(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(100):
        path = source / f"d{number % 7}" / f"é{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 1000))
    with diod(folder) as address, connect(address, aname=str(folder), version=DIALECTS[-1]) as tree:
        tree.put(source, "tree")
        assert tree_of(folder / "tree") == tree_of(source)
        tree.get("tree", tmp_path / "copy")
        assert tree_of(tmp_path / "copy") == tree_of(source)
        tree.symlink("link", "tree/d1")
        assert tree.readlink("link") == os.readlink(folder / "link") == "tree/d1"
        tree.rename("tree/d0", "/moved")
        assert (folder / "moved").is_dir()
        assert {entry.name for entry in tree.listdir()} == {"tree", "link", "moved"}
        with tree.open("file", "w+b") as file:
            file.write(b"x" * 500_000)
            file.seek(499_998)
            assert file.read() == b"xx"
        for attempt, refusal in (
            (lambda: tree.stat("none"), FileNotFound),
            (lambda: tree.mkdir("tree"), FileExists),
            (lambda: tree.write_bytes("tree", b""), IsDirectory),
            (lambda: tree.stat("file/below"), (NotDirectory, FileNotFound)),
        ):
            with pytest.raises(refusal):
                attempt()
        tree.rmtree("tree")
        assert not (folder / "tree").exists()


def test_its_server_under_our_mount(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyfuse3")
    if not os.path.exists("/dev/fuse") or not shutil.which("fusermount3"):
        pytest.skip("no FUSE here")
    point, reference = tmp_path / "point", tmp_path / "reference"
    point.mkdir()
    reference.mkdir()
    with diod(folder) as address:
        process = subprocess.Popen(
            [sys.executable, "-m", "ninep", "-A", str(folder), "mount", address, str(point)], env=environment()
        )
        try:
            deadline = time.monotonic() + 30
            while not os.path.ismount(point):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.skip("mounting does not work here")
                time.sleep(0.05)
            exercise_file(point / "file", 3, 200)
            (point / "tree").mkdir()
            exercise_tree(point / "tree", reference, 3, 200, across=True, links=True)
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.skipif(not shutil.which("diodcat"), reason="there are no diodcat and diodls")
def test_its_client_tools_on_our_servers(folder: Path, tmp_path: Path) -> None:
    (folder / "file").write_bytes(b"the fog comes on little cat feet\n" * 5000)
    (folder / "dir").mkdir()
    port = free_port()
    server = Program(
        port, "ninep", "export", str(folder), f"tcp!127.0.0.1!{port}", "--map-users", f"*={getpass.getuser()}",
        log=tmp_path / "log",
    )  # fmt: skip
    try:
        server_flag = ("-s", f"127.0.0.1:{port}", "-a", "/", "-t", "30")
        printed = subprocess.run(["diodcat", *server_flag, "file"], check=True, capture_output=True, timeout=60).stdout
        assert printed == (folder / "file").read_bytes()
        listed = subprocess.run(["diodls", *server_flag, "-l"], check=True, capture_output=True, timeout=60).stdout
        assert {line.split()[-1] for line in listed.decode().splitlines()} >= {"file", "dir"}
    finally:
        server.stop()
