"""Sends requests that depend on each other together, so that lookup, open and create take one round trip each.

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
    """Sends requests at once, each of which needs those before; a refusal in the place of each that was refused.

    Cancelled, what they made stays: those who make fids give them up.
    """
    (replies,) = await each_together(connection, [requests])
    return replies


async def each_together(connection: Connection, groups: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The same for many groups of requests, none of which needs another."""
    if not connection.in_order:
        return [await _one_by_one(connection, group, []) for group in groups]
    client = connection.client
    calls = [[client.begin(request) for request in group] for group in groups]
    found: list[list[Any]] = []
    for begun in calls:
        replies: list[Any] = []
        for call in begun:
            try:
                replies.append(await client.wait(call))
            except FileError as error:
                replies.append(error)
        found.append(replies)
    return [
        await _one_by_one(connection, group, replies) if _came_too_early(replies) else replies
        for group, replies in zip(groups, found, strict=True)
    ]


def _came_too_early(replies: Sequence[Any]) -> bool:
    """Whether a request may have been refused because one before it, which succeeded, had not been begun."""
    first = next((at for at, reply in enumerate(replies) if isinstance(reply, FileError)), 0)
    return first > 0 and isinstance(replies[first], _TOO_EARLY)


async def _one_by_one(connection: Connection, requests: Sequence[Any], replies: Sequence[Any]) -> list[Any]:
    """Sends what has no reply or was refused, each when the one before it has come off. What was done stays done."""
    found: list[Any] = []
    for at, request in enumerate(requests):
        before = replies[at] if at < len(replies) else None
        if before is not None and not isinstance(before, FileError):
            found.append(before)
        elif found and isinstance(found[-1], FileError):
            found.append(found[-1])
        else:
            try:
                found.append(await connection.client.call(request))
            except FileError as error:
                found.append(error)
            else:
                # What was refused before is done now: it had only come before what it needs.
                connection.in_order = connection.in_order and before is None
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


async def find_all(directory: RemoteFile, names: Sequence[str]) -> list[Found | FileError]:
    """The same for many names; a refusal in the place of each that cannot be had."""
    connection = directory.connection
    fids = [connection.take_fid() for _ in names]
    groups = [
        (m.Twalk(directory.fid, fid, [name]), _asking(connection, fid)) for name, fid in zip(names, fids, strict=True)
    ]
    try:
        replies = await each_together(connection, groups)
    except trio.Cancelled:
        for fid in fids:
            connection.discard(fid, reuse=False)
        raise
    return [_found(directory, name, fid, *pair) for name, fid, pair in zip(names, fids, replies, strict=True)]


def _found(directory: RemoteFile, name: str, fid: int, walked: Any, told: Any) -> Found | FileError:
    """What a walk to ``fid`` and a question for its attributes have led to."""
    connection = directory.connection
    if isinstance(walked, FileError):
        connection.give_fid(fid)
        return walked
    if len(walked.wqids) != 1:
        # As a server may answer that does not know the name, and ours say that they do not.
        connection.discard(fid)
        return FileNotFound()
    if isinstance(told, FileError):
        connection.discard(fid)
        return told
    return type(directory)(connection, fid, walked.wqids[0], name), _told(connection, told)


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
    connection = directory.connection
    fid = connection.take_fid()
    making = lm.Tmkdir(directory.fid, name, mode & 0o7777, gid)
    try:
        done, walked, told = await together(
            connection, making, m.Twalk(directory.fid, fid, [name]), _asking(connection, fid)
        )
    except trio.Cancelled:
        connection.discard(fid, reuse=False)
        raise
    found = _found(directory, name, fid, walked, told)
    if isinstance(done, FileError):
        if not isinstance(found, FileError):
            await found[0].leave()
        raise done
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
