"""Several requests that need each other, sent in one go: a lookup, an open, a creation cost one round trip each.

Our servers do what comes in one connection in the order of arrival. Others may not: where a request that needed an
earlier one was refused although that succeeded, it is sent once more.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import trio

from ninep import messages as m
from ninep import messages_linux as lm
from ninep.attributes import BASIC, Attributes, SetAttributes, attributes_of
from ninep.connection import Connection
from ninep.errors import (
    CrossDevice,
    FileError,
    FileNotFound,
    IsDirectory,
    NotDirectory,
    NotSupported,
    UnknownFid,
)
from ninep.qid import QTDIR
from ninep.remote import RemoteFile
from ninep.remote_linux import LinuxFile
from ninep.stat import Stat

Found: TypeAlias = tuple[RemoteFile, Attributes]
"""A file that was walked to, not open, and what Unix wants to know of it."""

_MODES = {os.O_RDONLY: m.OREAD, os.O_WRONLY: m.OWRITE, os.O_RDWR: m.ORDWR}
_KEPT = os.O_ACCMODE | os.O_APPEND | os.O_TRUNC


async def together(connection: Connection, *requests: Any) -> list[Any]:
    """Sends all requests at once; returns the replies, a refusal in the place of each that was refused.

    Cancelled, what they made stays: those who make fids give them up.
    """
    client = connection.client
    calls = [client.begin(request) for request in requests]
    found: list[Any] = []
    for call in calls:
        try:
            found.append(await client.wait(call))
        except FileError as error:
            found.append(error)
    first = next((at for at, reply in enumerate(found) if isinstance(reply, FileError)), 0)
    if first and isinstance(found[first], UnknownFid | FileNotFound):
        for at in range(first, len(requests)):
            try:
                found[at] = await client.call(requests[at])
            except FileError as error:
                found[at] = error
                break
    return found


def _asking(connection: Connection, fid: int) -> Any:
    return lm.Tgetattr(fid, BASIC) if connection.version == lm.VERSION else m.Tstat(fid)


def _told(connection: Connection, reply: Any) -> Attributes:
    return reply.attributes if isinstance(reply, lm.Rgetattr) else attributes_of(reply.stat, connection.ids)


async def find(directory: RemoteFile, name: str, *before: Any) -> Found:
    """The file called ``name``, after the requests ``before`` have been done."""
    (found,) = await find_all(directory, [name], *before)
    if isinstance(found, FileError):
        raise found
    return found


async def find_all(directory: RemoteFile, names: Sequence[str], *before: Any) -> list[Found | FileError]:
    """The same for many names; a refusal in the place of each that cannot be had. Raises what ``before`` met."""
    connection = directory.connection
    fids = [connection.take_fid() for _ in names]
    requests: list[Any] = [*before]
    for name, fid in zip(names, fids, strict=True):
        requests += (m.Twalk(directory.fid, fid, [name]), _asking(connection, fid))
    try:
        replies = await together(connection, *requests)
    except trio.Cancelled:
        for fid in fids:
            connection.discard(fid, reuse=False)
        raise
    failed = next((reply for reply in replies[: len(before)] if isinstance(reply, FileError)), None)
    found: list[Found | FileError] = []
    for at, (name, fid) in enumerate(zip(names, fids, strict=True)):
        walked, told = replies[len(before) + 2 * at : len(before) + 2 * at + 2]
        if isinstance(walked, FileError):
            connection.give_fid(fid)
            found.append(walked)
        elif failed is not None or isinstance(told, FileError):
            connection.discard(fid)
            found.append(failed or told)
        else:
            file = type(directory)(connection, fid, walked.wqids[0], name)
            found.append((file, _told(connection, told)))
    if failed is not None:
        raise failed
    return found


async def opened(file: RemoteFile, flags: int) -> RemoteFile:
    """The same file under a new fid, open; ``flags`` are those of Linux."""
    connection = file.connection
    fid = connection.take_fid()
    if connection.version == lm.VERSION:
        opening: Any = lm.Tlopen(fid, flags & _KEPT)
    else:
        opening = m.Topen(fid, _mode(flags))
    try:
        walked, reply = await together(connection, m.Twalk(file.fid, fid, []), opening)
    except trio.Cancelled:
        connection.discard(fid, reuse=False)
        raise
    if isinstance(walked, FileError):
        connection.give_fid(fid)
        raise walked
    if isinstance(reply, FileError):
        connection.discard(fid)
        raise reply
    return _ready(file, fid, reply, flags)


async def created(directory: RemoteFile, name: str, flags: int, mode: int, gid: int) -> tuple[RemoteFile, Found]:
    """A new plain file: open, and as ``find`` has it. Raises ``FileExists``."""
    connection = directory.connection
    fid = connection.take_fid()
    if connection.version == lm.VERSION:
        making: Any = lm.Tlcreate(fid, name, flags & (os.O_ACCMODE | os.O_APPEND), mode & 0o7777, gid)
    else:
        making = m.Tcreate(fid, name, mode & 0o777, _mode(flags & ~os.O_TRUNC))
    # The replies to the first two are looked for by a request that cannot be refused: the walk to the new name.
    walking = m.Twalk(directory.fid, fid, [])
    client = connection.client
    try:
        calls = [client.begin(walking), client.begin(making)]
        file, attributes = await find(directory, name)
        walked, made = await client.wait(calls[0]), await client.wait(calls[1])
    except trio.Cancelled:
        connection.discard(fid, reuse=False)
        raise
    except FileError:
        return await _created_in_steps(directory, name, flags, mode, gid, fid, calls)
    assert walked is not None
    return _ready(file, fid, made, flags), (file, attributes)


async def _created_in_steps(
    directory: RemoteFile, name: str, flags: int, mode: int, gid: int, fid: int, calls: list[Any]
) -> tuple[RemoteFile, Found]:
    """What went wrong in ``created``, or the file all the same from a server that did things in another order."""
    connection = directory.connection
    try:
        await connection.client.wait(calls[0])
    except FileError:
        connection.give_fid(fid)
        raise
    try:
        made = await connection.client.wait(calls[1])
    except FileError:
        connection.discard(fid)
        raise
    opened_file = _ready(directory, fid, made, flags)
    try:
        file, attributes = await find(directory, name)
    except BaseException:
        await opened_file.leave()
        raise
    return opened_file, (file, attributes)


async def changed(file: RemoteFile, through: RemoteFile, changes: SetAttributes) -> Attributes:
    """The attributes after a change, which is made through another fid of the same file."""
    try:
        await through.setattr(changes)
    except FileError:
        # Plan 9's own servers let nobody set the time of the last access.
        if changes.atime is None or file.connection.version == lm.VERSION:
            raise
        rest = changes._replace(atime=None, atime_now=False)
        if rest != SetAttributes():
            await through.setattr(rest)
    return await file.getattr()


async def names(directory: RemoteFile) -> list[str]:
    """What is in a directory, in the server's order."""
    async with await directory.walk([]) as listing:
        await listing.open()
        if isinstance(listing, LinuxFile):
            return [entry.name for entry in await listing.readdir() if entry.name not in (".", "..")]
        return [stat.name for stat in await listing.list()]


async def made(directory: RemoteFile, name: str, mode: int, gid: int) -> Found:
    """A new directory."""
    if directory.connection.version == lm.VERSION:
        return await find(directory, name, lm.Tmkdir(directory.fid, name, mode & 0o7777, gid))
    await directory.mkdir(name, mode, gid)
    return await find(directory, name)


async def moved(source: RemoteFile, name: str, target: RemoteFile, newname: str) -> None:
    """Renames. Where 9P2000 is spoken a file that is there is removed first, so that there is a moment without any."""
    try:
        await source.renameat(name, target, newname)
    except FileError as refusal:
        if source.connection.version != m.VERSION or isinstance(refusal, CrossDevice | NotSupported):
            raise
        if source.qid.path != target.qid.path:
            raise
        try:
            there, _ = await find(source, newname)
        except FileError:
            raise refusal from None
        async with await source.walk([name]) as file:
            if there.qid.path == file.qid.path or (there.qid.type ^ file.qid.type) & QTDIR:
                await there.leave()
                if there.qid.path == file.qid.path:
                    return
                raise (IsDirectory if there.qid.type & QTDIR else NotDirectory) from None
            await there.remove()
            await file.wstat(Stat(name=newname))


async def removed(directory: RemoteFile, name: str, *, folder: bool) -> None:
    """Takes a name away. The kernel has looked at what it is."""
    connection = directory.connection
    if connection.version == lm.VERSION:
        await connection.ask(lm.Tunlinkat(directory.fid, name, lm.L_REMOVEDIR if folder else 0))
        return
    await directory.unlinkat(name, directory=folder)


async def synced(file: RemoteFile, *, data_only: bool) -> None:
    """Stable storage. A server that cannot say so has no other way of being asked."""
    try:
        await file.fsync(data_only=data_only)
    except FileError:
        if file.connection.version == lm.VERSION:
            raise


def _mode(flags: int) -> int:
    return _MODES.get(flags & os.O_ACCMODE, m.OREAD) | (m.OTRUNC if flags & os.O_TRUNC else 0)


def _ready(file: RemoteFile, fid: int, reply: Any, flags: int) -> RemoteFile:
    opened_file = type(file)(file.connection, fid, reply.qid)
    opened_file.mode = _mode(flags)
    opened_file.iounit = min(reply.iounit or file.connection.iounit, file.connection.iounit)
    return opened_file
