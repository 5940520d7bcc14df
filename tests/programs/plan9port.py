"""The original programs, where the environment variable ``PLAN9`` names a plan9port tree that has them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from programs.processes import PATIENCE, environment, free_port

ROOT = os.environ.get("PLAN9", "")


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skips a test where one of the programs is not there; says so."""
    missing = [name for name in programs if not ROOT or not Path(ROOT, "bin", name).exists()]
    reason = f"$PLAN9 has no {missing[0]}" if ROOT and missing else "$PLAN9 names no plan9port tree"
    return pytest.mark.skipif(bool(missing), reason=reason)


def original(
    *words: object, cwd: Path | None = None, stdin: bytes = b"", status: int | None = 0
) -> subprocess.CompletedProcess[bytes]:
    """Runs a program of theirs to its end, which must come with this exit status, or any if that is None."""
    program = Path(ROOT, "bin", str(words[0]))
    done = subprocess.run(
        [program, *map(str, words[1:])],
        cwd=cwd,
        env=environment() | {"PLAN9": ROOT, "PATH": f"{ROOT}/bin:{os.environ['PATH']}"},
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert status is None or done.returncode == status, (
        words,
        done.returncode,
        done.stdout[-500:],
        done.stderr[-1500:],
    )
    return done


class OriginalVenti:
    """Their archive, on small partitions in ``path``; ``stop`` kills it, and ``start`` starts it again.

    Attributes:
        address: where it answers.
        arenas: its arena partition.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True)
        port = free_port()
        self.address = f"tcp!127.0.0.1!{port}"
        self.arenas = path / "arenas.part"
        for name, size in (("arenas.part", 64 << 20), ("isect.part", 32 << 20)):
            with (path / name).open("wb") as file:
                file.truncate(size)
        (path / "venti.conf").write_text(
            f"index main\nisect {path}/isect.part\narenas {self.arenas}\nmem 8m\nbcmem 8m\nicmem 8m\n"
            f"addr {self.address}\n"
        )
        original("venti/fmtarenas", "-a", "16M", "arenas", self.arenas)
        original("venti/fmtisect", "isect0", path / "isect.part")
        original("venti/fmtindex", path / "venti.conf")
        self._path, self._port = path, port
        (path / "ns").mkdir(mode=0o700)
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        path = self._path
        self._log = (path / "log").open("ab")
        self._process = subprocess.Popen(
            [f"{ROOT}/bin/venti/venti", "-s", "-c", f"{path}/venti.conf"],
            env=environment() | {"PLAN9": ROOT, "NAMESPACE": str(path / "ns")},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            time.sleep(0.05)
        self.stop()
        raise AssertionError(f"the original venti does not answer: {(path / 'log').read_text()[-500:]}")

    def stop(self) -> None:
        """Ends it, if it runs. What was synced is in the partition."""
        with suppress(ProcessLookupError):
            # It forks; everything in its session is its own.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        self._log.close()
