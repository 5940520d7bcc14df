"""Runs the start-up configuration of a server: lines in the console's language. Source: fossilcons(8), fossil(4)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from fossil.commands.interpreter import Interpreter, understand
from fossil.errors import BadConfiguration, ConsoleRefused, NotStarted

log = logging.getLogger(__name__)

LARGEST = 1024 * 1024
"""Bytes of a configuration."""
HEADER = "fossil config"
"""The first line of a configuration that was copied out of a disk of the original."""


class StartLine(NamedTuple):
    """One command.

    Attributes:
        where: it stands, for messages: ``fossil.conf:3``.
        text: the command.
        vital: whether the server is not what was asked for without it.
    """

    where: str
    text: str
    vital: bool


def read_configuration(path: Path) -> list[tuple[str, str]]:
    """The lines of a file, each with where it stands.

    Raises:
        BadConfiguration: it cannot be read, or is no text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        text = data.rstrip(b"\0").decode()
    except OSError as error:
        raise BadConfiguration(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadConfiguration(f"{path}:{data.count(10, 0, error.start) + 1}: is no text in UTF-8") from error
    if len(data) > LARGEST:
        raise BadConfiguration(f"{path}: longer than any configuration")
    lines = [(f"{path}:{number}", line) for number, line in enumerate(text.splitlines(), 1)]
    return lines[1:] if lines and lines[0][1].strip() == HEADER else lines


def understood(lines: Iterable[tuple[str, str]]) -> list[StartLine]:
    """Looks at all lines before anything is done.

    Raises:
        BadConfiguration: some are no commands; the text names each of them.
    """
    good = []
    bad = []
    for where, text in lines:
        try:
            good.append(StartLine(where, text, understand(text).vital))
        except ConsoleRefused as error:
            bad.append(f"{where}: {error}")
    if bad:
        raise BadConfiguration("\n".join(bad))
    return good


async def start(interpreter: Interpreter, lines: Sequence[StartLine]) -> list[str]:
    """Does all lines and returns what they print. One that fails is logged, and the next is done.

    Raises:
        NotStarted: a file system could not be opened, or an address or service not be served.
    """
    printed = []
    for where, text, vital in lines:
        try:
            printed.append(await interpreter.execute(text))
        except ConsoleRefused as error:
            if vital:
                raise NotStarted(f"{where}: {text.strip()}: {error}") from error
            log.warning("%s: %s: %s", where, text.strip(), error)
    return printed
