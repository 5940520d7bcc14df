"""diod, the 9P2000.L server that others use, with our client; and diod's own client programs with our servers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.programs import Program, free_port, run
from ninep import messages as m
from ninep import messages_linux as lm
from ninep.attributes import SECOND, SetAttributes
from ninep.client import connect
from ninep.errors import FileExists, FileNotFound, NinepError, NotDirectory

pytestmark = pytest.mark.process

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
CONTENT = bytes(range(256)) * 3000


def tool(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"there is no {name}: install diod")
    return found


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"nobody listens on {port}")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "dir").mkdir(parents=True)
    (tree / "file").write_bytes(CONTENT)
    (tree / "link").symlink_to("dir/nowhere")
    return tree


class TestDiodServes:
    @pytest.fixture
    def address(self, tree: Path, tmp_path: Path) -> Iterator[str]:
        program, port = tool("diod"), free_port()
        log = (tmp_path / "log").open("wb")
        where = ("-e", str(tree), "-l", f"127.0.0.1:{port}", "-c", "/dev/null")
        account = ("-n", "-N", "-S", "-U", str(os.getuid())) if os.getuid() else ("-n", "-N")
        process = subprocess.Popen((program, "-f", *account, "-L", "stderr", *where), stderr=log, stdout=log)
        try:
            wait_for(port)
            yield f"tcp!127.0.0.1!{port}"
        finally:
            process.terminate()
            process.wait(30)
            log.close()

    async def test_everything_that_a_client_does(self, address: str, tree: Path) -> None:
        async with connect(address, aname=str(tree), version=lm.VERSION) as remote:
            assert remote.connection.version == lm.VERSION
            entries = {entry.name: entry for entry in await remote.listdir()}
            assert set(entries) == {"dir", "file", "link"}
            assert entries["dir"].is_directory
            assert entries["link"].extension == "dir/nowhere"
            assert await remote.read_bytes("file") == CONTENT
            await remote.write_bytes("new", CONTENT, 0o640)
            assert (tree / "new").read_bytes() == CONTENT
            with pytest.raises(FileExists):
                await remote.mkdir("dir")
            with pytest.raises(FileNotFound):
                await remote.read_bytes("missing")
            with pytest.raises((NotDirectory, FileNotFound)):
                await remote.read_bytes("file/x")
            await remote.symlink("other", "file")
            assert os.readlink(tree / "other") == "file"
            await remote.rename("new", "dir/moved")
            await remote.rename("dir/moved", "dir/again")
            assert (tree / "dir/again").read_bytes() == CONTENT
            async with await remote.walk("file") as file:
                await file.setattr(SetAttributes(mode=0o600, size=7, mtime=5 * SECOND + 3))
                found = await file.getattr()
                assert (found.mode, found.size, found.mtime) == (0o100600, 7, 5 * SECOND + 3)
                await remote.root.link("hard", file)
            assert (tree / "hard").stat().st_nlink == 2
            assert (await remote.root.statfs()).blocks > 0
            async with remote.open("file", m.ORDWR) as file:
                assert await file.lock(lm.LOCK_WRITE, 0, 0, process=1, client="here")
                await file.fsync()
                assert await file.lock(lm.LOCK_UNLOCK, 0, 0, process=1, client="here")
            await remote.root.unlinkat("other")
            await remote.remove("dir/again")
            await remote.remove("dir")
            assert sorted(os.listdir(tree)) == ["file", "hard", "link"]

    async def test_another_dialect_is_a_clear_error(self, address: str, tree: Path) -> None:
        with pytest.raises(NinepError, match=r"does not speak 9P2000: .*perhaps it does speak 9P2000\.L"):
            async with connect(address, aname=str(tree)):
                pass

    async def test_our_programs(self, address: str, tree: Path) -> None:
        linux = ("ninep", "-a", address, "-A", str(tree), "-D", "9P2000.L")
        assert run(*linux, "ls") == "dir\nfile\nlink\n"
        run(*linux, "mv", "file", "dir/file")
        assert (tree / "dir/file").read_bytes() == CONTENT


SERVERS = [("ninep", "export", "DIRECTORY", "ADDRESS"), ("ninep", "ramfs", "ADDRESS")]


class TestDiodsPrograms:
    @pytest.fixture(params=SERVERS, ids=[server[1] for server in SERVERS])
    def port(self, request: pytest.FixtureRequest, tree: Path, tmp_path: Path) -> Iterator[int]:
        tool("diodls")
        port = free_port()
        address = f"tcp!127.0.0.1!{port}"
        filled = {"DIRECTORY": str(tree), "ADDRESS": address}
        program = Program(port, *(filled.get(word, word) for word in request.param), log=tmp_path / "log")
        try:
            if "ramfs" in request.param:
                run("ninep", "-a", address, "mkdir", "dir")
                run("ninep", "-a", address, "put", f"{tree}/file", "file")
                run("ninep", "-a", address, "-D", "9P2000.L", "put", f"{tree}/file", "link")
            yield port
        finally:
            program.kill()

    def said(self, name: str, port: int, *arguments: str) -> tuple[int, bytes]:
        done = subprocess.run(
            (tool(name), "-s", f"127.0.0.1:{port}", "-a", "/", *arguments), capture_output=True, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def test_listing(self, port: int) -> None:
        code, output = self.said("diodls", port)
        assert code == 0
        assert sorted(name for name in output.decode().split() if not name.startswith(".")) == ["dir", "file", "link"]
        code, output = self.said("diodls", port, "-l")
        assert code == 0
        lines = {line.split()[-1]: line.split() for line in output.decode().splitlines() if len(line.split()) > 5}
        assert lines["dir"][0].startswith("drwx")
        assert lines["file"][0].startswith("-rw-")
        assert str(len(CONTENT)) in lines["file"]

    def test_reading(self, port: int) -> None:
        assert self.said("diodcat", port, "file") == (0, CONTENT)
        code, output = self.said("diodcat", port, "missing")
        assert code != 0
        assert b"No such file or directory" in output
