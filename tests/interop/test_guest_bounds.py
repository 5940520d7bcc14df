"""A guest that is slow, or a test that is ended while it runs, ends itself and nothing else."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from interop.guest import run_bounded

SLEEPS = [sys.executable, "-c", "import os, sys, time; print(os.getpid(), flush=True); time.sleep(600)"]


def test_a_program_that_does_not_end_is_killed_and_its_output_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    pid = int(run_bounded(SLEEPS, 1.0))
    assert not Path(f"/proc/{pid}").exists()


def test_a_busy_machine_gives_more_time_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interop.guest.SLOWEST", 10)
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.0, 0.0))
    late = [sys.executable, "-c", "import time; time.sleep(2); print('late', flush=True); time.sleep(600)"]
    assert run_bounded(late, 1.0) == "late\n"


def test_a_limit_of_the_run_ends_the_test_alone() -> None:
    """As pytest-timeout does: an exception out of a signal. Nobody waits for the program after that."""

    class Over(BaseException):
        pass

    def over(*_: object) -> None:
        raise Over

    before = signal.signal(signal.SIGALRM, over)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.5)
        with pytest.raises(Over):
            run_bounded(SLEEPS, 500.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
