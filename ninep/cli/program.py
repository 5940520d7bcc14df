"""The frame around every command: the command line, standard streams, signals, errors, the exit code."""

from __future__ import annotations

import argparse
import errno
import logging
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ninep.cli.codes import DONE, FAILED, NOT_FOUND, USAGE
from ninep.cli.errors import BadUsage, OutputFailed
from ninep.cli.interrupts import Interruption
from ninep.cli.loading import SIGNALLED, SIGNALS
from ninep.cli.streams import whole_streams

if TYPE_CHECKING:
    import trio

CODES: Mapping[type[Exception], int] = {BadUsage: USAGE, FileNotFoundError: NOT_FOUND, OSError: FAILED}
"""Exit codes of what can go wrong here; each program adds its own."""

Instruments = Callable[[argparse.Namespace], Sequence["trio.abc.Instrument"]]


def run_program(
    name: str,
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    codes: Mapping[type[Exception], int],
    instruments: Instruments = lambda _: (),
) -> int:
    """Parses the command line, runs the async function that it chose as ``run``, and returns the exit code.

    An error that ``codes`` or ``CODES`` knows is one line on standard error; any other is a bug, with its traceback.
    A signal that ends the command is one line and 128 plus its number. What was printed has been taken by standard
    output wholly, or the command has failed.
    """
    known = {**codes, **CODES}
    with Interruption(name) as interruption:
        return _streamed(name, lambda: _run(name, parser, argv, known, instruments, interruption))


def framed(name: str, work: Callable[[], int]) -> int:
    """The same around a program that is no such command: streams that are whole, and a line for Ctrl-C and OSError.

    Ctrl-C is the KeyboardInterrupt that Python makes of it.
    """

    def run() -> int:
        try:
            return work()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else USAGE
        except OutputFailed:
            raise
        except OSError as error:
            print(f"{name}: {described(error)}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt:
            print(f"{name}: {SIGNALS[signal.SIGINT]}", file=sys.stderr)
            return SIGNALLED + signal.SIGINT

    return _streamed(name, run)


def _streamed(name: str, work: Callable[[], int]) -> int:
    try:
        with whole_streams():
            return work()
    except OutputFailed as error:
        # Whoever closes a pipe has seen enough, and knows it.
        if error.errno != errno.EPIPE and sys.stderr is not None:
            with suppress(OSError):
                print(f"{name}: {error}", file=sys.stderr, flush=True)
        return FAILED


def _run(
    name: str,
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    known: Mapping[type[Exception], int],
    instruments: Instruments,
    interruption: Interruption,
) -> int:
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else USAGE
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(getattr(arguments, "verbose", 0), 2)]
    # Not before: help, and what is wrong with a command line, is told without it.
    import trio

    from ninep.tasks.sparing import SparingFilter

    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(SparingFilter())
    logging.basicConfig(level=level, format=f"{name}: %(message)s", handlers=[handler])
    try:
        result = trio.run(interruption.run, arguments.run, arguments, instruments=instruments(arguments))
    except BaseException as error:
        if interruption.number is not None:
            return interruption.tell()
        found = _first(error, tuple(known))
        if found is None:
            raise
        if isinstance(found, OutputFailed):
            raise found from None
        sys.stdout.flush()
        print(f"{name}: {described(found)}", file=sys.stderr)
        return next(code for kind, code in known.items() if isinstance(found, kind))
    if interruption.cancelled:
        return interruption.tell()
    return int(result or DONE)


def described(error: BaseException) -> str:
    """What went wrong, for a person: the system's errors without their numbers and with the file."""
    if isinstance(error, OSError) and type(error).__str__ is OSError.__str__ and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([" -> ".join(names), error.strerror] if names else [error.strerror])
    return str(error)


def _first(error: BaseException, known: tuple[type[Exception], ...]) -> BaseException | None:
    """The error itself, or the first of a group, if it is of a known kind."""
    if isinstance(error, BaseExceptionGroup):
        found = [_first(inner, known) for inner in error.exceptions]
        return None if None in found else found[0]
    return error if isinstance(error, known) else None
