"""The console's words and its socket."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from fossil.console import Console, open_console, split_words
from fossil.errors import ConsoleRefused, NotServed

WORDS = [
    ("", []),
    ("snap -a", ["snap", "-a"]),
    ("  snap\t-a  ", ["snap", "-a"]),
    ("create '/active/a b' glenda sys 664", ["create", "/active/a b", "glenda", "sys", "664"]),
    ("echo 'it''s'", ["echo", "it's"]),
    ("echo ''", ["echo", ""]),
    ("a'b c'd", ["ab cd"]),
    ("df # how full", ["df"]),
    ("a#b", ["a#b"]),
]


@pytest.mark.parametrize(("line", "words"), WORDS)
def test_words(line: str, words: list[str]) -> None:
    assert split_words(line) == words


def test_open_quote_is_refused() -> None:
    with pytest.raises(ConsoleRefused, match="quote"):
        split_words("echo 'oops")


async def echo(words: Sequence[str]) -> str:
    return "|".join(words)


async def refuse(words: Sequence[str]) -> str:
    raise ConsoleRefused("not today")


async def fail(words: Sequence[str]) -> str:
    raise ZeroDivisionError


COMMANDS = {"echo": echo, "refuse": refuse, "fail": fail}


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A directory whose name is longer than a socket address holds."""
    path = tmp_path / ("d" * 120)
    path.mkdir()
    return path


async def test_commands_over_the_socket(deep: Path) -> None:
    path = deep / "console"
    async with trio.open_nursery() as nursery:
        await nursery.start(Console(COMMANDS).serve, path)
        assert os.stat(path).st_mode & 0o777 == 0o600
        async with open_console(path) as line:
            assert await line.ask("echo a 'b c'") == "a|b c"
            assert await line.ask("") == ""
            assert await line.ask("echo " + "ü" * 3000) == "ü" * 3000
            with pytest.raises(ConsoleRefused, match="not today"):
                await line.ask("refuse")
            with pytest.raises(ConsoleRefused, match=r"nonsense: - eh\?"):
                await line.ask("nonsense")
            with pytest.raises(ConsoleRefused, match="too long"):
                await line.ask("echo " + "x" * 9000)
        nursery.cancel_scope.cancel()
    assert not path.exists()


@pytest.mark.expects_errors
async def test_a_bug_in_a_command_is_told_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(Console(COMMANDS).serve, tmp_path / "console")
        async with open_console(tmp_path / "console") as line:
            with pytest.raises(ConsoleRefused, match="internal error"):
                await line.ask("fail")
            assert await line.ask("echo on") == "on"
        nursery.cancel_scope.cancel()
    assert "ZeroDivisionError" in caplog.text


async def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(Console(COMMANDS).serve, tmp_path / "console")
        stream = await trio.open_unix_socket(tmp_path / "console")
        await stream.send_all(b"\xff\xfe\n")
        assert (await stream.receive_some()).startswith(b"error ")
        await stream.aclose()
        nursery.cancel_scope.cancel()


async def test_nobody_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotServed, match="python -m fossil serve --data"):
        async with open_console(tmp_path / "console"):
            pass


async def test_socket_of_a_dead_server_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "console"
    dead = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await dead.bind(str(path))
    dead.close()
    assert path.exists()
    with pytest.raises(NotServed):
        async with open_console(path):
            pass
    async with trio.open_nursery() as nursery:
        await nursery.start(Console(COMMANDS).serve, path)
        async with open_console(path) as line:
            assert await line.ask("echo alive") == "alive"
        nursery.cancel_scope.cancel()
