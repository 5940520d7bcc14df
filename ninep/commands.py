"""What ``python -m ninep`` can do."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
import time
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import trio

from ninep.client import RemoteTree, connect, split
from ninep.errors import FileError, FileExists, FileNotFound, IsDirectory, NinepError
from ninep.listing import as_object, long_lines, stat_line
from ninep.ramfs import RamTree
from ninep.server import serve
from ninep.stat import Stat
from ninep.transfer import Progress, Transfer
from ninep.wire.dialect import Buffer
from ninep.wire.edge import add_listen_flags, add_network_flags, announce, networks_of, until_signalled
from ninep.wire.listen import listen, where

PIECE = 1024 * 1024


class Parsers(Protocol):
    """What ``add_subparsers`` returns."""

    def add_parser(self, name: str, **keywords: Any) -> argparse.ArgumentParser: ...


def tree(arguments: argparse.Namespace) -> AbstractAsyncContextManager[RemoteTree]:
    """The tree that the flags name."""
    if not arguments.address:
        raise NinepError("which server? say -a ADDRESS, for example -a tcp!127.0.0.1!5640")
    return connect(arguments.address, uname=arguments.uname, aname=arguments.aname, networks=networks_of(arguments))


class about:
    """Puts the path into a refusal: a server says only what, not where."""

    def __init__(self, path: str) -> None:
        self._path = path or "/"

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileError) and not str(error).startswith(self._path):
            raise type(error)(f"{self._path}: {error}") from error


async def ls(arguments: argparse.Namespace) -> None:
    """Lists directories, or names files."""
    async with tree(arguments) as remote:
        for path in arguments.path or [""]:
            with about(path):
                stat = await remote.stat(path)
                entries = [stat._replace(name=path)]
                if stat.is_directory and not arguments.directory:
                    entries = sorted(await remote.listdir(path), key=lambda entry: entry.name)
                if arguments.json:
                    print(json.dumps([as_object(entry) for entry in entries]))
                elif arguments.long:
                    for line in long_lines(entries, time.time()):
                        print(line)
                else:
                    for entry in entries:
                        print(entry.name)


async def cat(arguments: argparse.Namespace) -> None:
    """Prints files."""
    out = sys.stdout.buffer
    async with tree(arguments) as remote:
        for path in arguments.path:
            with about(path):
                async with remote.open(path) as file:
                    if file.qid.is_directory:
                        raise IsDirectory
                    async for part in file.reading():
                        out.write(part)
                        out.flush()


async def stat(arguments: argparse.Namespace) -> None:
    """Prints entries."""
    async with tree(arguments) as remote:
        for path in arguments.path:
            with about(path):
                found = await remote.stat(path)
                print(json.dumps(as_object(found)) if arguments.json else stat_line(found))


async def write(arguments: argparse.Namespace) -> None:
    """Makes standard input the content of a file."""
    async with tree(arguments) as remote:
        with about(arguments.path):
            async with remote.create(arguments.path) as file:
                offset = 0
                while data := await _standard_input():
                    await file.write_range(offset, data)
                    offset += len(data)


async def _standard_input() -> Buffer:
    return await trio.to_thread.run_sync(os.read, 0, PIECE, abandon_on_cancel=True)


async def mkdir(arguments: argparse.Namespace) -> None:
    """Makes directories."""
    async with tree(arguments) as remote:
        for path in arguments.path:
            names = split(path)
            for depth in range(1 if arguments.parents else len(names), len(names) + 1):
                with about(path):
                    try:
                        await remote.mkdir("/".join(names[:depth]))
                    except FileExists:
                        if not arguments.parents:
                            raise


async def rm(arguments: argparse.Namespace) -> None:
    """Removes files."""
    async with tree(arguments) as remote:
        for path in arguments.path:
            with about(path):
                try:
                    await (Transfer(remote).remove(path) if arguments.recursive else remote.remove(path))
                except FileNotFound:
                    if not arguments.force:
                        raise


async def mv(arguments: argparse.Namespace) -> None:
    """Renames a file."""
    old, new = split(arguments.old), split(arguments.new)
    if len(new) == 1 and "/" not in arguments.new:
        new = [*old[:-1], new[0]]
    if not old or not new or old[:-1] != new[:-1]:
        raise NinepError(
            f"9P cannot move a file to another directory: copy {arguments.old} with get and put, then rm it"
        )
    async with tree(arguments) as remote:
        with about(arguments.old):
            await remote.wstat(arguments.old, Stat(name=new[-1]))


async def put(arguments: argparse.Namespace) -> None:
    """Copies to the server."""
    async with tree(arguments) as remote:
        with progress("put") as report, about(arguments.remote):
            transfer = Transfer(remote, report)
            await transfer.put(Path(arguments.local), arguments.remote, recursive=arguments.recursive)


async def get(arguments: argparse.Namespace) -> None:
    """Copies from the server."""
    async with tree(arguments) as remote:
        with progress("get") as report, about(arguments.remote):
            transfer = Transfer(remote, report)
            await transfer.get(arguments.remote, Path(arguments.local), recursive=arguments.recursive)


async def ramfs(arguments: argparse.Namespace) -> None:
    """Serves a tree in memory."""
    listeners = await listen(
        arguments.listen, service="9fs", networks=networks_of(arguments), no_auth=arguments.no_auth
    )
    places = " ".join(where(listener) for listener in listeners)
    announce(f"serving an empty tree in memory on {places}")
    owner = RamTree(getpass.getuser(), mode=0o777 if arguments.world else 0o775)
    await until_signalled(lambda: serve(owner, listeners))


class _Quiet:
    def __call__(self, _: Progress) -> None:
        pass


def progress(what: str) -> AbstractContextManager[Any]:
    """A line that tells how far a transfer is, where standard error is a terminal."""
    if not sys.stderr.isatty():
        return nullcontext(_Quiet())
    from rich.console import Console

    return _Status(Console(stderr=True), what)


class _Status:
    def __init__(self, console: Any, what: str) -> None:
        self._status = console.status(what)
        self._what = what
        self._shown = 0.0

    def __enter__(self) -> _Status:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def __call__(self, done: Progress) -> None:
        now = time.monotonic()
        if now - self._shown > 0.1:
            self._shown = now
            self._status.update(f"{self._what}: {done.files} files, {done.size / 1e6:.1f} MB")


def add_all(commands: Parsers) -> None:
    """Adds every command and what it takes."""

    def add(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=text, description=run.__doc__)
        parser.set_defaults(run=run)
        (add_listen_flags if run is ramfs else add_network_flags)(parser)
        return parser

    parser = add("ls", ls, "list directories")
    parser.add_argument("-l", dest="long", action="store_true", help="with modes, owners, sizes and times")
    parser.add_argument("-d", dest="directory", action="store_true", help="a directory's own entry, not what is in it")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("path", nargs="*")
    add("cat", cat, "print files").add_argument("path", nargs="+")
    parser = add("stat", stat, "print directory entries")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("path", nargs="+")
    add("write", write, "make standard input the content of a file").add_argument("path")
    parser = add("mkdir", mkdir, "make directories")
    parser.add_argument(
        "-p", dest="parents", action="store_true", help="and the directories above; existing is no error"
    )
    parser.add_argument("path", nargs="+")
    parser = add("rm", rm, "remove files")
    parser.add_argument("-r", dest="recursive", action="store_true", help="directories and all that is in them")
    parser.add_argument("-f", dest="force", action="store_true", help="what is not there is no error")
    parser.add_argument("path", nargs="+")
    parser = add("mv", mv, "rename a file within its directory")
    parser.add_argument("old")
    parser.add_argument("new")
    parser = add("put", put, "copy to the server: REMOTE becomes a copy of LOCAL")
    parser.add_argument("-r", dest="recursive", action="store_true", help="a directory and all that is in it")
    parser.add_argument("local", metavar="LOCAL")
    parser.add_argument("remote", metavar="REMOTE")
    parser = add("get", get, "copy from the server: LOCAL becomes a copy of REMOTE")
    parser.add_argument("-r", dest="recursive", action="store_true", help="a directory and all that is in it")
    parser.add_argument("remote", metavar="REMOTE")
    parser.add_argument("local", metavar="LOCAL")
    parser = add("ramfs", ramfs, "serve an empty tree in memory")
    parser.add_argument("--world", action="store_true", help="everybody may write in its root")
    parser.add_argument("listen", metavar="ADDRESS", nargs="?", default="/net.alt:5640")
