"""``ls``: directories and what is in them."""

from __future__ import annotations

import argparse
import json
import sys
import time

from ninep.cli.flags import Parsers
from ninep.commands.flags import add_command, add_switch


async def run(arguments: argparse.Namespace) -> int:
    """Lists directories, or names files."""
    from ninep.commands.remote import connected, for_each
    from ninep.protocol.listing import as_object, long_lines, shown

    name = shown if sys.stdout.isatty() else str
    unseen: list[str] = []
    async with connected(arguments) as remote:

        async def one(path: str) -> None:
            stat = await remote.stat(path)
            entries = [stat._replace(name=path or stat.name)]
            if stat.is_directory and not arguments.directory:
                entries = sorted(await remote.listdir(path), key=lambda entry: entry.name)
                unseen.extend(f"{path}/{entry.name}".lstrip("/") for entry in entries if not entry.is_known)
            if arguments.json:
                print(json.dumps([as_object(entry) for entry in entries]))
                return
            entries = [entry._replace(name=name(entry.name), extension=name(entry.extension)) for entry in entries]
            lines = long_lines(entries, time.time()) if arguments.long else [entry.name for entry in entries]
            sys.stdout.writelines(f"{line}\n" for line in lines)

        code = await for_each(arguments.path or [""], one)

        async def why(path: str) -> None:
            await remote.stat(path)

        return code or await for_each(unseen, why)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "ls", run, "list directories")
    add_switch(parser, "-l", "long", "with modes, owners, sizes and times")
    add_switch(parser, "-d", "directory", "a directory's own entry, not what is in it")
    add_switch(parser, "--json", "json", "for programs")
    parser.add_argument("path", nargs="*")
