"""Manual pages and completions for shells, made from the parsers: ``python -m grid.pages DIRECTORY``.

The build of a wheel does the same (``setup.py``). Parsers are made without loading what the commands work with, so it
needs nothing of what ninegrid depends on; completions need shtab.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from grid.__main__ import PROGRAMS, base_parser

MANUALS = "share/man/man1"
COMPLETIONS = {"bash": "share/bash-completion/completions", "zsh": "share/zsh/site-functions"}
SHELL_NAMES = {"bash": "{}", "zsh": "_{}"}
"""How a shell wants the file with the completion of a program to be called."""


def parsers() -> Mapping[str, argparse.ArgumentParser]:
    """The whole command line of each script that is installed."""
    whole = base_parser()
    programs = whole.add_subparsers(metavar="PROGRAM")
    for name, text in PROGRAMS.items():
        # Added to an own parser, and taken from there: a parser cannot be hung below another one.
        own = import_module(f"{name}.__main__").PROGRAM.parser(called=f"ninegrid {name}")
        programs.add_parser(name, help=text)
        programs.choices[name] = own
    return {"ninegrid": whole, "ninep": import_module("ninep.__main__").PROGRAM.parser()}


def commands_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Each command of a parser once: its names, its own parser, and its help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                name = choice.dest
                yield name, action.choices[name], choice.help or ""


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in text.split("\n"))


def _text(text: str | None, parser: argparse.ArgumentParser, action: argparse.Action | None = None) -> str:
    if action is not None and text:
        text = text % {**vars(action), "prog": parser.prog}
    paragraphs = re.split(r"\n\s*\n", (text or "").strip())
    return _escaped("\n.PP\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)).replace("\\&.PP", ".PP")


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or action.help == argparse.SUPPRESS:
            continue
        place = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        if action.option_strings:
            value = "" if action.nargs == 0 else f" {place}"
            head = ", ".join(f"\\fB{_escaped(flag)}\\fR\\fI{_escaped(value)}\\fR" for flag in action.option_strings)
        else:
            head = f"\\fI{_escaped(place)}\\fR"
        yield f".TP\n{head}\n{_text(action.help, parser, action)}"


def _usage(parser: argparse.ArgumentParser) -> str:
    words = parser.format_usage().removeprefix("usage: ").split()
    return _escaped(" ".join(words))


def manual(name: str, parser: argparse.ArgumentParser) -> str:
    """The manual page of a script, with a section for each of its commands."""
    lines = [f".TH {name.upper()} 1", ".SH NAME", f"{name} \\- {_text(parser.description, parser)}", ".SH SYNOPSIS"]
    lines += [_usage(parser), ".SH OPTIONS", *_arguments(parser)]

    def tell(parser: argparse.ArgumentParser) -> None:
        for _, command, text in commands_of(parser):
            inner = list(commands_of(command))
            lines.extend([f".SH {_escaped(command.prog.upper())}" if inner else f".SS {_escaped(command.prog)}"])
            lines.extend([_text(command.description or text, command), ".PP", _usage(command), *_arguments(command)])
            tell(command)

    lines.append(".SH COMMANDS")
    tell(parser)
    return "\n".join(lines) + "\n"


def completions(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """For each shell the place of a script's completion, and its text."""
    import shtab

    parser.prog = name
    for shell, folder in COMPLETIONS.items():
        yield f"{folder}/{SHELL_NAMES[shell].format(name)}", shtab.complete(parser, shell)


def write_pages(place: Path) -> list[Path]:
    """Writes all of them below ``place``; returns their paths from there."""
    made: dict[str, str] = {}
    for name, parser in parsers().items():
        made[f"{MANUALS}/{name}.1"] = manual(name, parser)
        made.update(completions(name, parser))
    for path, text in made.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    return [Path(path) for path in sorted(made)]


if __name__ == "__main__":
    for path in write_pages(Path(sys.argv[1] if len(sys.argv) > 1 else "build")):
        print(path)
