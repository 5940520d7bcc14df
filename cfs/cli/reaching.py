"""What ``serve`` needs before it can begin: a file server that answers, and a directory for the cache."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from cfs.errors import CfsError
from ninep.net.errors import Unreachable

log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between attempts to reach the file server, at ``--wait``."""
SILENCE = 20
"""Seconds after which a link on which nothing comes is tested, and given up after as many again."""


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


def watch(stream: trio.abc.Stream) -> None:
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


async def first(connect: Callable[[], Awaitable[trio.abc.Stream]], wait: float) -> None:
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
