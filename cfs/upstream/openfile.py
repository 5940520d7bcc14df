"""Opens a file at the file server, and gets its version and first bytes in the same round trip."""

from __future__ import annotations

from typing import Any, NamedTuple

import trio

from ninep.client.remote import RemoteFile
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat
from ninep.wire.client import Call
from ninep.wire.taskless import in_task


class Opened(NamedTuple):
    """What an open has told.

    ``stat`` is the entry of the version that was opened, if the server gave it; ``first`` says how many bytes from the
    start were asked for in the same go.
    """

    qid: Qid
    iounit: int
    stat: Stat | None
    first: tuple[RemoteFile, int, Call[Any]] | None


async def open_with_stat(remote: RemoteFile, mode: int, count: int) -> tuple[Stat | None, Call[Any] | None]:
    """Opens, and returns the attributes of the version that was opened, if the file server gives them.

    Reads ``count`` bytes in the same go; the answer to that is not waited for.
    """
    client = remote.connection.client
    # Sent first, answered first: a change in between shows in the qid that the open returns.
    call = client.begin(m.Tstat(remote.fid))
    first = None
    if count:
        (first,) = await remote.open_with(mode, m.Tread(remote.fid, 0, count))
    else:
        await remote.open(mode)
    # Most often both have come together.
    found = _stat_of(call.reply)
    if found is not None and found.qid == remote.qid:
        return found, first
    # From here on the file is open there; giving up now would leave it so and the client believing it is not.
    await in_task()
    with trio.CancelScope(shield=True):
        try:
            found = (await client.wait(call)).stat
            return found if found.qid == remote.qid else await remote.stat(), first
        except FileError:
            pass
    return None, first


def _stat_of(reply: Any) -> Stat | None:
    """What the reply to a Tstat tells, if it has come and is no refusal."""
    return reply.stat if type(reply) is m.Rstat else None
