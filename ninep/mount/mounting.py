"""Mounts a tree, and unmounts it however that ends: on a signal, by ``umount``, or when the server is gone."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pyfuse3
import trio

from ninep.client.link import Link
from ninep.mount.operations import MountOperations
from ninep.mount.signalled import Signalled
from ninep.net.errors import ConnectionLost, Unreachable, WireError
from ninep.protocol.errors import FileError, NinepError
from ninep.tasks.nursery import open_nursery
from ninep.wire import busypoll

log = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds that the last writes get when the mount ends."""
MOST_REQUESTS = 1000
"""Requests that wait at once: readers of streams, mostly. Beyond, those who come wait for one of them to end."""
DEVICE = "/dev/fuse"
"""Where the kernel's requests come from."""


async def mount(
    link: Link, directory: Path, *, source: str, keep: float, others: bool, mounted: Callable[[], None]
) -> None:
    """Serves the kernel until somebody unmounts ``directory`` or this is cancelled; unmounts it in any case.

    When the connection breaks programs wait as long as ``link`` tries to have it back.

    ``mounted`` is called when programs can use it. ``source`` is what the table of mounts shows, ``keep`` how long
    names and attributes may be old, in seconds; ``others`` lets other users in, with the permissions that the files
    show.

    Raises:
        NinepError: it cannot be mounted there.
        Unreachable: the server went away. Programs that were using the mount have got errors.
    """
    tree = await link.tree()
    signalled = Signalled(os.fspath(directory))
    operations = MountOperations(tree.root, signalled, keep, link.patience, others=others)
    options = {f"fsname={source}", "subtype=ninep"}
    options |= {"allow_other", "default_permissions"} if others else set()
    try:
        pyfuse3.init(operations, os.fspath(directory), options)
    except RuntimeError as error:
        raise NinepError(f"cannot mount on {directory}: {_advice()}") from error
    _watch_kernel()
    lost: Exception | None = None
    try:
        async with open_nursery() as nursery:

            async def serve() -> None:
                await pyfuse3.main(max_tasks=MOST_REQUESTS)
                nursery.cancel_scope.cancel()

            async def watch() -> None:
                nonlocal lost
                connection = tree.connection
                while lost is None:
                    await connection.wait_lost()
                    log.warning("the connection to the server broke (%s)", connection.lost)
                    try:
                        following = await link.tree()
                        connection = following.connection
                        await operations.renew(following.root)
                    except ConnectionLost:
                        continue
                    except (FileError, NinepError, WireError) as error:
                        lost = error
                    else:
                        log.warning("there is a connection again")
                nursery.cancel_scope.cancel()

            nursery.start_soon(serve)
            nursery.start_soon(watch)
            nursery.start_soon(signalled.run)
            mounted()
    finally:
        if lost is None:
            with trio.move_on_after(PATIENCE, shield=True):
                await operations.settle()
        # Lazily, and what still waits gets an error: the kernel ends all requests when the last descriptor is closed.
        pyfuse3.close(unmount=True)
    if lost is not None:
        raise Unreachable(f"the server is gone ({lost}): {directory} is unmounted") from lost


def _advice() -> str:
    if not os.path.exists("/dev/fuse"):
        return "this system has no /dev/fuse: load the kernel's fuse module, or give the container the device"
    return "see above what fusermount3 said; is it installed, and are you allowed to mount there?"


def _watch_kernel() -> None:
    """Lets busy polling look for requests of the kernel as well; pyfuse3 does not say where they come from."""
    instrument = busypoll.current()
    if instrument is None:
        return
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}") == DEVICE:
                instrument.watch(int(name))
