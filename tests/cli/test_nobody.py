"""A user without an account, a home or a name: one line, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from programs.processes import free_port

pytestmark = pytest.mark.process

ADDRESS = "ADDRESS"

NOBODY = """
import os, pwd, runpy, sys
def getpwuid(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = getpwuid
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def as_nobody(*words: str, home: str | None = None, cwd: Path) -> tuple[int, str]:
    address = f"tcp!127.0.0.1!{free_port()}"
    environment = {} if home is None else {"HOME": home, "USER": "joe"}
    done = subprocess.run(
        [sys.executable, "-c", NOBODY, *(address if word == ADDRESS else word for word in words)],
        env=environment | {"PYTHONPATH": ":".join(filter(None, sys.path))},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("ninep", "-a", ADDRESS, "ls"), 1, "set the variable USER to one, or say as which user to attach"),
        (("ninep", "-a", ADDRESS, "-u", "glenda", "ls"), 3, "cannot reach"),
        (("ninep", "ramfs", ADDRESS), 2, "set the variable USER"),
        (("ninep", "mount", ADDRESS, "."), 1, "set the variable USER"),
        (("venti", "serve", ADDRESS), 2, "set XDG_DATA_HOME or HOME, or name the directory"),
        (("venti", "stats"), 2, "set XDG_DATA_HOME or HOME"),
        (("venti", "verify"), 2, "set XDG_DATA_HOME or HOME"),
        (("venti", "read", "-h", ADDRESS, "da39a3ee5e6b4b0d3255bfef95601890afd80709"), 3, "cannot reach"),
        (("fossil", "serve"), 2, "set XDG_DATA_HOME or HOME"),
        (("fossil", "serve", "--data", "data", "--listen", ADDRESS), 2, "set the variable USER"),
        (("fossil", "format", "--data", "data"), 2, "set the variable USER"),
        (("fossil", "status"), 2, "set XDG_DATA_HOME or HOME"),
        (("cfs", "stats", "-a", ADDRESS), 1, "set the variable USER"),
    ],
)
def test_who_has_no_account(words: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    found, err = as_nobody(*words, cwd=tmp_path)
    assert (found, len(err.splitlines())) == (code, 1), err
    assert said in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("venti", "serve", ADDRESS), "choose another --store"),
        (("venti", "stats"), "name the store with --store"),
        (("fossil", "serve", "--listen", ADDRESS), "choose another --data"),
        (("fossil", "format"), "choose another --data"),
        (("fossil", "status"), "with --data"),
    ],
)
@pytest.mark.parametrize("home", ["/dev/null", "/proc/nowhere"])
def test_a_home_that_cannot_be_used(words: tuple[str, ...], said: str, home: str, tmp_path: Path) -> None:
    found, err = as_nobody(*words, home=home, cwd=tmp_path)
    assert found != 0
    assert len(err.splitlines()) == 1, err
    assert said in err
