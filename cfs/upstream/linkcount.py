"""Asks in 9P2000.L, at the same time, what 9P2000 cannot tell of a file: its link count and exact times."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import trio

from cfs.upstream.handle import Handle
from ninep.client.remote import RemoteFile
from ninep.net.errors import WireError
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.attributes import BASIC, Attributes
from ninep.protocol.errors import NinepError
from ninep.wire.client import Call
from ninep.wire.taskless import in_task

PATIENCE = 2.0
"""Seconds that is waited for the connection that can tell."""


def told_of(handle: Handle) -> Callable[[], Coroutine[Any, Any, Attributes | None]]:
    """Waits for what the file server tells, when it is called; None where nobody can tell.

    What can be sent at once is sent before this returns.
    """
    root = handle.upstream.unix().rooted(handle.uname, handle.aname)
    call: Call[Any] | None = None
    if root is not None and root.connection.version != lm.VERSION:
        return _nothing
    if root is not None and len(handle.names) <= m.MAXWELEM and root.connection.in_order:
        call = _asked(root, handle)

    async def told() -> Attributes | None:
        try:
            if root is not None and call is not None:
                found: Attributes | None = (await root.connection.client.wait(call)).attributes
            else:
                found = await _sought(handle)
        except (NinepError, WireError):
            return None
        return found if found is not None and found.qid.path == handle.qid.path else None

    return told


def _asked(root: RemoteFile, handle: Handle) -> Call[Any] | None:
    """Walk, getattr and clunk in one go."""
    connection = root.connection
    fid = connection.take_fid()
    try:
        connection.client.begin(m.Twalk(root.fid, fid, list(handle.names)))
        call = connection.client.begin(lm.Tgetattr(fid, BASIC))
    except WireError:
        return None
    connection.discard(fid)
    return call


async def _nothing() -> None:
    return None


async def _sought(handle: Handle) -> Attributes | None:
    unix = handle.upstream.unix()
    if unix.doubtful:
        return None
    await in_task()
    with trio.move_on_after(PATIENCE):
        root = await unix.root(handle.uname, handle.aname)
        if root.connection.version != lm.VERSION:
            return None
        async with await root.walk(handle.names) as file:
            return await file.getattr()
    unix.doubtful = True
    return None
