"""SIGKILL in the middle of commands of the console: each is done, or was not begun, or can be given again.

``KILLS`` in the environment says how many rounds there are.
"""

from __future__ import annotations

import os
import random
import re
import socket
import time
from pathlib import Path

import pytest

from programs.processes import PATIENCE, Program, free_port, run

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

FILES = 60
ROUNDS = int(os.environ.get("KILLS", "1"))


class Killed:
    """A file server that is killed while it does what it was told."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.source = random.Random(seed)
        self.port = free_port()
        self.address = f"tcp!127.0.0.1!{self.port}"
        self.start()

    def start(self) -> None:
        words = ("fossil", "serve", "--data", f"{self.path}/data", "--listen", self.address)
        self.server = Program(self.port, *words, log=self.path / "log")

    def begin(self, command: str) -> socket.socket:
        deadline = time.monotonic() + PATIENCE
        while True:
            console = socket.socket(socket.AF_UNIX)
            try:
                console.connect(f"{self.path}/data/console")
            except OSError:
                # The port is open before the file system is.
                console.close()
                assert time.monotonic() < deadline
                time.sleep(0.02)
                continue
            console.sendall(f"{command}\n".encode())
            return console

    def say(self, command: str) -> str:
        """What it prints."""
        with self.begin(command) as console:
            answer = console.makefile("rb")
            verdict, size, *_ = answer.readline().split()
            text = answer.read(int(size)).decode()
            assert verdict == b"ok", (command, text)
            return text

    def kill_during(self, command: str, within: float) -> bool:
        """Whether the answer had come."""
        with self.begin(command) as console:
            time.sleep(self.source.uniform(0, within))
            self.server.kill()
            try:
                answered = bool(console.recv(1))
            except ConnectionResetError:
                answered = False
        self.start()
        return answered

    def put(self, name: str, letter: str, size: int = 3000) -> None:
        folder = self.path / name
        folder.mkdir(exist_ok=True)
        for n in range(FILES):
            (folder / f"{n}").write_bytes(letter.encode() * (size + n))
        run("ninep", "-a", self.address, "put", "-r", str(folder), name)

    def got(self, place: str) -> dict[str, bytes]:
        out = self.path / f"out{self.source.getrandbits(60)}"
        run("ninep", "-a", self.address, "-A", "main", "get", "-r", place, str(out))
        return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture
def killed(tmp_path: Path) -> Killed:
    return Killed(tmp_path, 3)


def contents(letter: str, size: int = 3000) -> dict[str, bytes]:
    return {f"{n}": letter.encode() * (size + n) for n in range(FILES)}


def test_commands(killed: Killed) -> None:
    try:
        killed.put("dir", "a")
        base = killed.say("snap -p").strip()
        killed.put("dir", "b")
        then, now = contents("a"), contents("b")
        for _ in range(ROUNDS):
            # A snapshot is there or not, and whole.
            name = f"s{killed.source.getrandbits(30)}"
            if killed.kill_during(f"snap -d /snapshot/{name}", 0.01) or f"/snapshot/{name} " in killed.say("snapshots"):
                assert killed.got(f"/snapshot/{name}/dir") == now
            # An archive that was begun is written.
            count = len(re.findall("^/archive/", killed.say("snapshots"), re.MULTILINE))
            answered = killed.kill_during("snap -a", 0.05)
            killed.say("last -w" if answered or count else "status")
            found = re.findall(r"^(/archive/\S+) .* vac:", killed.say("snapshots"), re.MULTILINE)
            assert len(found) - count in ((1,) if answered else (0, 1))
            for place in found:
                assert killed.got(f"{place}/dir") == now
            # Every file is what it was then or is now, and the present was kept before.
            before = len(killed.say("snapshots").splitlines())
            killed.kill_during(f"restore {base} /dir", 0.05)
            mixed = killed.got("/active/dir")
            assert mixed.keys() == now.keys()
            assert all(data in (then[name], now[name]) for name, data in mixed.items())
            if mixed != now:
                assert len(killed.say("snapshots").splitlines()) == before + 1
            killed.say(f"restore {base} /dir")
            assert killed.got("/active/dir") == then
            killed.put("dir", "b")
            for command in ("uname new :new", "check fix", "snaptime -s 60", f"clri /snapshot/{name}", "sync", "halt"):
                killed.kill_during(command, 0.02)
            assert killed.got("/active/dir") == now
            assert killed.got(f"{base}/dir") == then
        killed.kill_during("snapclean 0", 0.02)
        assert killed.say("check").rstrip().endswith("no damage")
    finally:
        killed.server.kill()
