"""The console: commands on a Unix socket in the data directory, after fossilcons(8).

A connection carries any number of commands. Each is one line of UTF-8, words quoted as rc(1) does; each answer is a
line ``ok N PROMPT``, ``error N PROMPT`` or, where something asked for is not there, ``absent N PROMPT``, and then N
bytes of text. A command that was done and found something wrong says ``wrong``, ``away`` or ``damaged`` for ``ok``. The
socket is open to its owner alone. For people and scripts that want a terminal's look there is ``prompt``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Protocol

import trio

from fossil.console.report import Report, Verdict, verdict_of
from fossil.errors import ConsoleRefused, FossilError, NoFileSystem, NoSnapshot, NotServed
from ninep.net.accept import accept, has_spoken

log = logging.getLogger(__name__)

CONSOLE = "console"
"""The name of the socket in the data directory."""
MOST = 256
"""Connections to one console."""
LONGEST_LINE = 8192
"""Bytes of a command, newline included."""
LONGEST_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer that a client accepts."""


WORDS = {Verdict.OK: "ok", Verdict.WRONG: "wrong", Verdict.AWAY: "away", Verdict.DAMAGED: "damaged"}
"""How an answer begins to a command that was done."""
VERDICTS = {word: verdict for verdict, word in WORDS.items()}


class Commander(Protocol):
    """Who carries out what comes over one connection."""

    @property
    def prompt(self) -> str:
        """What stands before a line that somebody types."""

    async def execute(self, line: str) -> str:
        """Does one line and returns what it prints. Raises FossilError to refuse."""


class Console:
    """A socket on which commands are given."""

    def __init__(self, commander: Callable[[], Commander]) -> None:
        """``commander`` makes one for each connection."""
        self._commander = commander

    async def serve(
        self, path: Path, handlers: trio.Nursery, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listens on ``path`` until cancelled; a socket left there by a process that is gone is replaced.

        Who has come in converses in ``handlers``, and may go on when nobody comes in any more. The caller holds the
        data directory's lock, so nobody else can be listening there.
        """
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
        listener = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
        with _short_name(path) as name:
            old = os.umask(0o177)
            try:
                await listener.bind(name)
            finally:
                os.umask(old)
        listener.listen()
        try:
            task_status.started()
            await accept([trio.SocketListener(listener)], self._converse, connections=MOST, handlers=handlers)
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    async def _converse(self, stream: trio.SocketStream) -> None:
        async with stream:
            pending = b""
            commander = self._commander()
            with contextlib.suppress(trio.BrokenResourceError):
                while data := await stream.receive_some(LONGEST_LINE):
                    has_spoken(stream)
                    pending += data
                    while b"\n" in pending:
                        line, pending = pending.split(b"\n", 1)
                        if len(line) >= LONGEST_LINE:
                            await stream.send_all(_framed("error", "line too long", commander))
                            return
                        await stream.send_all(await _answer(commander, line))
                    if len(pending) > LONGEST_LINE:
                        await stream.send_all(_framed("error", "line too long", commander))
                        return


async def _answer(commander: Commander, line: bytes) -> bytes:
    try:
        text = await commander.execute(line.decode())
        return _framed(WORDS[verdict_of(text)], text, commander)
    except UnicodeDecodeError:
        return _framed("error", "a command is text in UTF-8", commander)
    except NoSnapshot as error:
        return _framed("absent", str(error), commander)
    except FossilError as error:
        return _framed("error", str(error), commander)
    except Exception:
        log.exception("console command %r failed", line)
        return _framed("error", "internal error; the server's log has the details", commander)


class Line:
    """A client's connection to a console.

    Attributes:
        prompt: what to show before the next line, as of the last answer.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self.prompt = ""
        self._stream = stream
        self._pending = b""

    async def ask(self, command: str) -> Report:
        """What a command prints, with what the server says of it.

        Raises:
            NoSnapshot: what was asked for is not there.
            ConsoleRefused: the server said no; the text says why.
            NotServed: the server went away.
        """
        try:
            await self._stream.send_all(command.replace("\n", " ").encode("utf-8", "surrogateescape") + b"\n")
            while b"\n" not in self._pending:
                await self._receive()
            head, self._pending = self._pending.split(b"\n", 1)
            verdict, count, self.prompt = head.decode().split(" ", 2)
            size = int(count)
            if size > LONGEST_ANSWER:
                raise ValueError(size)
            while len(self._pending) < size:
                await self._receive()
        except trio.BrokenResourceError as error:
            raise NotServed("the file server ended before it answered") from error
        except (ValueError, UnicodeDecodeError) as error:
            raise NotServed("what answers on the console's socket is no fossil") from error
        text, self._pending = self._pending[:size].decode(), self._pending[size:]
        if verdict == "absent":
            raise NoSnapshot(text)
        if verdict not in VERDICTS:
            raise ConsoleRefused(text)
        return Report(text, VERDICTS[verdict])

    async def _receive(self) -> None:
        data = await self._stream.receive_some()
        if not data:
            raise NotServed("the file server ended before it answered")
        self._pending += data


@contextlib.asynccontextmanager
async def open_console(path: Path) -> AsyncIterator[Line]:
    """Connects to the console at ``path``.

    Raises:
        NotServed: nobody listens there; the text says what to do.
    """
    socket = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    try:
        with _short_name(path) as name:
            await socket.connect(name)
    except PermissionError as error:
        socket.close()
        raise NotServed(
            f"{path.parent} belongs to somebody else: its server takes commands of its own user and root: run this as "
            "one of them, or name your directory with --data"
        ) from error
    except OSError as error:
        socket.close()
        if not path.parent.exists():
            raise NoFileSystem(
                f"{path.parent}: no such directory: name the one that is served with --data, or make a file system "
                f"with 'python -m fossil serve --data {path.parent}'"
            ) from error
        raise NotServed(
            f"no file server is running on {path.parent} ({error.strerror}): start it with "
            f"'python -m fossil serve --data {path.parent}', or name its directory with --data"
        ) from error
    async with trio.SocketStream(socket) as stream:
        yield Line(stream)


@contextlib.contextmanager
def _short_name(path: Path) -> Iterator[str]:
    """A name for ``path`` that fits a socket address, which holds 107 bytes."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _framed(verdict: str, text: str, commander: Commander) -> bytes:
    body = text.encode("utf-8", "backslashreplace")
    return f"{verdict} {len(body)} {commander.prompt}\n".encode() + body
