"""The edge that all programs share: flags, environment and file of networks, exit codes, the end by a signal."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio

from ninep.cli.commands import CODES
from ninep.cli.flags import add_listen_flags
from ninep.cli.homes import cache_home, config_home, data_home
from ninep.cli.networks import networks_of
from ninep.cli.program import run_program
from ninep.cli.serving import until_signalled
from ninep.net.errors import BadAddress, ConnectionLost, Unreachable
from ninep.net.networks import Networks

Run = Callable[[argparse.Namespace], Awaitable[int | None]]


def networks(home: Path, *flags: str, said: str | None = None) -> Networks:
    parser = argparse.ArgumentParser()
    add_listen_flags(parser)
    environment = {"XDG_CONFIG_HOME": str(home)}
    if said is not None:
        environment["NINEGRID_NET"] = said
    return networks_of(parser.parse_args(flags), environment)


def test_flag_before_environment_before_file(tmp_path: Path) -> None:
    assert networks(tmp_path).address("/net.alt") == "127.0.0.1"
    (tmp_path / "ninegrid").mkdir()
    (tmp_path / "ninegrid" / "networks.toml").write_text('"/net.alt" = "127.0.0.2"\n"/net.lab" = "127.0.0.9"\n')
    assert networks(tmp_path).address("/net.alt") == "127.0.0.2"
    assert networks(tmp_path, said="/net.alt=127.0.0.3").address("/net.alt") == "127.0.0.3"
    assert networks(tmp_path, said="").address("/net.alt") == "127.0.0.2"
    found = networks(tmp_path, "--net", "/net.alt=127.0.0.4", "--net", "/net.far=127.0.0.8", said="/net.alt=127.0.0.3")
    assert found.address("/net.alt") == "127.0.0.4"
    assert found.address("/net.far") == "127.0.0.8"
    assert found.address("/net.lab") == "127.0.0.9"


@pytest.mark.parametrize("content", ["nonsense", '[table]\na = "b"', '"/net.alt" = 7', '"alt" = "127.0.0.1"'])
def test_a_file_that_cannot_be_understood(tmp_path: Path, content: str) -> None:
    (tmp_path / "ninegrid").mkdir()
    (tmp_path / "ninegrid" / "networks.toml").write_text(content)
    with pytest.raises(BadAddress):
        networks(tmp_path)


@pytest.mark.parametrize("said", ["/net.alt", "eth0", "/net.alt=127.0.0.1,what"])
def test_an_environment_that_cannot_be_understood(tmp_path: Path, said: str) -> None:
    with pytest.raises(BadAddress, match="write for example"):
        networks(tmp_path, said=said)


def test_homes_follow_the_base_directory_specification() -> None:
    said = {"XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d", "XDG_CACHE_HOME": "/e"}
    assert [str(home(said)) for home in (config_home, data_home, cache_home)] == [
        "/c/ninegrid",
        "/d/ninegrid",
        "/e/ninegrid",
    ]
    assert data_home({"HOME": "/h"}) == Path("/h/.local/share/ninegrid")


class Refused(Exception):
    """A program's own error."""


async def nothing(_: argparse.Namespace) -> None:
    await trio.lowlevel.checkpoint()


def raising(error: Exception) -> Run:
    async def fail(_: argparse.Namespace) -> None:
        async with trio.open_nursery():
            raise error

    return fail


def program(run: Run, *argv: str) -> int:
    parser = argparse.ArgumentParser("try")
    parser.add_argument("--known")
    parser.set_defaults(run=run)
    return run_program("try", parser, argv, {Refused: 5, **CODES})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("no such file"), 5),
        (BadAddress("what is this"), 2),
        (Unreachable("nobody there"), 3),
        (ConnectionLost("gone"), 3),
        (OSError("no space left"), 1),
    ],
)
def test_known_errors_are_one_line_and_a_code(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert program(raising(error)) == code
    assert capsys.readouterr() == ("", f"try: {error}\n")


def test_done_and_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert program(nothing) == 0
    assert program(nothing, "--unknown") == 2
    assert "usage: try" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.RaisesGroup(ZeroDivisionError):
        program(raising(ZeroDivisionError("bug")))


@pytest.fixture
def hanging_up() -> Iterator[None]:
    """A server that was ended leaves SIGHUP ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_a_server_cleanly(number: signal.Signals, hanging_up: None) -> None:
    ended: list[str] = []

    async def serve() -> None:
        os.kill(os.getpid(), number)
        try:
            await trio.sleep_forever()
        finally:
            ended.append("cleaned up")

    with trio.fail_after(10):
        await until_signalled(serve)
    assert ended == ["cleaned up"]


STUBBORN = textwrap.dedent(
    """
    import trio
    from ninep.cli.serving import until_signalled
    async def serve():
        print("serving", flush=True)
        try:
            await trio.sleep_forever()
        finally:
            print("ending", flush=True)
            with trio.CancelScope(shield=True):
                await trio.sleep_forever()
    trio.run(until_signalled, serve)
    """
)


@pytest.mark.process
def test_a_second_signal_kills_what_cannot_end() -> None:
    server = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == "serving\n"
        server.terminate()
        assert server.stdout.readline() == "ending\n"
        server.terminate()
        assert server.wait(20) == -signal.SIGTERM
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@pytest.mark.process
def test_hanging_up_twice_does_not_kill() -> None:
    """A terminal that is closed sends it several times; until everything is closed, and after that."""
    server = subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, text=True)
    with server:
        assert server.stdout is not None
        assert server.stdout.readline() == "serving\n"
        server.send_signal(signal.SIGHUP)
        assert server.stdout.readline() == "ending\n"
        server.send_signal(signal.SIGHUP)
        assert server.stdout.readline() == "closing\n"
        server.send_signal(signal.SIGHUP)
        assert server.stdout.readline() == "closed\n"
        assert server.wait(20) == 0


SLOW = textwrap.dedent(
    """
    import argparse, sys, time, trio
    from ninep.cli.program import run_program
    from ninep.cli.serving import until_signalled
    async def serve():
        print("serving", flush=True)
        try:
            await trio.sleep_forever()
        finally:
            print("ending", flush=True)
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)
    async def run(_):
        await until_signalled(serve)
        print("closing", flush=True)
        await trio.sleep(0.5)
        print("closed", flush=True)
    parser = argparse.ArgumentParser()
    parser.set_defaults(run=run)
    sys.exit(run_program("try", parser, [], {}))
    """
)


async def test_a_server_that_ends_by_itself_ends_the_wait() -> None:
    with trio.fail_after(10):
        await until_signalled(trio.lowlevel.checkpoint)


def test_what_a_server_began_with_is_not_looked_at_again() -> None:
    script = """
import gc, trio
from ninep.cli.serving import until_signalled

async def serve():
    print(gc.get_freeze_count() > 1000 and len(gc.get_objects()) < 5000)

trio.run(until_signalled, serve)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True\n"
