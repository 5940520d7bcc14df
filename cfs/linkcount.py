"""How many names a plain file has: what 9P2000 does not tell, asked in 9P2000.L at the same time as the rest."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import trio

from cfs.handle import Handle
from ninep import messages as m
from ninep import messages_linux as lm
from ninep.attributes import BASIC, Attributes
from ninep.errors import NinepError
from ninep.remote import RemoteFile
from ninep.wire import WireError
from ninep.wire.client import Call
from ninep.wire.taskless import in_task

PATIENCE = 2.0
"""Seconds that is waited for the connection that can tell."""


def names_of(handle: Handle) -> Callable[[], Coroutine[Any, Any, int]]:
    """Waits for the number of names, when it is called; 1 where nobody can tell.

    What can be sent at once is sent before this returns.
    """
    root = handle.upstream.unix().rooted(handle.uname, handle.aname)
    call: Call[Any] | None = None
    if root is not None and root.connection.version != lm.VERSION:
        return _one
    if root is not None and len(handle.names) <= m.MAXWELEM and root.connection.in_order:
        call = _asked(root, handle)

    async def names() -> int:
        try:
            if root is not None and call is not None:
                found: Attributes | None = (await root.connection.client.wait(call)).attributes
            else:
                found = await _sought(handle)
        except (NinepError, WireError):
            return 1
        return found.nlink if found is not None and found.qid.path == handle.qid.path else 1

    return names


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


async def _one() -> int:
    return 1


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
