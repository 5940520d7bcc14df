"""The page on the command line says what the command line says."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from venti.__main__ import PROGRAM

PAGE = (Path(__file__).parents[2] / "docs/reference/venti-cli.md").read_text()
NETWORK = {"--net", "--verbose", "--help"}


def commands(command: str | None = None) -> dict[str, argparse.ArgumentParser]:
    actions = PROGRAM.parser(command)._actions
    found = next(action for action in actions if isinstance(action, argparse._SubParsersAction))
    return dict(found.choices)


def test_every_command_is_there_and_no_other() -> None:
    told = set(re.findall(r"^\| `([a-z-]+)", PAGE, re.MULTILINE)) - {"files", "faults", "repaired"}
    assert told >= set(commands())
    assert {name for name in told if name in commands()} == set(commands())


@pytest.mark.parametrize("name", ["check", "copy", "verify", "scrub", "repair", "mirror", "export", "import", "stats"])
def test_every_flag_is_told(name: str) -> None:
    for action in commands()[name]._actions:
        for flag in action.option_strings:
            if flag.startswith("--") and flag not in NETWORK:
                assert f"{flag}" in PAGE, f"{name} {flag}"


@pytest.mark.parametrize("name", commands())
def test_every_command_explains_itself(name: str) -> None:
    text = commands()[name].format_help()
    assert "usage:" in text
    assert len(text.splitlines()) > 5


def test_each_command_can_be_had_alone() -> None:
    assert set(commands()) == set(PROGRAM.modules)
    for name in PROGRAM.modules:
        assert name in commands(name)
    assert set(commands("no-such-command")) == set(PROGRAM.modules)
