"""Standard streams of our programs: whole or failed, whatever they are."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = textwrap.dedent(
    """
    import argparse, os, signal, sys, logging
    from ninep.cli.loading import watch_loading
    watch_loading("try")
    import trio
    from ninep.cli.program import run_program
    from ninep.cli.serving import announce
    from ninep.cli.streams import print_result, read_input, write_output

    async def lines(_):
        for number in range(20_000):
            print(f"line {number}")

    async def bytes_(_):
        await trio.to_thread.run_sync(write_output, bytes(range(256)) * 4000)

    async def buffer(_):
        sys.stdout.buffer.write(bytes(range(256)) * 4000)

    async def score(_):
        print_result("vac:1234")

    async def swallowed(_):
        try:
            print("something", flush=True)
        except OSError:
            pass

    async def served(_):
        announce("serving on nothing")
        print("and more")

    async def message(_):
        print("a message", file=sys.stderr)
        logging.warning("another")
        print("a result")

    async def opened(_):
        # Whatever is opened first gets the lowest descriptor that is free.
        file = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(file, b"data")
        print("a result")

    async def typed(_):
        total = 0
        while data := await read_input():
            total += len(data)
        print(total)

    async def typed_at_once(_):
        print(len(sys.stdin.buffer.read()))

    async def odd(_):
        print("caf\\u00e9 \\udcff")

    parser = argparse.ArgumentParser("try")
    parser.add_argument("what")
    parser.add_argument("rest", nargs="*")
    parser.set_defaults(run=lambda arguments: globals()[arguments.what](arguments))
    sys.exit(run_program("try", parser, None, {}))
    """
)
LINES = "".join(f"line {number}\n" for number in range(20_000)).encode()
BYTES = bytes(range(256)) * 4000


def start(*words: str, redirect: str = "", **keywords: object) -> subprocess.Popen[bytes]:
    """The program behind a shell's redirections."""
    shell = ["sh", "-c", f'exec "$@" {redirect}', "sh", sys.executable, "-c", PROGRAM, *words]
    return subprocess.Popen(shell, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **keywords})


def ended(*words: str, redirect: str = "", **keywords: object) -> tuple[int, bytes, bytes]:
    process = start(*words, redirect=redirect, **keywords)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


pytestmark = pytest.mark.process


@pytest.mark.parametrize(("what", "expected"), [("lines", LINES), ("bytes_", BYTES), ("buffer", BYTES)])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_that_does_not_block_gets_everything(what: str, expected: bytes, unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    process = start(what, stdout=writer, env=environment)
    os.close(writer)
    got = bytearray()
    while piece := os.read(reader, 1000):
        got += piece
    os.close(reader)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, bytes(got), err) == (0, expected, b"")


@pytest.mark.parametrize("what", ["lines", "bytes_", "buffer", "swallowed"])
@pytest.mark.parametrize(
    ("redirect", "message"),
    [
        (">/dev/full", b"try: cannot write to standard output: No space left on device\n"),
        (">&-", b"try: cannot write to standard output: it is closed\n"),
    ],
)
def test_an_output_that_takes_nothing_fails_the_command(what: str, redirect: str, message: bytes) -> None:
    assert ended(what, redirect=redirect) == (1, b"", message)


@pytest.mark.parametrize("words", ["--help"])
def test_help_that_nobody_gets(words: str) -> None:
    assert ended(words, redirect=">/dev/full")[0] == 1


@pytest.mark.parametrize("redirect", [">/dev/full", ">&-"])
def test_what_was_worked_for_is_printed_somewhere(redirect: str) -> None:
    code, _, err = ended("score", redirect=redirect)
    assert code == 1
    assert err.startswith(b"vac:1234\n")


def test_a_closed_pipe_ends_a_command_quietly_but_a_result_is_told() -> None:
    for what, expected in (("lines", b""), ("score", b"vac:1234\n")):
        reader, writer = os.pipe()
        os.close(reader)
        code, _, err = ended(what, stdout=writer)
        os.close(writer)
        assert (code, err) == (1, expected)


@pytest.mark.parametrize("redirect", [">&-", ">/dev/full"])
def test_a_server_that_cannot_say_where_it_serves_serves(redirect: str) -> None:
    assert ended("served", redirect=redirect) == (0, b"", b"")


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_messages_that_nobody_gets_are_no_results_and_no_failure(redirect: str) -> None:
    assert ended("message", redirect=redirect) == (0, b"a result\n", b"")


@pytest.mark.parametrize(
    ("redirect", "result"),
    [("<&-", (0, b"a result\n", b"")), ("2>&-", (0, b"a result\n", b"")), ("<&- 2>&-", (0, b"a result\n", b""))],
)
def test_a_closed_descriptor_is_not_used_anew(redirect: str, result: object, tmp_path: Path) -> None:
    assert ended("opened", str(tmp_path / "file"), redirect=redirect) == result
    assert (tmp_path / "file").read_bytes() == b"data"


def test_a_file_does_not_get_what_was_for_a_closed_output(tmp_path: Path) -> None:
    assert ended("opened", str(tmp_path / "file"), redirect=">&-")[0] == 1
    assert (tmp_path / "file").read_bytes() == b"data"


@pytest.mark.parametrize("what", ["typed", "typed_at_once"])
def test_an_input_that_does_not_block_is_read_to_its_end(what: str) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    process = start(what, stdin=reader)
    os.close(reader)
    told = threading.Event()

    def tell() -> None:
        for _ in range(3):
            told.wait(0.3)
            os.write(writer, bytes(50_000))
        os.close(writer)

    thread = threading.Thread(target=tell)
    thread.start()
    out, err = process.communicate(timeout=60)
    thread.join()
    assert (process.returncode, out, err) == (0, b"150000\n", b"")


@pytest.mark.parametrize("what", ["typed", "typed_at_once"])
@pytest.mark.parametrize(("redirect", "reason"), [("<&-", b"it is closed")])
def test_an_input_that_cannot_be_read(what: str, redirect: str, reason: bytes) -> None:
    assert ended(what, redirect=redirect) == (1, b"", b"try: cannot read standard input: " + reason + b"\n")


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("utf-8", "café ".encode() + b"\xff\n"), ("ascii", b"caf\\xe9 \xff\n"), ("latin-1", b"caf\xe9 \xff\n")],
)
def test_names_that_the_terminal_has_no_letters_for(encoding: str, expected: bytes) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    assert ended("odd", env=environment) == (0, expected, b"")


WAITING = textwrap.dedent(
    """
    import argparse, sys, time
    from ninep.cli.loading import watch_loading
    watch_loading("try")
    import trio
    from ninep.cli.program import run_program
    from ninep.cli.streams import read_input

    async def sleeps(_):
        print("ready", flush=True)
        try:
            await trio.sleep_forever()
        finally:
            print("tidied", flush=True)

    async def reads(_):
        print("ready", flush=True)
        await read_input()

    async def thread(_):
        print("ready", flush=True)
        await trio.to_thread.run_sync(time.sleep, 600)

    async def stubborn(_):
        print("ready", flush=True)
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    async def busy(_):
        print("ready", flush=True)
        while True:
            pass

    async def mistaken(_):
        print("ready", flush=True)
        try:
            await trio.sleep_forever()
        finally:
            raise ConnectionError("connection lost")

    async def fills(_):
        print("ready", flush=True)
        sys.stdout.write("x" * 1000_000)
        sys.stdout.flush()

    parser = argparse.ArgumentParser("try")
    parser.add_argument("what")
    parser.set_defaults(run=lambda arguments: globals()[arguments.what](arguments))
    sys.exit(run_program("try", parser, None, {ConnectionError: 3}))
    """
)
SIGNALS = [
    (signal.SIGINT, b"try: interrupted\n"),
    (signal.SIGTERM, b"try: terminated\n"),
    (signal.SIGHUP, b"try: hung up\n"),
]


def waiting(what: str, before: Callable[[], object] | None = None) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=before,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("what", ["sleeps", "reads", "thread", "stubborn", "busy", "mistaken", "fills"])
@pytest.mark.parametrize(("number", "line"), SIGNALS)
def test_a_signal_ends_a_command_with_one_line(what: str, number: signal.Signals, line: bytes) -> None:
    process = waiting(what)
    process.send_signal(number)
    # What fills the pipe is not read until it has ended.
    code = process.wait(30)
    out, err = process.communicate(timeout=30)
    assert (code, err) == (128 + number, line)
    if what == "sleeps":
        assert out == b"tidied\n"


def test_what_nohup_started_does_not_hang_up() -> None:
    process = waiting("sleeps", before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"tidied\n", b"try: interrupted\n")
