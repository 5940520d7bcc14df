"""Progress is for terminals, and tells rate and time to go."""

from __future__ import annotations

import io
import sys

import pytest

from venti.cli.gauge import Gauge


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_line() -> None:
    gauge = Gauge("verified", 10_000_000_000)
    gauge.add(1_000_000_000, 122_000)
    assert gauge.text(10.0) == "verified: 122000 blocks, 1000.0 of 10000.0 MB, 100.0 MB/s, 1:30 to go"
    assert gauge.text(1000.0).endswith("1.0 MB/s, 2:30:00 to go")
    assert gauge.text(0.0) == "verified: 122000 blocks, 1000.0 of 10000.0 MB, 0.0 MB/s"
    endless = Gauge("copied")
    endless.add(5_000_000)
    assert endless.text(2.0) == "copied: 1 blocks, 5.0 MB, 2.5 MB/s"


def test_on_a_terminal_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), Clock()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Gauge("copied", clock=clock) as gauge:
        for _ in range(10):
            gauge.add(100)
            clock.now += 0.0625
        gauge.clear()
    lines = terminal.getvalue().split("\r\x1b[K")[1:]
    assert [line.split(",")[0] for line in lines if line] == [
        "copied: 1 blocks",
        "copied: 5 blocks",
        "copied: 9 blocks",
    ]
    assert lines[-1] == ""


def test_elsewhere_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Gauge("copied") as gauge:
        gauge.add(100)
    assert capsys.readouterr().err == ""
