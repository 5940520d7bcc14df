"""A cache after a kill -9, and on a full disk."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cfs.disk.outage import RETRY
from cfs.disk.segments import Files
from cfs.disk.store import Store
from fakes.stored_content import MIB, SERVER, content, get, put, taken, version

CRASH = """
import sys, random, os
from pathlib import Path
from cfs.disk.store import Store
from cfs.disk.layout import Version
with Store(Path(sys.argv[1]), 4 << 20, "tcp!files!564") as store:
    print("ready", flush=True)
    for turn in range(1_000_000):
        path = turn % 500
        length = 1000 + path * 100
        file = store.file("main", path, Version(1, 1000, length))
        if not file.present:
            store.add(file, 0, random.Random(path).randbytes(length))
        store.release(file)
        if turn % 5 == 0:
            store.flush()
        if turn == 40:
            print("going", flush=True)
"""


@pytest.mark.process
def test_kill_9(tmp_path: Path) -> None:
    had = 0
    for turn in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", CRASH, str(tmp_path)], stdout=subprocess.PIPE, start_new_session=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert process.stdout.readline() == b"going\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05 * turn)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        process.stdout.close()
        with Store(tmp_path, 4 * MIB, SERVER) as store:
            assert taken(tmp_path) <= 5 * MIB
            for path in range(500):
                data = get(store, path, 1000 + path * 100)
                assert data is None or data == content(path, 1000 + path * 100)
                had += data is not None
            assert store.statistics.damaged == 0
    assert had > 100


def test_full_disk_turns_caching_off_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    full = False
    write = Files.write

    def limited(self: Files, place: object, data: bytes) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, place, data)

    monkeypatch.setattr(Files, "write", limited)
    with Store(tmp_path, 16 * MIB, SERVER, clock=lambda: now) as store:
        put(store, 1, b"one")
        store.flush()
        full = True
        for path in (2, 3):
            put(store, path, b"two")
        store.flush()
        assert store.off
        assert get(store, 2, 3) is None
        assert get(store, 1, 3) == b"one"
        file = store.file("main", 4, version(4))
        assert not store.add(file, 0, b"four")
        now += RETRY + 1
        assert not store.off
        assert store.add(file, 0, b"four")
        store.flush()
        assert store.off
        now += RETRY + 1
        full = False
        assert store.add(file, 0, b"four")
        store.flush()
        assert store.read(file, 0, 4) == b"four"
        assert not store.off
        store.release(file)
        full = True
        put(store, 5, b"five")
        store.flush()
    assert caplog.text.count("is turned off") == 2
    assert caplog.text.count("is on again") == 1
