"""Which nodes stay in memory."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest

from contracts.served_file import OWNER
from fossil.live import loaded
from fossil.live.filesystem import ROOT
from programs.opened_fossil import Opened


def test_what_was_removed_does_not(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        system = opened.system
        root = system.node(ROOT)
        nodes = []
        for number in range(20):
            node = system.create(root, f"{number}", 0o644, OWNER, OWNER)
            nodes.append(weakref.ref(node))
            system.remove(node, OWNER)
            del node
        system.commit()
        gc.collect()
        assert not [node for node in nodes if node() is not None]


def test_nor_what_was_used_longest_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded, "CACHED", 5)
    with Opened(tmp_path) as opened:
        system = opened.system
        root = system.node(ROOT)
        held = system.create(root, "held", 0o644, OWNER, OWNER)
        for number in range(20):
            system.create(root, f"{number}", 0o644, OWNER, OWNER)
        system.commit()
        gc.collect()
        assert system.loaded(held.path) is held
        assert len(list(system._nodes)) <= 8


def test_no_trace_of_what_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded, "LET_GO", 5)
    with Opened(tmp_path) as opened:
        system = opened.system
        root = system.node(ROOT)
        held = system.create(root, "held", 0o644, OWNER, OWNER)
        system.remove(held, OWNER)
        for number in range(100):
            system.remove(system.create(root, f"{number}", 0o644, OWNER, OWNER), OWNER)
            system.commit()
        assert system.loaded(held.path) is held
        assert len(system._nodes._let_go) <= 20
