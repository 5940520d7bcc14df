"""A program made of commands, each in a module of its own.

Such a module has ``add(subparsers)``, which adds the command and its flags, and ``run(arguments)``, which does it and
imports what it needs for that only then: a command line is parsed, explained and completed without trio, databases or
the wire.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from ninep.cli.codes import FAILED, UNREACHABLE, USAGE
from ninep.cli.program import run_program
from ninep.net.errors import BadAddress, ConnectionLost, Unreachable, WireError
from ninep.net.identity import Nameless

CODES: Mapping[type[Exception], int] = {
    BadAddress: USAGE,
    Nameless: USAGE,
    Unreachable: UNREACHABLE,
    ConnectionLost: UNREACHABLE,
    WireError: FAILED,
}
"""Exit codes of what can go wrong on the network; each program adds its own."""


def _no_flags(parser: argparse.ArgumentParser) -> None:
    """Adds none."""


class Program(NamedTuple):
    """What a program is made of.

    Attributes:
        name: the program's name, which its messages begin with.
        description: what it is for, in a sentence.
        modules: each command, and the module that adds it.
        codes: exit codes of its errors.
        add_flags: adds the flags that stand before the command.
    """

    name: str
    description: str
    modules: Mapping[str, str]
    codes: Mapping[type[Exception], int]
    add_flags: Callable[[argparse.ArgumentParser], None] = _no_flags

    def parser(self, command: str | None = None, *, called: str | None = None) -> argparse.ArgumentParser:
        """The whole command line, or the part that ``command`` needs, if there is such a command.

        ``called`` is how somebody calls the program, such as ``python -m venti``; usually its name.
        """
        parser = argparse.ArgumentParser(called or self.name, description=self.description)
        self.add_flags(parser)
        commands = parser.add_subparsers(required=True, metavar="COMMAND")
        chosen = self.modules.get(command or "")
        for module in dict.fromkeys([chosen] if chosen else self.modules.values()):
            import_module(module).add(commands)
        return parser

    def main(self, argv: Sequence[str] | None = None, *, called: str | None = None) -> int:
        """Runs one command; returns its exit code. Without ``argv``, what the command line says."""
        words = sys.argv[1:] if argv is None else argv
        parser = self.parser(words[0] if words else None, called=called)
        return run_program(self.name, parser, words, {**self.codes, **CODES}, _prepare)


def _prepare(arguments: argparse.Namespace) -> Sequence[Any]:
    """Sets this process up for messages over the network, and gives what trio calls while it runs."""
    from ninep.wire import busypoll, memory

    memory.keep_freed()
    return busypoll.instruments(getattr(arguments, "busy_poll", busypoll.LIMIT))
