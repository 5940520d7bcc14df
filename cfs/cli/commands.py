"""The commands of ``python -m cfs``."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import logging
import math
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from cfs.cli.warm import Warmth
from cfs.errors import CfsError, NoCache
from cfs.files.cache import opened
from cfs.files.control import NAME
from cfs.known.frozen import OF_FOSSIL
from cfs.server import serve as serve_cache
from cfs.statistics import parse as parse_sample
from ninep.cli.homes import cache_home
from ninep.cli.networks import can_listen, listening, networks_of
from ninep.cli.serving import announce, until_signalled
from ninep.client.tree import RemoteTree, connect
from ninep.copy.status_line import status_line
from ninep.net.address import parse
from ninep.net.dial import dial
from ninep.net.errors import Unreachable
from ninep.net.listen import where
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError, FileNotFound

log = logging.getLogger(__name__)

LISTEN = "/net.alt/tcp!*!5641"
DEFAULT = "/net.alt:5641"
SIZE = "10G"
PAUSE = 1.0
"""Seconds between attempts to reach the file server, at ``--wait``."""
SILENCE = 20
"""Seconds after which a link on which nothing comes is tested, and given up after as many again."""


def seconds(text: str) -> float:
    """A number of seconds; ``forever`` is one, too."""
    if text == "forever":
        return math.inf
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds: write for example 30 or forever")
    return value


async def serve(arguments: argparse.Namespace) -> None:
    """Serves the tree of a file server, and keeps on local disk what is read through it."""
    networks = networks_of(arguments)
    server = str(parse(arguments.address, "9fs"))

    async def connect() -> trio.abc.Stream:
        stream = await dial(arguments.address, service="9fs", networks=networks)
        _watch(stream)
        return stream

    await _first(connect, arguments.wait)
    directory = arguments.cache or cache_home() / "cfs" / re.sub(r"[^\w.-]+", "_", server).strip("_")
    frozen = OF_FOSSIL if arguments.immutable is None else [text for text in arguments.immutable if text != "none"]
    await can_listen(arguments, arguments.listen, service="9fs")
    prepare(directory)
    with opened(directory, arguments.size, server, frozen=frozen, trust=arguments.trust) as cache:
        listeners = await listening(arguments, arguments.listen, service="9fs")
        try:
            places = ", ".join(where(listener) for listener in listeners)
            announce(f"cfs: serving {server} on {places}, cache {directory} of {arguments.size} bytes")
            await until_signalled(
                lambda: serve_cache(cache, connect, listeners, patience=arguments.patience, offline=arguments.offline)
            )
        finally:
            for listener in listeners:
                await trio.aclose_forcefully(listener)


def prepare(directory: Path) -> None:
    """Makes a directory for the cache.

    Raises:
        CfsError: that cannot be; the text says why and what to do.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))
    except OSError as error:
        raise CfsError(
            f"cannot have a cache in {directory}: {error.strerror} for {os.path.abspath(error.filename or directory)}: "
            "see to that, or choose another --cache"
        ) from error


def _watch(stream: trio.abc.Stream) -> None:
    """Has the system find out by itself that the other side is gone without a word."""
    if isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    if not isinstance(stream, trio.SocketStream):
        return
    with contextlib.suppress(OSError):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", SILENCE),
            ("TCP_KEEPINTVL", SILENCE // 4),
            ("TCP_KEEPCNT", 4),
            ("TCP_USER_TIMEOUT", SILENCE * 2000),
        ):
            if (option := getattr(socket, name, None)) is not None:
                stream.setsockopt(socket.IPPROTO_TCP, option, value)


async def _first(connect: Callable[[], Awaitable[trio.abc.Stream]], wait: float) -> None:
    """A wrong address is better said now than to the first client. Raises ``Unreachable`` after ``wait`` seconds."""
    deadline = trio.current_time() + wait
    told = False
    while True:
        try:
            await trio.aclose_forcefully(await connect())
            return
        except Unreachable as error:
            if trio.current_time() >= deadline:
                raise
            if not told:
                log.warning("%s; waiting for it", error)
                told = True
            await trio.sleep(min(PAUSE, max(0.0, deadline - trio.current_time())))


@asynccontextmanager
async def _connected(arguments: argparse.Namespace) -> AsyncIterator[RemoteTree]:
    networks = networks_of(arguments)
    async with connect(arguments.address, uname=arguments.uname, aname=arguments.aname, networks=networks) as tree:
        yield tree


async def stats(arguments: argparse.Namespace) -> None:
    """Prints what a running cache has counted."""
    async with _connected(arguments) as tree:
        text = (await _sample(tree)).decode()
    if arguments.json:
        print(json.dumps(parse_sample(text), indent=1))
    else:
        sys.stdout.write(text)


async def warm(arguments: argparse.Namespace) -> None:
    """Reads trees through a running cache, so that it has them."""
    async with _connected(arguments) as tree:
        await _sample(tree)
        for path in arguments.path:
            if arguments.pin:
                await _tell(tree, f"pin {path}")
        with status_line("warming") as progress:
            warmth = Warmth(tree, progress)
            for path in arguments.path:
                try:
                    await warmth.warm(path)
                except FileError as error:
                    raise type(error)(f"{path}: {error}") from error
            await warmth.finished()
    print(f"{warmth.files} files, {warmth.size} bytes")


async def unpin(arguments: argparse.Namespace) -> None:
    """Lets what was pinned give way again."""
    async with _connected(arguments) as tree:
        await _sample(tree)
        for path in arguments.path:
            await _tell(tree, f"unpin {path}")


async def _sample(tree: RemoteTree) -> bytes:
    try:
        text = await tree.read_bytes(NAME)
        parse_sample(text.decode())
    except (FileNotFound, ValueError) as error:
        raise NoCache from error
    return text


async def _tell(tree: RemoteTree, command: str) -> None:
    try:
        async with tree.open(NAME, m.OWRITE) as file:
            await file.write(0, f"{command}\n".encode("utf-8", "surrogateescape"))
    except FileError as error:
        raise CfsError(f"{command}: {error}") from error
