"""The reference of the command line names every command and every flag, and no other."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from ninep.__main__ import PROGRAM
from ninep.net.address import parse

PAGE = (Path(__file__).parent.parent.parent / "docs" / "reference" / "ninep-cli.md").read_text()


def commands() -> dict[str, argparse.ArgumentParser]:
    actions = PROGRAM.parser()._actions
    found = next(action for action in actions if isinstance(action, argparse._SubParsersAction))
    return dict(found.choices)


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_and_flag_is_there(name: str) -> None:
    assert re.search(rf"`{name}[ `]", PAGE), name
    for action in commands()[name]._actions:
        for flag in action.option_strings:
            assert flag in ("-h", "--help", "--verbose") or re.search(rf"{flag}\b", PAGE), f"{name} {flag}"


def test_no_flag_is_invented() -> None:
    known = {flag for parser in commands().values() for action in parser._actions for flag in action.option_strings}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= known


def test_addresses_on_the_page_can_be_read() -> None:
    for address in ("/net.alt:5640", "-", "systemd!", "exec!ssh HOST python -m ninep export DIR -"):
        assert address in PAGE
        parse(address, "9fs")
