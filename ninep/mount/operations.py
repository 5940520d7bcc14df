"""The requests of Linux's FUSE, each as what the server is to do.

The rule of what may be old. Names and attributes are kept by the kernel for ``keep`` seconds, so that a change by
another client is seen after that time at the latest; what is done through this mount is seen at once. The content of a
file is asked for anew whenever it is opened, unless its qid version is what it was at the last time: so who opens a
file after another client has closed it sees what that wrote. Data that the kernel or the read-ahead holds of an open
file may be as old as the open.

Writes are answered when they have been sent. Whether they came off is told by fsync and close, and by the next write.

When the connection breaks, requests wait for the next one. What can be done twice without harm is done again then,
writes that were not answered among it; what cannot (making, removing, renaming) fails with EIO if it was under way.
Open files are opened again; of one that is not there any more every use fails.
"""

from __future__ import annotations

import errno
import os
import stat as unix
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import pyfuse3
import trio

from ninep.attributes import Attributes, SetAttributes, Statfs
from ninep.connection import Connection
from ninep.errors import FileError, FileRemoved, FunctionNotImplemented, NotSupported
from ninep.mount import requests
from ninep.mount.nodes import Node, Nodes
from ninep.mount.opened import OpenFile
from ninep.mount.signalled import Signalled
from ninep.remote import RemoteFile
from ninep.wire.errors import ConnectionLost, WireError

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

PATIENCE = 60.0
"""Seconds until a server that does not answer is asked whether it lives; and then once more until it is given up."""


AT_ONCE = 64
"""Entries of a directory that are asked for in one go."""
_UNASKED = frozenset(("getxattr", "setxattr", "listxattr", "removexattr"))
_HARMLESS = frozenset(
    (
        *(
            "lookup",
            "getattr",
            "setattr",
            "readlink",
            "opendir",
            "_listed",
            "fsyncdir",
            "open",
            "_read",
            "_follow",
            "_alive",
        ),
        *("write", "flush", "fsync", "statfs", "listxattr", "getxattr", "removexattr"),
    )
)
"""What can be done again when it is not known whether it was done."""
ATTEMPTS = 10
"""Connections that may break under one request."""


def translated(operation: F) -> F:
    """Turns refusals and broken links into the error numbers that the kernel wants, and bounds the time."""
    attempts = ATTEMPTS if operation.__name__ in _HARMLESS else 1

    @wraps(operation)
    async def run(self: MountOperations, *arguments: Any) -> Any:
        try:
            with trio.fail_after(PATIENCE + self.patience):
                for attempt in range(attempts):
                    await self.connected()
                    try:
                        return await operation(self, *arguments)
                    except ConnectionLost:
                        if attempt + 1 == attempts:
                            raise
        except FileError as error:
            number = error.errno
            if isinstance(error, NotSupported) and operation.__name__ in _UNASKED:
                # The kernel does not ask again: it would for every write.
                number = errno.ENOSYS
            raise pyfuse3.FUSEError(number) from error
        except trio.TooSlowError as error:
            raise pyfuse3.FUSEError(errno.ETIMEDOUT) from error
        except WireError as error:
            raise pyfuse3.FUSEError(errno.EIO) from error

    return cast("F", run)


class MountOperations(pyfuse3.Operations):
    """One mounted tree."""

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(self, root: RemoteFile, signalled: Signalled, keep: float, patience: float = 0) -> None:
        """``signalled`` tells which readers need not be waited for any more.

        ``keep`` is how long names and attributes may be old, in seconds; ``patience`` is how long requests wait for
        another connection when one broke.
        """
        super().__init__()
        self.signalled = signalled
        self.patience = patience
        self._connection: Connection = root.connection
        self._back = trio.lowlevel.ParkingLot()
        self._nodes = Nodes(root)
        self._keep = keep
        self._files: dict[int, OpenFile] = {}
        self._directories: dict[int, tuple[Node, list[str]]] = {}
        self._handles = 0

    async def connected(self) -> None:
        """Waits until there is a connection, all open files included."""
        while self._connection.lost is not None:
            await self._back.park()

    async def renew(self, root: RemoteFile) -> None:
        """Goes on with the root that another connection has led to.

        Raises:
            FileRemoved: it is another tree.
            ConnectionLost: that connection broke as well.
        """
        self._nodes.renew(root)
        for opened in list(self._files.values()):
            try:
                opened.renew(await requests.opened(await self._nodes.file(opened.node), opened.flags))
            except FileError as error:
                opened.lose(FileRemoved(f"it could not be opened again: {error}"))
        self._connection = root.connection
        self._back.unpark_all()

    async def settle(self) -> None:
        """Waits for all writes under way, at the end. Raises nothing."""
        for file in list(self._files.values()):
            try:
                await file.settle()
            except (FileError, WireError):
                pass

    # Names and attributes.

    def _entry(self, node: Node, found: Attributes) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = node.inode
        entry.generation = 0
        entry.entry_timeout = entry.attr_timeout = self._keep
        entry.st_mode = found.mode
        entry.st_nlink = found.nlink
        entry.st_uid = found.uid
        entry.st_gid = found.gid
        entry.st_rdev = found.rdev
        entry.st_size = found.size
        entry.st_blksize = 512
        entry.st_blocks = found.blocks
        entry.st_atime_ns = found.atime
        entry.st_mtime_ns = found.mtime
        entry.st_ctime_ns = found.ctime
        node.qid = found.qid
        return entry

    async def _file(self, inode: int) -> tuple[Node, RemoteFile]:
        node = self._nodes[inode]
        return node, await self._nodes.file(node)

    async def _attributes(self, node: Node) -> pyfuse3.EntryAttributes:
        for file in node.opened:
            if file.pending:
                await file.settle()
        return self._entry(node, await (await self._nodes.file(node)).getattr())

    async def _known(self, parent: Node, name: str, found: requests.Found) -> pyfuse3.EntryAttributes:
        """What the kernel is told of a file that was walked to. Writes under way count."""
        file, attributes = found
        node = await self._nodes.found(parent, name, file, attributes)
        if any(opened.pending for opened in node.opened):
            return await self._attributes(node)
        return self._entry(node, attributes)

    async def _lookup(self, parent: Node, name: str) -> pyfuse3.EntryAttributes:
        return await self._known(parent, name, await requests.find(await self._nodes.file(parent), name))

    @translated
    async def lookup(self, parent_inode: int, name: bytes, ctx: Any) -> pyfuse3.EntryAttributes:
        return await self._lookup(self._nodes[parent_inode], os.fsdecode(name))

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        for inode, count in inode_list:
            try:
                await self._nodes.forget(inode, count)
            except WireError:
                pass

    @translated
    async def getattr(self, inode: int, ctx: Any) -> pyfuse3.EntryAttributes:
        return await self._attributes(self._nodes[inode])

    @translated
    async def setattr(self, inode: int, attr: Any, fields: Any, fh: int | None, ctx: Any) -> pyfuse3.EntryAttributes:
        node, file = await self._file(inode)
        for opened in node.opened:
            await opened.settle()
        changes = SetAttributes(
            mode=unix.S_IMODE(attr.st_mode) if fields.update_mode else None,
            uid=attr.st_uid if fields.update_uid else None,
            gid=attr.st_gid if fields.update_gid else None,
            size=attr.st_size if fields.update_size else None,
            atime=attr.st_atime_ns if fields.update_atime else None,
            mtime=attr.st_mtime_ns if fields.update_mtime else None,
        )
        through = self._files[fh].file if fh is not None and fields.update_size and fh in self._files else file
        attributes = await requests.changed(file, through, changes)
        if fields.update_size:
            self._changed(node)
        return self._entry(node, attributes)

    @translated
    async def readlink(self, inode: int, ctx: Any) -> bytes:
        _, file = await self._file(inode)
        return os.fsencode(await file.readlink())

    @translated
    async def mknod(self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: Any) -> pyfuse3.EntryAttributes:
        parent, directory = await self._file(parent_inode)
        if unix.S_ISREG(mode):
            file, found = await requests.created(directory, os.fsdecode(name), os.O_RDONLY, mode, ctx.gid)
            await file.leave()
            return await self._known(parent, os.fsdecode(name), found)
        await directory.mknod(os.fsdecode(name), mode, rdev, ctx.gid)
        return await self._lookup(parent, os.fsdecode(name))

    @translated
    async def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: Any) -> pyfuse3.EntryAttributes:
        parent, directory = await self._file(parent_inode)
        found = await requests.made(directory, os.fsdecode(name), mode, ctx.gid)
        return await self._known(parent, os.fsdecode(name), found)

    @translated
    async def symlink(self, parent_inode: int, name: bytes, target: bytes, ctx: Any) -> pyfuse3.EntryAttributes:
        parent, directory = await self._file(parent_inode)
        await directory.symlink(os.fsdecode(name), os.fsdecode(target), ctx.gid)
        return await self._lookup(parent, os.fsdecode(name))

    @translated
    async def link(self, inode: int, new_parent_inode: int, new_name: bytes, ctx: Any) -> pyfuse3.EntryAttributes:
        parent, directory = await self._file(new_parent_inode)
        _, file = await self._file(inode)
        await directory.link(os.fsdecode(new_name), file)
        return await self._lookup(parent, os.fsdecode(new_name))

    @translated
    async def unlink(self, parent_inode: int, name: bytes, ctx: Any) -> None:
        await self._settle_below(parent_inode, name)
        _, directory = await self._file(parent_inode)
        await directory.unlinkat(os.fsdecode(name))

    @translated
    async def rmdir(self, parent_inode: int, name: bytes, ctx: Any) -> None:
        _, directory = await self._file(parent_inode)
        await directory.unlinkat(os.fsdecode(name), directory=True)

    @translated
    async def rename(
        self, parent_inode_old: int, name_old: bytes, parent_inode_new: int, name_new: bytes, flags: int, ctx: Any
    ) -> None:
        source, from_directory = await self._file(parent_inode_old)
        if parent_inode_new == parent_inode_old:
            target, to_directory = source, from_directory
        else:
            target, to_directory = await self._file(parent_inode_new)
        old, new = os.fsdecode(name_old), os.fsdecode(name_new)
        if flags & pyfuse3.RENAME_EXCHANGE:
            raise pyfuse3.FUSEError(errno.EINVAL)
        if flags & pyfuse3.RENAME_NOREPLACE:
            try:
                await (await to_directory.walk([new])).leave()
            except FileError:
                pass
            else:
                raise pyfuse3.FUSEError(errno.EEXIST)
        await requests.moved(from_directory, old, to_directory, new)
        await self._nodes.moved(source, old, target, new)

    async def _settle_below(self, inode: int, name: bytes) -> None:
        node = self._nodes.child(self._nodes[inode], os.fsdecode(name))
        for opened in list(node.opened) if node is not None else ():
            await opened.settle()

    # Directories.

    @translated
    async def opendir(self, inode: int, ctx: Any) -> int:
        node, file = await self._file(inode)
        return self._handle(self._directories, (node, await requests.names(file)))

    async def readdir(self, fh: int, start_id: int, token: Any) -> None:
        node, names = self._directories[fh]
        for first in range(start_id, len(names), AT_ONCE):
            batch = names[first : first + AT_ONCE]
            found = await self._listed(node, batch)
            for position, (name, one) in enumerate(zip(batch, found, strict=True), first):
                if isinstance(one, FileError):
                    # It has gone meanwhile.
                    continue
                entry = await self._known(node, name, one)
                if not pyfuse3.readdir_reply(token, os.fsencode(name), entry, position + 1):
                    await self._nodes.forget(entry.st_ino, 1)
                    for rest in found[position + 1 - first :]:
                        if not isinstance(rest, FileError):
                            await rest[0].leave()
                    return

    @translated
    async def _listed(self, node: Node, names: Sequence[str]) -> list[requests.Found | FileError]:
        return await requests.find_all(await self._nodes.file(node), names)

    async def releasedir(self, fh: int) -> None:
        self._directories.pop(fh, None)

    @translated
    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        node, _ = self._directories[fh]
        await requests.synced(await self._nodes.file(node), data_only=datasync)

    # Content.

    def _handle(self, table: dict[int, Any], value: Any) -> int:
        self._handles += 1
        table[self._handles] = value
        return self._handles

    def _opened(
        self, node: Node, file: RemoteFile, flags: int, *, streams: bool = False, opener: int = 0
    ) -> pyfuse3.FileInfo:
        opened = OpenFile(node, file, flags, self.connected, streams=streams, opener=opener)
        same = node.kept is not None and node.kept == file.qid.version and file.qid.version != 0
        node.kept = file.qid.version
        return pyfuse3.FileInfo(
            fh=self._handle(self._files, opened), direct_io=streams, keep_cache=same and not streams
        )

    @translated
    async def open(self, inode: int, flags: int, ctx: Any) -> pyfuse3.FileInfo:
        node, file = await self._file(inode)
        for opened in list(node.opened):
            await opened.settle()
        opened_file = await requests.opened(file, flags)
        if flags & os.O_TRUNC:
            self._changed(node)
        # A file of no length and no version has no content of its own: a device, a control file, a stream.
        streams = flags & os.O_ACCMODE == os.O_RDONLY and not opened_file.qid.version
        if streams and (await file.getattr()).size:
            streams = False
        return self._opened(node, opened_file, flags, streams=streams, opener=ctx.pid)

    @translated
    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: Any
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        parent, directory = await self._file(parent_inode)
        file, found = await requests.created(directory, os.fsdecode(name), flags, mode, ctx.gid)
        entry = await self._known(parent, os.fsdecode(name), found)
        return self._opened(self._nodes[entry.st_ino], file, flags), entry

    async def read(self, fh: int, off: int, size: int) -> bytes:
        opened = self._files[fh]
        if not opened.streams:
            return await self._read(opened, off, size)
        with self.signalled.waiting(opened.node.inode, opened.opener):
            while True:
                try:
                    return await self._follow(opened, off, size)
                except pyfuse3.FUSEError as error:
                    # A read may take as long as it likes, but not from a server that is gone.
                    if error.errno != errno.ETIMEDOUT:
                        raise
                    await self._alive()
        raise pyfuse3.FUSEError(errno.EINTR)

    @translated
    async def _read(self, opened: OpenFile, off: int, size: int) -> bytes:
        for other in opened.node.opened:
            if other.pending:
                await other.settle()
        return await opened.read(off, size)

    @translated
    async def _follow(self, opened: OpenFile, off: int, size: int) -> bytes:
        return await opened.follow(off, size)

    @translated
    async def _alive(self) -> None:
        await (await self._nodes.file(self._nodes.root)).getattr()

    @translated
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        opened = self._files[fh]
        await opened.write(off, bytes(buf))
        self._changed(opened.node)
        return len(buf)

    def _changed(self, node: Node) -> None:
        for opened in node.opened:
            opened.forget()

    @translated
    async def flush(self, fh: int) -> None:
        await self._files[fh].settle()

    @translated
    async def fsync(self, fh: int, datasync: bool) -> None:
        opened = self._files[fh]
        await opened.settle()
        await requests.synced(opened.file, data_only=datasync)

    async def release(self, fh: int) -> None:
        opened = self._files.pop(fh)
        node = opened.node
        try:
            await opened.close()
        except (FileError, WireError):
            pass
        finally:
            if opened.written:
                # The next version is ours, but others may have changed the file, too, while we did.
                node.kept = None
            await self._nodes.forget(node.inode, 0)

    # The file system, and extended attributes.

    @translated
    async def statfs(self, ctx: Any) -> pyfuse3.StatvfsData:
        try:
            found = await (await self._nodes.file(self._nodes.root)).statfs()
        except FunctionNotImplemented:
            found = Statfs()
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = found.bsize
        data.f_blocks, data.f_bfree, data.f_bavail = found.blocks, found.bfree, found.bavail
        data.f_files, data.f_ffree, data.f_favail = found.files, found.ffree, found.ffree
        data.f_namemax = found.namelen
        return data

    @translated
    async def listxattr(self, inode: int, ctx: Any) -> Sequence[bytes]:
        _, file = await self._file(inode)
        return [os.fsencode(name) for name in await file.listxattr()]

    @translated
    async def getxattr(self, inode: int, name: bytes, ctx: Any) -> bytes:
        _, file = await self._file(inode)
        return await file.getxattr(os.fsdecode(name))

    @translated
    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: Any) -> None:
        _, file = await self._file(inode)
        await file.setxattr(os.fsdecode(name), value)

    @translated
    async def removexattr(self, inode: int, name: bytes, ctx: Any) -> None:
        _, file = await self._file(inode)
        await file.removexattr(os.fsdecode(name))
