"""The commands of ``python -m ninep``, and those of them that work on the files of a server."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from ninep.cli.codes import DONE, FAILED, NOT_FOUND
from ninep.cli.networks import add_dial_flags, add_network_flags, client_context, networks_of
from ninep.cli.streams import read_input, write_output
from ninep.client.connection import DIALECTS
from ninep.client.replacing import replacing
from ninep.client.tree import RemoteTree, connect, split
from ninep.commands.mount import add_mounting
from ninep.commands.serve import add_serving
from ninep.copy.get import Get
from ninep.copy.put import Put
from ninep.copy.remove import Remove
from ninep.copy.status_line import status_line
from ninep.copy.transfer import local
from ninep.net.errors import BadAddress
from ninep.protocol.errors import CrossDevice, FileError, FileExists, FileNotFound, IsDirectory, NinepError
from ninep.protocol.listing import as_object, long_lines, shown, stat_line

log = logging.getLogger(__name__)


class Parsers(Protocol):
    """What ``add_subparsers`` returns."""

    def add_parser(self, name: str, **keywords: Any) -> argparse.ArgumentParser: ...


def connected(arguments: argparse.Namespace) -> AbstractAsyncContextManager[RemoteTree]:
    """The tree that the flags name."""
    if not arguments.address:
        raise BadAddress("which server? say -a ADDRESS before the command, for example -a tcp!127.0.0.1!5640")
    return connect(
        arguments.address,
        uname=arguments.uname,
        aname=arguments.aname,
        version=arguments.dialect or DIALECTS[0],
        networks=networks_of(arguments),
        context=client_context(arguments),
    )


class about:
    """Puts the path into a refusal: a server says only what, not where."""

    def __init__(self, path: str) -> None:
        self._path = shown(path) or "/"

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileError):
            raise type(error)(f"{self._path}: {error}") from error


async def for_each(paths: Sequence[str], work: Callable[[str], Awaitable[None]]) -> int:
    """Does the same with every path. What is refused is reported, and the rest is done all the same."""
    code = DONE
    for path in paths:
        try:
            with about(path):
                await work(path)
        except FileError as error:
            log.warning("%s", error)
            code = code or (NOT_FOUND if isinstance(error, FileNotFound) else FAILED)
    return code


async def ls(arguments: argparse.Namespace) -> int:
    """Lists directories, or names files."""
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


async def cat(arguments: argparse.Namespace) -> int:
    """Prints files."""
    sys.stdout.flush()
    async with connected(arguments) as remote:

        async def one(path: str) -> None:
            async with remote.open(path) as file:
                if file.qid.is_directory:
                    raise IsDirectory
                async for piece in file.reading():
                    await local(len(piece), write_output, piece)

        return await for_each(arguments.path, one)


async def stat(arguments: argparse.Namespace) -> int:
    """Prints entries."""
    async with connected(arguments) as remote:

        async def one(path: str) -> None:
            found = await remote.stat(path)
            print(json.dumps(as_object(found)) if arguments.json else stat_line(found))

        return await for_each(arguments.path, one)


async def write(arguments: argparse.Namespace) -> None:
    """Makes standard input the content of a file."""
    async with connected(arguments) as remote:
        with about(arguments.path):
            names = split(arguments.path)
            if not names:
                raise IsDirectory
            async with (
                await remote.root.walk(names[:-1]) as directory,
                replacing(directory, names[-1]) as file,
                file.writing() as sink,
            ):
                while data := await read_input():
                    await sink.write(data)


async def mkdir(arguments: argparse.Namespace) -> int:
    """Makes directories."""
    async with connected(arguments) as remote:

        async def one(path: str) -> None:
            names = split(path)
            for depth in range(1, len(names)) if arguments.parents else ():
                if not await remote.exists("/".join(names[:depth])):
                    await remote.mkdir("/".join(names[:depth]))
            try:
                await remote.mkdir(path)
            except FileExists:
                if not arguments.parents or not (await remote.stat(path)).is_directory:
                    raise

        return await for_each(arguments.path, one)


async def rm(arguments: argparse.Namespace) -> int:
    """Removes files."""
    async with connected(arguments) as remote:
        with status_line("rm") as report:

            async def one(path: str) -> None:
                try:
                    await (Remove(remote, report).remove(path) if arguments.recursive else remote.remove(path))
                except FileNotFound:
                    if not arguments.force:
                        raise

            return await for_each(arguments.path, one)


async def mv(arguments: argparse.Namespace) -> None:
    """Renames a file."""
    async with connected(arguments) as remote:
        with about(arguments.old):
            try:
                await remote.rename(arguments.old, f"/{arguments.new}")
            except CrossDevice:
                raise NinepError(
                    f"{remote.connection.version} renames only within a directory: say -D 9P2000.L before the command, "
                    f"or get {arguments.old}, put it there and rm it"
                ) from None


async def put(arguments: argparse.Namespace) -> None:
    """Copies to the server: REMOTE becomes a copy of LOCAL."""
    async with connected(arguments) as remote:
        with status_line("put") as report, about(arguments.remote):
            await Put(remote, report).put(Path(arguments.local), arguments.remote, recursive=arguments.recursive)


async def get(arguments: argparse.Namespace) -> None:
    """Copies from the server: LOCAL becomes a copy of REMOTE."""
    async with connected(arguments) as remote:
        with status_line("get") as report, about(arguments.remote):
            await Get(remote, report).get(arguments.remote, Path(arguments.local), recursive=arguments.recursive)


def add_all(commands: Parsers) -> None:
    """Adds every command and what it takes."""

    def add(run: Callable[..., Awaitable[int | None]], text: str, *flags: str) -> argparse.ArgumentParser:
        parser = commands.add_parser(run.__name__, help=text, description=run.__doc__)
        parser.set_defaults(run=run)
        add_network_flags(parser)
        add_dial_flags(parser)
        for flag in flags:
            destination, explanation = _FLAGS[flag]
            parser.add_argument(flag, dest=destination, action="store_true", help=explanation)
        return parser

    add(ls, "list directories", "-l", "-d", "--json").add_argument("path", nargs="*")
    add(cat, "print files").add_argument("path", nargs="+")
    add(stat, "print directory entries", "--json").add_argument("path", nargs="+")
    add(write, "make standard input the content of a file").add_argument("path")
    add(mkdir, "make directories", "-p").add_argument("path", nargs="+")
    add(rm, "remove files", "-r", "-f").add_argument("path", nargs="+")
    parser = add(mv, "rename a file, or move it where the dialect can")
    parser.add_argument("old")
    parser.add_argument("new")
    parser = add(put, "copy to the server", "-r")
    parser.add_argument("local", metavar="LOCAL")
    parser.add_argument("remote", metavar="REMOTE")
    parser = add(get, "copy from the server", "-r")
    parser.add_argument("remote", metavar="REMOTE")
    parser.add_argument("local", metavar="LOCAL")
    add_serving(commands.add_parser)
    add_mounting(commands.add_parser)


_FLAGS = {
    "-l": ("long", "with modes, owners, sizes and times"),
    "-d": ("directory", "a directory's own entry, not what is in it"),
    "--json": ("json", "for programs"),
    "-p": ("parents", "and the directories above; existing is no error"),
    "-r": ("recursive", "a directory with all that is in it"),
    "-f": ("force", "what is not there is no error"),
}
