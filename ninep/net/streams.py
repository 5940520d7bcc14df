"""Streams over standard input and output, and over those of another program."""

from __future__ import annotations

import os
import shlex
import subprocess

import trio

from ninep.net.errors import BadAddress, CannotListen, Unreachable

PATIENCE = 5.0
"""Seconds that a program gets to end by itself when its standard input has ended."""


def standard_streams() -> trio.abc.Stream:
    """Standard input and output as one stream. What this program prints from now on goes to standard error.

    Raises:
        CannotListen: they are neither pipes, sockets nor a terminal.
    """
    source, sink = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    try:
        return trio.StapledStream(trio.lowlevel.FdStream(sink), trio.lowlevel.FdStream(source))
    except OSError as error:
        raise CannotListen(f"standard input and output cannot carry a conversation: {error.strerror}") from error


async def program(command: str) -> trio.abc.Stream:
    """Starts a program and talks to it over its standard input and output; the end of the stream is its end.

    What it says on standard error goes where our own does.

    Raises:
        BadAddress: the quotes do not match.
        Unreachable: it cannot be started.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BadAddress(f"'exec!{command}': {error}") from error
    try:
        process = await trio.lowlevel.open_process(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except OSError as error:
        raise Unreachable(f"cannot start {words[0]!r}: {error.strerror}") from error
    return ProgramStream(process)


class ProgramStream(trio.abc.Stream):
    """Both directions of a program's standard input and output."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._in = process.stdin
        self.receive_stream = process.stdout

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._in.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._in.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self.receive_stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Ends its input and waits a while for it; kills it where that does not help. Cancelled, it is killed."""
        try:
            await self._in.aclose()
            await self.receive_stream.aclose()
            with trio.move_on_after(PATIENCE):
                await self._process.wait()
        finally:
            if self._process.poll() is None:
                self._process.kill()
                with trio.CancelScope(shield=True):
                    await self._process.wait()
