"""Real processes: venti is away for a while in the middle of an archive, dead or silent, and clients notice nothing.

``VENTI_AWAY`` in the environment says for how many seconds; 180 is the long form. What the archive then has is read
with our tools, and where ``$PLAN9`` names a plan9port tree with the original's, too.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from ninep.client.tree import RemoteTree, connect
from programs.plan9port import ROOT, original
from programs.processes import Program, free_port, run

AWAY = float(os.environ.get("VENTI_AWAY", "3"))
FILES, FOLDERS = 1500, 15

pytestmark = [pytest.mark.process, pytest.mark.timeout(300 + 4 * AWAY)]


class Grid:
    """A venti and a fossil of ours."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._venti_port, port = free_port(), free_port()
        self.archive, self.address = f"tcp!127.0.0.1!{self._venti_port}", f"tcp!127.0.0.1!{port}"
        self.data = ("--data", f"{path}/data")
        self.venti = self.start_venti()
        words = ("fossil", "serve", *self.data, "--listen", self.address, "--venti", self.archive)
        self.fossil = Program(port, *words, log=path / "fossil.log")

    def start_venti(self) -> Program:
        words = ("venti", "serve", self.archive, "--store", f"{self.path}/venti")
        return Program(self._venti_port, *words, log=self.path / "venti.log")

    def say(self, command: str) -> str:
        """What the console prints."""
        with socket.socket(socket.AF_UNIX) as console:
            console.connect(f"{self.path}/data/console")
            console.sendall(f"{command}\n".encode())
            answer = console.makefile("rb")
            verdict, size, *_ = answer.readline().split()
            # While venti is away, status says that something is wrong.
            assert verdict == b"ok" or command == "status", (command, answer.read(int(size)))
            return answer.read(int(size)).decode()

    def under_way(self) -> int:
        """Files of the archive that is being written, so far."""
        words = self.say("status").split()
        return int(words[words.index("archiving") + 2]) if "archiving" in words else 0


def killed(grid: Grid) -> Callable[[], None]:
    grid.venti.kill()

    def back() -> None:
        grid.venti = grid.start_venti()

    return back


def silent(grid: Grid) -> Callable[[], None]:
    """As a machine that hangs: connections stay, and nobody answers."""
    grid.venti.process.send_signal(signal.SIGSTOP)
    return lambda: grid.venti.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("goes_away", [killed, silent])
def test_clients_notice_nothing_and_nothing_is_lost(
    tmp_path: Path, goes_away: Callable[[Grid], Callable[[], None]]
) -> None:
    source = random.Random(7)
    files = {f"d{n % FOLDERS}/{n}": source.randbytes(source.randrange(1, 9000)) for n in range(FILES)}
    for name, data in files.items():
        place = tmp_path / "tree" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    grid = Grid(tmp_path)
    try:
        run("ninep", "-a", grid.address, "put", "-r", f"{tmp_path}/tree", "tree")
        first = grid.say("snap -ap").strip().removeprefix("/")
        deadline = time.monotonic() + 60
        while not (done := grid.under_way()):
            assert time.monotonic() < deadline, grid.say("status")
        assert done < FILES
        back = goes_away(grid)

        meanwhile: dict[str, bytes] = {}
        slowest = trio.run(work, grid, files, meanwhile)
        second = grid.say("snap -ap").strip().removeprefix("/")
        assert "archives wait to be written" in grid.say("status")
        back()
        # Nobody tells it: it looks at least once a minute.
        deadline = time.monotonic() + 120
        while "wait" in grid.say("status"):
            assert time.monotonic() < deadline, grid.say("status")
            time.sleep(0.2)
        print(f"away for {AWAY:g} s: {len(meanwhile)} files written and read meanwhile, the slowest in {slowest:.3f} s")

        score = grid.say("last").strip()
        wanted = {f"{first}/tree/{name}": data for name, data in files.items()}
        wanted |= {f"{second}/tree/{name}": data for name, data in files.items()}
        wanted |= {f"{second}/{name}": data for name, data in meanwhile.items()}
        wanted |= {f"active/{name}": data for name, data in meanwhile.items()}
        unpacked(tmp_path / "ours", wanted, lambda out: run("venti", "unvac", "-h", grid.archive, score, cwd=out))
        if ROOT and Path(ROOT, "bin", "unvac").exists():
            unpacked(tmp_path / "theirs", wanted, lambda out: original("unvac", "-h", grid.archive, score, cwd=out))
        assert "no damage" in run("fossil", "check", "--archives", *grid.data)
    finally:
        grid.fossil.kill()
        grid.venti.kill()


async def work(grid: Grid, files: dict[str, bytes], meanwhile: dict[str, bytes]) -> float:
    """What clients do while venti is away; how long the slowest thing took, in seconds."""
    names, slowest = sorted(files), 0.0
    end = time.monotonic() + AWAY
    async with connect(grid.address) as tree, connect(grid.address, aname="main") as past:
        for n in range(1 << 30):
            start = time.monotonic()
            await one(tree, n, files, names[n % len(names)], meanwhile)
            if n % 100 == 99:
                taken = grid.say("snap -p").strip()
                assert await past.read_bytes(f"{taken}/meanwhile{n}") == meanwhile[f"meanwhile{n}"]
            slowest = max(slowest, time.monotonic() - start)
            if time.monotonic() > end:
                break
            await trio.sleep(0.01)
    return slowest


async def one(tree: RemoteTree, n: int, files: dict[str, bytes], name: str, meanwhile: dict[str, bytes]) -> None:
    data = random.Random(n).randbytes(5000)
    await tree.write_bytes(f"meanwhile{n}", data)
    meanwhile[f"meanwhile{n}"] = data
    assert await tree.read_bytes(f"meanwhile{n}") == data
    assert await tree.read_bytes(f"tree/{name}") == files[name]


def unpacked(out: Path, wanted: dict[str, bytes], unvac: Callable[[Path], object]) -> None:
    out.mkdir()
    unvac(out)
    for name, data in wanted.items():
        assert (out / name).read_bytes() == data, name
