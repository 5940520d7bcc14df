"""Several requests that need each other, sent in one go: a lookup, an open, a creation cost one round trip each.

Our servers begin what comes in one connection in the order of arrival. Others may not: where a request that needed an
earlier one was refused although that succeeded, it is sent once more, and if that helps nothing is sent together any
more.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import trio

from ninep.client.connection import Connection
from ninep.client.remote import RemoteFile
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.attributes import BASIC, Attributes, SetAttributes, attributes_of
from ninep.protocol.errors import (
    CrossDevice,
    FileError,
    FileExists,
    FileNotFound,
    FileRemoved,
    InputOutput,
    IsDirectory,
    NotDirectory,
    NotSupported,
    UnknownFid,
)
from ninep.protocol.qid import QTDIR
from ninep.protocol.stat import Stat

Found: TypeAlias = tuple[RemoteFile, Attributes]
"""A file that was walked to, not open, and what Unix wants to know of it."""

Find: TypeAlias = Callable[[RemoteFile, str], Awaitable[Found]]
"""``find``, or what does more for it."""

_MODES = {os.O_RDONLY: m.OREAD, os.O_WRONLY: m.OWRITE, os.O_RDWR: m.ORDWR}
_KEPT = os.O_ACCMODE | os.O_APPEND | os.O_TRUNC | os.O_DIRECTORY
_MAKING = os.O_ACCMODE | os.O_APPEND
"""Flags of open(2) that matter to a server, where a file is opened and where it is made."""


_TOO_EARLY = (UnknownFid, FileNotFound, InputOutput)
"""What servers say of a fid or name that is not there yet; diod, of a fid, the last."""


async def together(connection: Connection, *requests: Any) -> list[Any]:
    """Sends all requests at once; returns the replies, a refusal in the place of each that was refused.

    Cancelled, what they made stays: those who make fids give them up.
    """
    client = connection.client
    found: list[Any] = []
    start = 0
    if connection.in_order:
        for call in [client.begin(request) for request in requests]:
            try:
                found.append(await client.wait(call))
            except FileError as error:
                found.append(error)
        start = next((at for at, reply in enumerate(found) if isinstance(reply, FileError)), 0)
        if not start or not isinstance(found[start], _TOO_EARLY):
            return found
        del found[start:]
    for request in requests[start:]:
        if found and isinstance(found[-1], FileError):
            found.append(found[-1])
            continue
        try:
            found.append(await client.call(request))
        except FileError as error:
            found.append(error)
        else:
            # What was refused before is done now: it had only come before what it needs.
            connection.in_order = connection.in_order and not start
    return found


def _asking(connection: Connection, fid: int) -> Any:
    return lm.Tgetattr(fid, BASIC) if connection.version == lm.VERSION else m.Tstat(fid)


def _told(connection: Connection, reply: Any) -> Attributes:
    return reply.attributes if isinstance(reply, lm.Rgetattr) else attributes_of(reply.stat, connection.ids)


async def find(directory: RemoteFile, name: str) -> Found:
    """The file called ``name``."""
    (found,) = await find_all(directory, [name])
    if isinstance(found, FileError):
        raise found
    return found


async def find_all(directory: RemoteFile, names: Sequence[str], *before: Any) -> list[Found | FileError]:
    """The same for many names, after the requests ``before``; a refusal in the place of each that cannot be had.

    Raises what ``before`` met.
    """
    connection = directory.connection
    fids = [connection.take_fid() for _ in names]
    requests: list[Any] = [*before]
    for name, fid in zip(names, fids, strict=True):
        requests += (m.Twalk(directory.fid, fid, [name]), _asking(connection, fid))
    try:
        if connection.in_order or before:
            replies = await together(connection, *requests)
        else:
            replies = []
            for at in range(0, len(requests), 2):
                replies += await together(connection, *requests[at : at + 2])
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
        elif len(walked.wqids) != 1:
            # As a server may answer that does not know the name, and ours say that they do not.
            connection.discard(fid)
            found.append(FileNotFound())
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


async def created(
    directory: RemoteFile, name: str, flags: int, mode: int, gid: int, find: Find
) -> tuple[RemoteFile, Found]:
    """A new plain file: open, and as ``find`` has it. One that is there is not opened: nobody has checked its rights.

    Raises:
        FileExists: with O_EXCL in ``flags``.
        FileRemoved: without it, where somebody was quicker; at which Linux looks the name up once more, and opens it.
    """
    connection = directory.connection
    fid = connection.take_fid()
    if connection.version == lm.VERSION:
        making: Any = lm.Tlcreate(fid, name, flags & _MAKING | os.O_EXCL, mode & 0o7777, gid)
    else:
        making = m.Tcreate(fid, name, mode & 0o777, _mode(flags & ~os.O_TRUNC))
    found = connection.take_fid()
    try:
        walked, made, seen, told = await together(
            connection,
            m.Twalk(directory.fid, fid, []),
            making,
            m.Twalk(directory.fid, found, [name]),
            _asking(connection, found),
        )
    except trio.Cancelled:
        connection.discard(fid, reuse=False)
        connection.discard(found, reuse=False)
        raise
    if isinstance(seen, FileError):
        connection.give_fid(found)
    elif isinstance(told, FileError) or isinstance(made, FileError) or len(seen.wqids) != 1:
        connection.discard(found)
    if isinstance(walked, FileError):
        connection.give_fid(fid)
        raise walked
    if isinstance(made, FileError):
        connection.discard(fid)
        if isinstance(made, FileExists) and not flags & os.O_EXCL:
            raise FileRemoved("somebody was quicker to make it")
        raise made
    file = _ready(directory, fid, made, flags)
    if not isinstance(seen, FileError) and not isinstance(told, FileError) and len(seen.wqids) == 1:
        return file, (type(directory)(connection, found, seen.wqids[0], name), _told(connection, told))
    try:
        # It is made; a refusal now is about the second fid alone.
        return file, await find(directory, name)
    except BaseException:
        await file.leave()
        raise


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


async def made(directory: RemoteFile, name: str, mode: int, gid: int, find: Find) -> Found:
    """A new directory."""
    if directory.connection.version != lm.VERSION:
        await directory.mkdir(name, mode, gid)
        return await find(directory, name)
    making = lm.Tmkdir(directory.fid, name, mode & 0o7777, gid)
    (found,) = await find_all(directory, [name], making)
    # It is made; a refusal now is about the fid alone.
    return await find(directory, name) if isinstance(found, FileError) else found


async def moved(source: RemoteFile, name: str, target: RemoteFile, newname: str) -> None:
    """Renames. Where 9P2000 is spoken a file that is there is removed first, so that there is a moment without any."""
    try:
        await source.renameat(name, target, newname)
    except FileError as refusal:
        if source.connection.version != m.VERSION or isinstance(refusal, CrossDevice | NotSupported):
            raise
        if source is not target:
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
