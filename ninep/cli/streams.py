"""Standard streams that take everything or fail.

Python's own lose data: with a non-blocking pipe, ``print`` raises with a part written, and ``read`` ends early; with a
closed descriptor, ``sys.stdout`` is None, ``print`` does nothing, and a message for ``sys.stderr`` goes to standard
output. A descriptor that was closed is also given to the next file that is opened, which then receives the output.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from ninep.cli.errors import InputFailed, OutputFailed
from ninep.disk.streamed import write_whole

STANDARD_INPUT, STANDARD_OUTPUT, STANDARD_ERROR = range(3)
PIECE = 1024 * 1024
PATIENCE = 1000
"""Milliseconds that a message waits for a standard error that is full and non-blocking; then it is dropped."""

_UNENCODABLE = "ninegrid.unencodable"


def _unencodable(error: UnicodeError) -> tuple[str | bytes, int]:
    """Bytes that are no text go out as they came in; what the encoding has not is written as an escape."""
    if isinstance(error, UnicodeEncodeError):
        with suppress(UnicodeError):
            return codecs.lookup_error("surrogateescape")(error)
    return codecs.lookup_error("backslashreplace")(error)


codecs.register_error(_UNENCODABLE, _unencodable)


def write_output(data: bytes | bytearray | memoryview) -> None:
    """Writes all of ``data`` to standard output at once. Raises OutputFailed; blocks."""
    buffer = sys.stdout.buffer
    try:
        buffer.write(data)
        buffer.flush()
    except OSError as error:
        raise (error if isinstance(error, OutputFailed) else output_failed(error)) from error


def output_failed(error: OSError) -> OutputFailed:
    """The error that says that it was standard output."""
    if error.errno == errno.EBADF:
        return OutputFailed(errno.EBADF, "it is closed")
    return OutputFailed(error.errno or errno.EIO, error.strerror or str(error))


def read_input_blocking(size: int) -> bytes:
    """At most ``size`` bytes of standard input, as soon as there are any; empty at its end. Raises InputFailed."""
    while True:
        try:
            return os.read(STANDARD_INPUT, size)
        except BlockingIOError:
            _ready(STANDARD_INPUT, select.POLLIN, None)
        except OSError as error:
            closed = error.errno == errno.EBADF
            reason = "it is closed" if closed else error.strerror or str(error)
            raise InputFailed(error.errno or errno.EIO, reason) from error


async def read_input(size: int = PIECE) -> bytes:
    """The same in a thread, which is left behind when the caller is cancelled: nobody may ever type something."""
    import trio

    return await trio.to_thread.run_sync(read_input_blocking, size, abandon_on_cancel=True)


def print_result(text: str, *, end: str = "\n") -> None:
    """Prints what was worked for, such as a score: on standard error if standard output does not take it.

    Raises:
        OutputFailed: standard output did not take it.
    """
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        print(text, end=end, file=sys.stderr, flush=True)
        raise (error if isinstance(error, OutputFailed) else output_failed(error)) from error


def abandon_output() -> None:
    """Drops what is printed from here on, if standard output has failed: nothing depends on it."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Output) and raw.failure is not None:
        raw.abandoned = True


def _ready(descriptor: int, event: int, patience: int | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(patience))


class _Output(io.RawIOBase):
    """Standard output: each write is done wholly, or fails as all later ones do.

    Attributes:
        failure: why it takes nothing more.
        abandoned: whether what is written is dropped, so that the interpreter's end does not complain.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failure: OutputFailed | None = None
        self.abandoned = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return STANDARD_OUTPUT

    def isatty(self) -> bool:
        return os.isatty(STANDARD_OUTPUT)

    def write(self, data: Any, /) -> int:
        if self.abandoned:
            return len(data)
        if self.failure is not None:
            raise self.failure
        try:
            write_whole(STANDARD_OUTPUT, data)
        except OSError as error:
            self.failure = output_failed(error)
            raise self.failure from error
        return len(data)


class _Messages(io.RawIOBase):
    """Standard error: what cannot be written is dropped; work does not fail because nobody can be told about it."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return STANDARD_ERROR

    def isatty(self) -> bool:
        return os.isatty(STANDARD_ERROR)

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        size = len(view)
        while view:
            try:
                view = view[os.write(STANDARD_ERROR, view) :]
            except BlockingIOError:
                if not _ready(STANDARD_ERROR, select.POLLOUT, PATIENCE):
                    break
            except OSError:
                break
        return size


class _Input(io.RawIOBase):
    """Standard input: ends where it ends, not where a non-blocking one has nothing at the moment."""

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return STANDARD_INPUT

    def isatty(self) -> bool:
        return os.isatty(STANDARD_INPUT)

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        data = read_input_blocking(len(view))
        view[: len(data)] = data
        return len(data)


@contextmanager
def whole_streams() -> Iterator[None]:
    """Puts these streams in the place of Python's, unless somebody else (a test) has put others there.

    At the end what was printed is written out. Raises OutputFailed then if some of it was not taken, now or before.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    _keep_closed()
    output = _Output() if sys.stdout is None or sys.stdout is sys.__stdout__ else None
    if output is not None:
        _flush(sys.stdout)
        sys.stdout = _text(io.BufferedWriter(output), before[1])
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        _flush(sys.stderr)
        sys.stderr = _text(io.BufferedWriter(_Messages()), before[2], line_buffering=True)
    if sys.stdin is None or sys.stdin is sys.__stdin__:
        sys.stdin = io.TextIOWrapper(
            io.BufferedReader(_Input()), encoding=getattr(before[0], "encoding", "utf-8"), errors="surrogateescape"
        )
    try:
        yield
        sys.stdout.flush()
        if output is not None and output.failure is not None and not output.abandoned:
            raise output.failure
    finally:
        if output is not None:
            with suppress(OSError):
                sys.stdout.flush()
            output.abandoned = True
        sys.stdin, sys.stdout, sys.stderr = before


def _text(buffer: io.BufferedWriter, old: IO[str] | None, *, line_buffering: bool = False) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        buffer,
        encoding=getattr(old, "encoding", None) or "utf-8",
        errors=_UNENCODABLE,
        line_buffering=line_buffering or buffer.isatty() or bool(getattr(old, "line_buffering", False)),
        write_through=bool(getattr(old, "write_through", False)),
    )


def _flush(stream: IO[str] | None) -> None:
    if stream is not None:
        with suppress(OSError):
            stream.flush()


def _keep_closed() -> None:
    """Has descriptors that were closed when the program began refuse what is asked of them, and not be used anew."""
    for descriptor in (STANDARD_INPUT, STANDARD_OUTPUT, STANDARD_ERROR):
        try:
            os.fstat(descriptor)
        except OSError:
            # Opened the wrong way round: reading from it, or writing to it, is EBADF as before.
            flags = os.O_WRONLY if descriptor == STANDARD_INPUT else os.O_RDONLY
            found = os.open(os.devnull, flags)
            if found != descriptor:
                os.dup2(found, descriptor)
                os.close(found)
