"""Translates the requests of Linux's FUSE into requests to the 9P server.

The rule of what may be old. Names and attributes are kept by the kernel for ``keep`` seconds, so that a change by
another client is seen after that time at the latest; what is done through this mount is seen at once. The content of a
file is read again whenever it is opened, unless its qid version is what it was at the last time: so who opens a
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
from collections.abc import Sequence
from typing import Any

import pyfuse3
import trio

from ninep.client.connection import Connection
from ninep.client.remote import RemoteFile
from ninep.mount import requests
from ninep.mount.answers import answered, answered_at_last, unanswered
from ninep.mount.entries import entry_of, unreachable_entry
from ninep.mount.listing import Listed, Listing
from ninep.mount.nodes import KernelNode, Nodes
from ninep.mount.opened import OpenFile
from ninep.mount.owners import Owners
from ninep.mount.signalled import Signalled
from ninep.net.errors import ConnectionLost, WireError
from ninep.protocol.attributes import Attributes, SetAttributes, Statfs
from ninep.protocol.errors import FileError, FileNotFound, FileRemoved, FunctionNotImplemented, NameTooLong, is_shortage

USUAL_NAME = 255
"""Bytes that a name may have everywhere."""
LONGEST_TARGET = 4095
"""Bytes of a symbolic link's target."""
AT_ONCE = 64
"""Entries of a directory that are asked for in one go."""


class MountOperations(pyfuse3.Operations):
    """One mounted tree."""

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(
        self, root: RemoteFile, signalled: Signalled, keep: float, patience: float = 0, *, others: bool = False
    ) -> None:
        """``signalled`` tells which readers need not be waited for any more; ``others`` that other users are let in.

        ``keep`` is how long names and attributes may be old, in seconds; ``patience`` is how long requests wait for
        another connection when one broke.
        """
        super().__init__()
        self.signalled = signalled
        self.patience = patience
        self._connection: Connection = root.connection
        self._back = trio.lowlevel.ParkingLot()
        self._nodes = Nodes(root)
        self._owners = Owners(several=others)
        self._longest_name: int | None = None
        self._keep = keep
        self._files: dict[int, OpenFile] = {}
        self._directories: dict[int, Listing] = {}
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
        self._owners.renew()
        for opened in list(self._files.values()):
            try:
                async with self._nodes.use(opened.node) as file:
                    opened.renew(await requests.opened(file, opened.flags))
            except (FileError, WireError) as error:
                if root.connection.lost is not None:
                    raise ConnectionLost(f"it broke again: {error}") from error
                opened.lose(FileRemoved(f"it could not be opened again: {error}"))
        self._connection = root.connection
        self._back.unpark_all()

    async def shed(self) -> bool:
        """Gives up fids that nobody uses; whether there were any."""
        return await self._nodes.shed()

    async def settle(self) -> None:
        """Waits for all writes under way, at the end. Raises nothing."""
        for file in list(self._files.values()):
            try:
                await file.settle()
            except (FileError, WireError):
                pass

    # Names and attributes.

    def _entry(self, node: KernelNode, found: Attributes) -> pyfuse3.EntryAttributes:
        node.qid = found.qid
        return entry_of(node, found, self._keep)

    async def _attributes(self, node: KernelNode) -> pyfuse3.EntryAttributes:
        await _settled(node)
        async with self._nodes.use(node) as file:
            return self._entry(node, await file.getattr())

    async def _known(self, parent: KernelNode, name: str, found: requests.Found) -> pyfuse3.EntryAttributes:
        """What the kernel is told of a file that was walked to. Writes under way count."""
        file, attributes = found
        node = await self._nodes.found(parent, name, file, attributes)
        if not any(opened.pending for opened in node.opened):
            return self._entry(node, attributes)
        try:
            return await self._attributes(node)
        except BaseException:
            await self._nodes.forget(node.inode, 1)
            raise

    async def _find(self, directory: RemoteFile, name: str) -> requests.Found:
        """The file called ``name``; fids that nobody uses are given up where the server has no more."""
        try:
            return await requests.find(directory, name)
        except FileError as error:
            if not is_shortage(error) or not await self.shed():
                raise
            return await requests.find(directory, name)

    async def _made(
        self, parent: KernelNode, directory: RemoteFile, name: str, ctx: Any, mode: int = 0
    ) -> pyfuse3.EntryAttributes:
        """What was just made, and is its maker's."""
        found = await self._owners.given(await self._find(directory, name), ctx, mode)
        return await self._known(parent, name, found)

    @answered
    async def lookup(self, parent_inode: int, name: bytes, ctx: Any) -> pyfuse3.EntryAttributes:
        parent = self._nodes[parent_inode]
        async with self._nodes.use(parent) as directory:
            try:
                found = await self._find(directory, os.fsdecode(name))
            except FileNotFound:
                if len(name) > USUAL_NAME and len(name) > await self._longest(directory):
                    raise NameTooLong from None
                raise
        return await self._known(parent, os.fsdecode(name), found)

    async def _longest(self, directory: RemoteFile) -> int:
        """Most bytes of a name, as the server says."""
        if self._longest_name is None:
            try:
                self._longest_name = (await directory.statfs()).namelen or USUAL_NAME
            except FunctionNotImplemented:
                self._longest_name = USUAL_NAME
        return self._longest_name

    @unanswered
    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        for inode, count in inode_list:
            await self._nodes.forget(inode, count)

    @answered
    async def getattr(self, inode: int, ctx: Any) -> pyfuse3.EntryAttributes:
        return await self._attributes(self._nodes[inode])

    @answered
    async def setattr(self, inode: int, attr: Any, fields: Any, fh: int | None, ctx: Any) -> pyfuse3.EntryAttributes:
        node = self._nodes[inode]
        await _settled(node)
        changes = SetAttributes(
            mode=unix.S_IMODE(attr.st_mode) if fields.update_mode else None,
            uid=attr.st_uid if fields.update_uid else None,
            gid=attr.st_gid if fields.update_gid else None,
            size=attr.st_size if fields.update_size else None,
            atime=attr.st_atime_ns if fields.update_atime else None,
            mtime=attr.st_mtime_ns if fields.update_mtime else None,
        )
        opened = self._files.get(fh) if fh is not None and fields.update_size else None
        async with self._nodes.use(node) as file:
            attributes = await requests.changed(file, file if opened is None else opened.file, changes)
        if fields.update_size:
            self._changed(node)
        return self._entry(node, attributes)

    @answered
    async def readlink(self, inode: int, ctx: Any) -> bytes:
        async with self._nodes.use(self._nodes[inode]) as file:
            target = os.fsencode(await file.readlink())
        if len(target) > LONGEST_TARGET:
            # The kernel would refuse the answer, and whoever asked would wait for ever.
            raise NameTooLong
        return target

    @answered
    async def mknod(self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: Any) -> pyfuse3.EntryAttributes:
        parent, called = self._nodes[parent_inode], os.fsdecode(name)
        async with self._nodes.use(parent) as directory:
            if unix.S_ISREG(mode):
                flags, rights = os.O_RDONLY | os.O_EXCL, self._owners.mode(mode, ctx)
                file, found = await requests.created(directory, called, flags, rights, ctx.gid, self._find)
                await file.leave()
                return await self._known(parent, called, await self._owners.given(found, ctx, mode))
            await directory.mknod(called, self._owners.mode(mode, ctx), rdev, ctx.gid)
            return await self._made(parent, directory, called, ctx, mode)

    @answered
    async def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: Any) -> pyfuse3.EntryAttributes:
        parent, called = self._nodes[parent_inode], os.fsdecode(name)
        async with self._nodes.use(parent) as directory:
            found = await requests.made(directory, called, self._owners.mode(mode, ctx), ctx.gid, self._find)
            return await self._known(parent, called, await self._owners.given(found, ctx, mode))

    @answered
    async def symlink(self, parent_inode: int, name: bytes, target: bytes, ctx: Any) -> pyfuse3.EntryAttributes:
        parent, called = self._nodes[parent_inode], os.fsdecode(name)
        async with self._nodes.use(parent) as directory:
            await directory.symlink(called, os.fsdecode(target), ctx.gid)
            return await self._made(parent, directory, called, ctx)

    @answered
    async def link(self, inode: int, new_parent_inode: int, new_name: bytes, ctx: Any) -> pyfuse3.EntryAttributes:
        parent, called = self._nodes[new_parent_inode], os.fsdecode(new_name)
        async with self._nodes.use(parent) as directory, self._nodes.use(self._nodes[inode]) as file:
            await directory.link(called, file)
            return await self._known(parent, called, await self._find(directory, called))

    @answered
    async def unlink(self, parent_inode: int, name: bytes, ctx: Any) -> None:
        parent, called = self._nodes[parent_inode], os.fsdecode(name)
        known = self._nodes.child(parent, called)
        if known is not None:
            await _settled(known)
        async with self._nodes.use(parent) as directory:
            await directory.unlinkat(called)
        await self._nodes.removed(parent, called)

    @answered
    async def rmdir(self, parent_inode: int, name: bytes, ctx: Any) -> None:
        parent, called = self._nodes[parent_inode], os.fsdecode(name)
        async with self._nodes.use(parent) as directory:
            await directory.unlinkat(called, directory=True)
        await self._nodes.removed(parent, called)

    @answered
    async def rename(
        self, parent_inode_old: int, name_old: bytes, parent_inode_new: int, name_new: bytes, flags: int, ctx: Any
    ) -> None:
        source, target = self._nodes[parent_inode_old], self._nodes[parent_inode_new]
        old, new = os.fsdecode(name_old), os.fsdecode(name_new)
        if flags & pyfuse3.RENAME_EXCHANGE:
            raise pyfuse3.FUSEError(errno.EINVAL)
        async with self._nodes.use(source) as from_directory, self._nodes.use(target) as to_directory:
            if flags & pyfuse3.RENAME_NOREPLACE:
                try:
                    await (await to_directory.walk([new])).leave()
                except FileNotFound:
                    pass
                else:
                    raise pyfuse3.FUSEError(errno.EEXIST)
            await requests.moved(from_directory, old, to_directory, new)
        await self._nodes.moved(source, old, target, new)

    # Directories.

    @answered
    async def opendir(self, inode: int, ctx: Any) -> int:
        listing = Listing(self._nodes[inode], self._nodes.use)
        await listing.open()
        return self._handle(self._directories, listing)

    @answered_at_last
    async def readdir(self, fh: int, start_id: int, token: Any) -> None:
        listing = self._directories[fh]
        taken = start_id
        try:
            while found := await self._batch(listing, taken):
                for at, (listed, one) in enumerate(found):
                    entry = await self._listed(listing.node, listed, one)
                    taken += 1
                    if entry is None or pyfuse3.readdir_reply(token, os.fsencode(listed.name), entry, taken):
                        continue
                    await self._nodes.forget(entry.st_ino, 1)
                    for _, rest in found[at + 1 :]:
                        if not isinstance(rest, FileError):
                            await rest[0].leave()
                    return
        except (pyfuse3.FUSEError, WireError):
            # What the kernel has been given counts; it will ask for the rest, and then hear the reason.
            if taken == start_id:
                raise

    @answered
    async def _batch(self, listing: Listing, start: int) -> list[tuple[Listed, requests.Found | FileError]]:
        names = await listing.names(start, AT_ONCE)
        if not names:
            return []
        async with self._nodes.use(listing.node) as directory:
            return list(zip(names, await requests.find_all(directory, [one.name for one in names]), strict=True))

    async def _listed(
        self, parent: KernelNode, listed: Listed, found: requests.Found | FileError
    ) -> pyfuse3.EntryAttributes | None:
        """An entry of a directory; None where it has gone meanwhile."""
        if isinstance(found, FileNotFound | FileRemoved):
            return None
        try:
            if isinstance(found, FileError):
                raise found
            return await self._known(parent, listed.name, found)
        except FileError as error:
            if is_shortage(error) and await self.shed():
                async with self._nodes.use(parent) as directory:
                    found = (await requests.find_all(directory, [listed.name]))[0]
                if not isinstance(found, FileError):
                    return await self._known(parent, listed.name, found)
            return unreachable_entry(self._nodes.listed(parent, listed.name, listed.qid))

    @answered
    async def releasedir(self, fh: int) -> None:
        listing = self._directories.pop(fh, None)
        if listing is not None:
            await listing.close()

    @answered
    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        async with self._nodes.use(self._directories[fh].node) as file:
            await requests.synced(file, data_only=datasync)

    # Content.

    def _handle(self, table: dict[int, Any], value: Any) -> int:
        self._handles += 1
        table[self._handles] = value
        return self._handles

    def _opened(
        self, node: KernelNode, file: RemoteFile, flags: int, *, streams: bool = False, opener: int = 0
    ) -> pyfuse3.FileInfo:
        opened = OpenFile(node, file, flags, self.connected, streams=streams, opener=opener)
        same = node.kept is not None and node.kept == file.qid.version and file.qid.version != 0
        node.kept = file.qid.version
        return pyfuse3.FileInfo(
            fh=self._handle(self._files, opened), direct_io=streams, keep_cache=same and not streams
        )

    @answered
    async def open(self, inode: int, flags: int, ctx: Any) -> pyfuse3.FileInfo:
        node = self._nodes[inode]
        for opened in list(node.opened):
            await opened.settle()
        async with self._nodes.use(node) as file:
            opened_file = await requests.opened(file, flags)
            if flags & os.O_TRUNC:
                self._changed(node)
            # A file of no length and no version has no content of its own: a device, a control file, a stream.
            streams = flags & os.O_ACCMODE == os.O_RDONLY and not opened_file.qid.version
            try:
                if streams and (await file.getattr()).size:
                    streams = False
            except BaseException:
                await opened_file.leave()
                raise
        return self._opened(node, opened_file, flags, streams=streams, opener=ctx.pid)

    @answered
    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: Any
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        parent, called = self._nodes[parent_inode], os.fsdecode(name)
        async with self._nodes.use(parent) as directory:
            rights = self._owners.mode(mode, ctx)
            file, found = await requests.created(directory, called, flags, rights, ctx.gid, self._find)
        try:
            entry = await self._known(parent, called, await self._owners.given(found, ctx, mode))
        except BaseException:
            await file.leave()
            raise
        return self._opened(self._nodes[entry.st_ino], file, flags), entry

    @answered_at_last
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

    @answered
    async def _read(self, opened: OpenFile, off: int, size: int) -> bytes:
        await _settled(opened.node)
        return await opened.read(off, size)

    @answered
    async def _follow(self, opened: OpenFile, off: int, size: int) -> bytes:
        return await opened.follow(off, size)

    @answered
    async def _alive(self) -> None:
        await (await self._nodes.file(self._nodes.root)).getattr()

    @answered
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        opened = self._files[fh]
        await opened.write(off, bytes(buf))
        self._changed(opened.node)
        return len(buf)

    def _changed(self, node: KernelNode) -> None:
        for opened in node.opened:
            opened.forget()

    @answered
    async def flush(self, fh: int) -> None:
        await self._files[fh].settle()

    @answered
    async def fsync(self, fh: int, datasync: bool) -> None:
        opened = self._files[fh]
        await opened.settle()
        await requests.synced(opened.file, data_only=datasync)

    @unanswered
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

    @answered
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

    @answered
    async def listxattr(self, inode: int, ctx: Any) -> Sequence[bytes]:
        async with self._nodes.use(self._nodes[inode]) as file:
            return [os.fsencode(name) for name in await file.listxattr()]

    @answered
    async def getxattr(self, inode: int, name: bytes, ctx: Any) -> bytes:
        async with self._nodes.use(self._nodes[inode]) as file:
            return await file.getxattr(os.fsdecode(name))

    @answered
    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: Any) -> None:
        async with self._nodes.use(self._nodes[inode]) as file:
            await file.setxattr(os.fsdecode(name), value)

    @answered
    async def removexattr(self, inode: int, name: bytes, ctx: Any) -> None:
        async with self._nodes.use(self._nodes[inode]) as file:
            await file.removexattr(os.fsdecode(name))


async def _settled(node: KernelNode) -> None:
    """Waits for the writes under way to a file, through whichever opening."""
    for opened in list(node.opened):
        if opened.pending:
            await opened.settle()
