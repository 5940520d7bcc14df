"""The console's two kinds of sockets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
import trio.testing

from fossil.console.console import Console, open_console
from fossil.console.news import News
from fossil.console.prompt import serve_prompts
from fossil.console.report import Report, Verdict
from fossil.errors import ConsoleRefused, NotServed


class Parrot:
    """Knows some words."""

    prompt = "parrot: "

    async def execute(self, line: str) -> str:
        word, _, rest = line.partition(" ")
        if word == "refuse":
            raise ConsoleRefused("not today")
        if word in Verdict.__members__:
            return Report(rest, Verdict[word])
        if word == "fail":
            raise ZeroDivisionError
        if word == "call":
            self.prompt = f"{rest}: "
        return rest


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A directory whose name is longer than a socket address holds."""
    path = tmp_path / ("d" * 120)
    path.mkdir()
    return path


async def test_commands_over_the_socket(deep: Path) -> None:
    path = deep / "console"
    async with trio.open_nursery() as nursery:
        await nursery.start(Console(Parrot).serve, path, nursery)
        assert os.stat(path).st_mode & 0o777 == 0o600
        async with open_console(path) as line:
            assert await line.ask("echo a 'b c'") == "a 'b c'"
            assert line.prompt == "parrot: "
            assert await line.ask("") == ""
            assert await line.ask("echo " + "ü" * 3000) == "ü" * 3000
            for verdict in Verdict:
                report = await line.ask(f"{verdict.name} so it is")
                assert (report, report.verdict) == ("so it is", verdict)
            with pytest.raises(ConsoleRefused, match="not today"):
                await line.ask("refuse")
            assert await line.ask("call polly") == "polly"
            assert line.prompt == "polly: "
            async with open_console(path) as other:
                await other.ask("")
                assert other.prompt == "parrot: "
            with pytest.raises(ConsoleRefused, match="too long"):
                await line.ask("echo " + "x" * 9000)
        nursery.cancel_scope.cancel()
    assert not path.exists()


@pytest.mark.expects_errors
async def test_a_bug_in_a_command_is_told_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(Console(Parrot).serve, tmp_path / "console", nursery)
        async with open_console(tmp_path / "console") as line:
            with pytest.raises(ConsoleRefused, match="internal error"):
                await line.ask("fail")
            assert await line.ask("echo on") == "on"
        nursery.cancel_scope.cancel()
    assert "ZeroDivisionError" in caplog.text


async def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(Console(Parrot).serve, tmp_path / "console", nursery)
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
        await nursery.start(Console(Parrot).serve, path, nursery)
        async with open_console(path) as line:
            assert await line.ask("echo alive") == "alive"
        nursery.cancel_scope.cancel()


async def told(stream: trio.abc.Stream, end: str) -> str:
    """What comes until ``end``."""
    text = ""
    while not text.endswith(end):
        data = await stream.receive_some()
        assert data, text
        text += data.decode()
    return text


async def test_prompts() -> None:
    """As the original looks: whoever waits for the prompt knows that the command has been done."""
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_prompts, Parrot, News(), far)
        assert await told(near, ": ") == "parrot: "
        await near.send_all(b"echo a")
        await near.send_all(b" b\nrefu")
        assert await told(near, "parrot: ") == "a bparrot: "
        await near.send_all(b"se\r\n")
        assert await told(near, "parrot: ") == "not today\nparrot: "
        await near.send_all(b"call x\n\xff\n")
        assert await told(near, "UTF-8\nx: ") == "xx: a command is text in UTF-8\nx: "
        await near.send_all(b"x" * 9000)
        assert await told(near, "line too long\n")
        assert await near.receive_some() == b""


@pytest.mark.expects_errors
async def test_a_bug_does_not_end_a_prompt() -> None:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_prompts, Parrot, News(), far)
        await near.send_all(b"fail\necho on\n")
        assert "internal error" in await told(near, "onparrot: ")
        await near.aclose()


async def test_news_are_told_in_between() -> None:
    news = News()
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_prompts, Parrot, news, far)
        await told(near, "parrot: ")
        news.tell("archive vac:1234")
        assert await told(near, "parrot: ") == "archive vac:1234\nparrot: "
        await near.send_all(b"echo on\n")
        assert await told(near, "parrot: ") == "onparrot: "
        await near.aclose()
    news.tell("nobody is here any more")
