"""Sizes, names and homes at the edge of a program."""

from __future__ import annotations

import argparse
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from ninep.cli import homes
from ninep.cli.errors import BadUsage
from ninep.cli.program import described
from ninep.cli.sizes import parse_size, size_above_zero, size_of
from ninep.net import identity


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1", 1),
        ("800k", 800 << 10),
        ("800K", 800 << 10),
        ("10G", 10 << 30),
        ("10 GiB", 10 << 30),
        ("10gb", 10 << 30),
        ("1.5M", 3 << 19),
        ("2T", 2 << 40),
        ("1p", 1 << 50),
        (" 7 ", 7),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size_of(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "1e3", "1KK", "ten", "1.G", ".5G", "0x10", "٣", "10000P", "1_000"])
def test_what_is_not_a_size(text: str) -> None:
    with pytest.raises(ValueError, match="write a"):
        parse_size(text)
    with pytest.raises(argparse.ArgumentTypeError, match="write a"):
        size_of(text)


def test_what_cannot_be_nothing() -> None:
    assert size_above_zero("1k") == 1024
    with pytest.raises(argparse.ArgumentTypeError, match="above 0"):
        size_above_zero("0G")


def without_account(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> pwd.struct_passwd:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.delenv("HOME", raising=False)


def test_who_runs_this(monkeypatch: pytest.MonkeyPatch) -> None:
    assert identity.user_name({"USER": "glenda", "LOGNAME": ""}) == "glenda"
    assert identity.user_name({"USER": "glenda", "LOGNAME": "rob"}) == "rob"
    assert identity.user_name({}) == pwd.getpwuid(os.getuid()).pw_name
    without_account(monkeypatch)
    with pytest.raises(identity.Nameless, match="set the variable USER"):
        identity.user_name({})
    assert identity.user_name_or_anonymous({}) == "anonymous"


@pytest.mark.parametrize(
    ("home", "variable"),
    [
        (homes.config_home, "XDG_CONFIG_HOME"),
        (homes.data_home, "XDG_DATA_HOME"),
        (homes.cache_home, "XDG_CACHE_HOME"),
    ],
)
def test_homes(home: Callable[..., Path], variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home({variable: "/x"}) == Path("/x/ninegrid")
    assert home({"HOME": "/h"}).is_relative_to("/h")
    usual = home({})
    assert usual.is_relative_to(pwd.getpwuid(os.getuid()).pw_dir)
    assert home({variable: "relative", "HOME": ""}) == usual
    without_account(monkeypatch)
    with pytest.raises(BadUsage, match=f"set {variable} or HOME"):
        home({})


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(2, "No such file or directory", "a/b"), "a/b: No such file or directory"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(18, "Invalid cross-device link", "a", None, "b"), "a -> b: Invalid cross-device link"),
        (OSError("in words"), "in words"),
        (ValueError("bad"), "bad"),
    ],
)
def test_errors_in_words(error: Exception, text: str) -> None:
    assert described(error) == text
