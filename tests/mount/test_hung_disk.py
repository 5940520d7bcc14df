"""A directory is served while something that is mounted in it does not answer."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from fakes.ninep_client import Raw, connected
from ninep.export.accounts import Accounts
from ninep.export.tree import ExportTree
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError
from ninep.wire.limits import Limits
from programs.processes import Program, environment, free_port

pytest.importorskip("pyfuse3", reason="pyfuse3 is not installed: pip install 'ninegrid[mount]'")

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="this machine has no /dev/fuse"),
    pytest.mark.skipif(not shutil.which("fusermount3"), reason="there is no fusermount3: apt install fuse3"),
]
PATIENCE = 30.0
USER = "glenda"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Far:
    """A file system of another program in ``served/far``, which can be made to hang."""

    def __init__(self, folder: Path) -> None:
        self.served = folder / "served"
        self.point = self.served / "far"
        self.point.mkdir(parents=True)
        (self.served / "near").write_text("near")
        port = free_port()
        address = f"tcp!127.0.0.1!{port}"
        self.server = Program(port, "ninep", "ramfs", "--world", address, log=folder / "log")
        self._log = folder / "mount.log"
        self._address = address
        self.process: subprocess.Popen[bytes]

    def mount(self) -> None:
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ninep", "mount", "--keep", "0", self._address, str(self.point)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(),
            )
        until(lambda: os.path.ismount(self.point) or self.process.poll() is not None)
        if self.process.poll() is not None:
            pytest.skip(f"mounting does not work here: {self._log.read_text().strip()}")
        (self.point / "file").write_text("far")

    def hang(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError, AttributeError):
            self.process.kill()
            self.process.wait(PATIENCE)
        self.server.kill()
        subprocess.run(["fusermount3", "-uz", str(self.point)], check=False, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def beside(folder: Path) -> Iterator[Far]:
    far = Far(folder)
    try:
        yield far
    finally:
        far.end()


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    with beside(tmp_path_factory.mktemp("far")) as far:
        far.mount()
        yield far


@contextlib.contextmanager
def exported(far: Far) -> Iterator[ExportTree]:
    tree = ExportTree(far.served, accounts=Accounts(switch=False))
    before = len(os.listdir("/proc/self/fd"))
    try:
        yield tree
    finally:
        far.go_on()
    until(lambda: len(os.listdir("/proc/self/fd")) == before)
    tree.close()


HANGING = {
    "walk": lambda raw: [m.Twalk(0, 90, ["far"])],
    "walk on": lambda raw: [m.Twalk(0, 90, ["far", "file"])],
    "list": lambda raw: [m.Twalk(0, 90, []), m.Topen(90, m.OREAD), m.Tread(90, 0, 8000)],
    "stat": lambda raw: [m.Tstat(80)],
    "open": lambda raw: [m.Topen(80, m.OREAD)],
    "read": lambda raw: [m.Tread(81, 0, 10)],
    "clunk": lambda raw: [m.Tclunk(81)],
    "create": lambda raw: [m.Tcreate(82, os.urandom(4).hex(), 0o644, m.OREAD)],
    "remove": lambda raw: [m.Tremove(83)],
}


async def near_works(raw: Raw) -> None:
    with trio.fail_after(PATIENCE):
        assert await raw.content("near") == b"near"
        assert (await raw.stat("near")).length == 4


async def set_up(raw: Raw) -> None:
    """Fid 80 is a far file, 81 the same one open, 82 the far directory, 83 another file in it."""
    for fid, names in ((80, ["far", "file"]), (81, ["far", "file"]), (82, ["far"]), (83, ["far"])):
        assert len((await raw.ask(m.Twalk(0, fid, names))).wqids) == len(names)
    await raw.ask(m.Topen(81, m.ORDWR))
    await raw.ask(m.Tcreate(83, os.urandom(4).hex(), 0o644, m.OREAD))
    assert await raw.read(81) == b"far"


@pytest.mark.parametrize("what", HANGING)
async def test_nobody_else_waits(mounted: Far, what: str) -> None:
    far = mounted
    with exported(far) as tree:
        async with connected(tree, USER) as raw, connected(tree, USER) as other:
            await set_up(raw)
            far.hang()
            calls = [raw.client.begin(request) for request in HANGING[what](raw)]
            raw.client.send()
            await near_works(other)
            await near_works(raw)
            assert calls[-1].reply is None
            far.go_on()
            with trio.fail_after(PATIENCE):
                await raw.client.wait(calls[-1])


@pytest.mark.parametrize("what", ["walk on", "list", "read", "create"])
async def test_who_has_waited_enough_may_leave(mounted: Far, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr("ninep.export.away.GRACE", 0.2)
    far = mounted
    with exported(far) as tree:
        async with connected(tree, USER) as other:
            async with connected(tree, USER, limits=Limits(closing=0.2)) as raw:
                await set_up(raw)
                far.hang()
                calls = [raw.client.begin(request) for request in HANGING[what](raw)]
                with trio.fail_after(PATIENCE), trio.move_on_after(0.2):
                    await raw.client.wait(calls[-1])
                assert calls[-1].reply is None
                await near_works(raw)
            await near_works(other)


async def test_what_is_mounted_later_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ninep.export.mounts.LOOK", 0.0)
    with beside(tmp_path) as far, exported(far) as tree:
        async with connected(tree, USER) as raw, connected(tree, USER) as other:
            await raw.walk("far")
            await trio.to_thread.run_sync(far.mount)
            for _ in range(300):
                await raw.stat("near")
            far.hang()
            call = raw.client.begin(m.Twalk(0, 90, ["far", "file"]))
            raw.client.send()
            await near_works(other)
            far.go_on()
            with trio.fail_after(PATIENCE):
                await raw.client.wait(call)


async def test_a_file_system_that_is_dead_is_an_error(tmp_path: Path) -> None:
    with beside(tmp_path) as far:
        far.mount()
        tree = ExportTree(far.served, accounts=Accounts(switch=False))
        before = len(os.listdir("/proc/self/fd"))
        async with connected(tree, USER) as raw:
            await set_up(raw)
            far.process.kill()
            far.process.wait(PATIENCE)
            for request in (m.Tstat(80), m.Twalk(0, 90, ["far", "file"]), m.Tread(81, 0, 10)):
                with trio.fail_after(PATIENCE), pytest.raises(FileError, match=r"not connected|aborted"):
                    await raw.ask(request)
            assert {entry.name: entry.is_known for entry in await raw.list()} == {"near": True, "far": False}
        assert len(os.listdir("/proc/self/fd")) == before
        tree.close()
