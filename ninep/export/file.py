"""The operations of 9P2000.u and 9P2000.L on a file of an exported directory."""

from __future__ import annotations

import os
import stat as unix
from collections.abc import Sequence

from ninep.export.acting import AS_OURSELVES
from ninep.export.contents import closed, huge, synced
from ninep.export.descriptors import MAKING, check_room
from ninep.export.place import Place
from ninep.export.view import CREATE, ExportView, flags_of, regroup, synced_place
from ninep.protocol.attributes import Attributes, SetAttributes, Statfs
from ninep.protocol.errors import IsDirectory, NotPermitted
from ninep.protocol.ids import Ids
from ninep.protocol.qid import Qid
from ninep.protocol.stat import NO64
from ninep.server.files import File
from ninep.wire.dialect import Buffer, Maybe


class ExportFile(ExportView):
    """One fid's view of a place."""

    __slots__ = ()

    @property
    def ids(self) -> Ids:
        """Users and groups of this machine."""
        return self._tree.ids

    def getattr(self, mask: int) -> Maybe[Attributes]:
        """All of them."""
        return self._tree.attributes(self._place.refresh())

    def setattr(self, changes: SetAttributes) -> Maybe[None]:
        """What cannot fail any more comes last, as far as that can be known."""
        self._writable_tree()
        place = self._place
        with self._acting:
            if changes.size is not None:
                self._cut(changes.size)
            if changes.uid is not None or changes.gid is not None:
                os.chown(place.proc, _or(changes.uid, -1), _or(changes.gid, -1))
            if changes.mode is not None:
                os.chmod(place.proc, changes.mode & 0o7777)
            if changes.atime_now and changes.mtime_now:
                os.utime(place.proc)
            elif changes.atime is not None or changes.mtime is not None:
                old = place.refresh()
                times = _or(changes.atime, old.st_atime_ns), _or(changes.mtime, old.st_mtime_ns)
                os.utime(place.proc, ns=times)
        return None

    def _cut(self, size: int) -> None:
        if self._place.is_directory:
            raise IsDirectory
        if self._writable:
            os.ftruncate(self._descriptor, size)
        else:
            os.truncate(self._place.proc, size)

    def lcreate(self, name: str, perm: int, mode: int, gid: int | None) -> Maybe[File]:
        """A plain file with the permissions that are asked for."""
        self._writable_tree()
        directory = self._place
        with self._acting:
            check_room(directory.descriptor, MAKING)
            descriptor = os.open(name, CREATE | flags_of(mode), perm & 0o7777, dir_fd=directory.descriptor)
            return self._made(name, descriptor, mode, perm & 0o7777, gid)

    def mkdir(self, name: str, perm: int, gid: int | None) -> Maybe[Qid]:
        """A directory; in one with the set-group bit it gets that as well."""
        self._writable_tree()
        directory = self._place
        with self._acting:
            check_room(directory.descriptor, MAKING)
            os.mkdir(name, perm & 0o7777, dir_fd=directory.descriptor)
            return self._settled(name, perm & 0o7777, gid)

    def mknod(self, name: str, mode: int, rdev: int, gid: int | None) -> Maybe[Qid]:
        """A file of any kind; devices where the kernel lets the user make them."""
        self._writable_tree()
        with self._acting:
            check_room(self._place.descriptor, MAKING)
            os.mknod(name, mode, rdev, dir_fd=self._place.descriptor)
            return self._settled(name, mode & 0o7777, gid)

    def symlink(self, name: str, target: str, gid: int | None) -> Maybe[Qid]:
        """A link, wherever it leads: nothing is followed here."""
        self._writable_tree()
        with self._acting:
            check_room(self._place.descriptor, MAKING)
            os.symlink(target, name, dir_fd=self._place.descriptor)
            return self._settled(name, None, gid)

    def _settled(self, name: str, mode: int | None, gid: int | None) -> Qid:
        """Gives what was made the mode that the umask of this process withheld, and the group that the client has."""
        place = self._place.step(name)
        try:
            status = place.status
            regroup(place, gid, inherits=bool(self._place.refresh().st_mode & unix.S_ISGID))
            if mode is not None and status.st_mode & mode != mode:
                os.chmod(place.proc, unix.S_IMODE(status.st_mode) | mode)
            return self._tree.qid(place.refresh())
        finally:
            place.drop()

    def link(self, name: str, file: File) -> Maybe[None]:
        """Another name."""
        self._writable_tree()
        if not isinstance(file, ExportFile) or file._tree is not self._tree:
            raise NotPermitted
        place = file._place
        with self._acting:
            if place.refresh().st_nlink and not place.is_directory:
                # The file itself, also where the name that it was found by is gone and another one is left.
                os.link(place.proc, name, dst_dir_fd=self._place.descriptor, follow_symlinks=True)
                return None
            place.check()
            os.link(
                place.name,
                name,
                src_dir_fd=place.parent.descriptor,
                dst_dir_fd=self._place.descriptor,
                follow_symlinks=False,
            )
        return None

    def rename(self, directory: File, name: str) -> Maybe[None]:
        """Moves the name; a file that is there is replaced in one step."""
        self._writable_tree()
        if not isinstance(directory, ExportFile) or directory._tree is not self._tree:
            raise NotPermitted
        place = self._place
        if place.is_root:
            raise NotPermitted
        with self._acting:
            place.check()
            return self._move(place.parent, place.name, directory._place, name)

    def replace(self, name: str) -> Maybe[None]:
        """Renames within the directory."""
        self._writable_tree()
        place = self._place
        if place.is_root:
            raise NotPermitted
        with self._acting:
            place.check()
            return self._move(place.parent, place.name, place.parent, name)

    def renameat(self, name: str, directory: File, newname: str) -> Maybe[None]:
        """Moves what is called ``name``."""
        self._writable_tree()
        if not isinstance(directory, ExportFile) or directory._tree is not self._tree:
            raise NotPermitted
        with self._acting:
            return self._move(self._place, name, directory._place, newname)

    def _move(self, source: Place, name: str, target: Place, newname: str) -> Maybe[None]:
        replaced = _status(target, newname)
        moved = source.child(name)
        spare = _held(target, newname, replaced)
        try:
            os.rename(name, newname, src_dir_fd=source.descriptor, dst_dir_fd=target.descriptor)
        except BaseException:
            if spare is not None:
                os.close(spare)
            raise
        # Of two names of one file rename(2) leaves both.
        if replaced is None or moved is None or moved.key != (replaced.st_dev, replaced.st_ino):
            if replaced is not None:
                self._forget(replaced)
            if moved is not None:
                moved.moved(target, newname)
            elif there := target.child(newname):
                there.gone()
        return None if spare is None else closed(spare)

    def _forget(self, status: os.stat_result) -> None:
        if status.st_nlink <= 1 or unix.S_ISDIR(status.st_mode):
            self._tree.forget((status.st_dev, status.st_ino))

    def unlinkat(self, name: str, directory: bool) -> Maybe[None]:
        """Removes a name; whoever has the file open keeps it."""
        self._writable_tree()
        place = self._place
        with self._acting:
            status = _status(place, name)
            spare = _held(place, name, status)
            try:
                if directory:
                    os.rmdir(name, dir_fd=place.descriptor)
                else:
                    os.unlink(name, dir_fd=place.descriptor)
            except BaseException:
                if spare is not None:
                    os.close(spare)
                raise
            if status is not None:
                self._forget(status)
            if there := place.child(name):
                there.gone()
        return None if spare is None else closed(spare)

    def fsync(self, data_only: bool) -> Maybe[None]:
        """Waits for the disk, in a thread."""
        if self._descriptor >= 0:
            return synced(self._descriptor, data_only=data_only)
        return synced_place(self._place)

    def statfs(self) -> Maybe[Statfs]:
        """The room of the file system here."""
        with AS_OURSELVES:
            found = os.fstatvfs(self._place.descriptor)
        return Statfs(
            bsize=found.f_frsize,
            blocks=found.f_blocks,
            bfree=found.f_bfree,
            bavail=found.f_bavail,
            files=found.f_files,
            ffree=found.f_ffree,
            fsid=found.f_fsid & NO64,
            namelen=found.f_namemax,
        )

    def listxattr(self) -> Maybe[Sequence[str]]:
        """Their names."""
        with self._acting:
            return os.listxattr(self._place.proc)

    def getxattr(self, name: str) -> Maybe[Buffer]:
        """A value."""
        with self._acting:
            return os.getxattr(self._place.proc, name)

    def setxattr(self, name: str, value: bytes, flags: int) -> Maybe[None]:
        """Sets one; which, the kernel decides."""
        self._writable_tree()
        with self._acting:
            os.setxattr(self._place.proc, name, value, flags)
        return None

    def removexattr(self, name: str) -> Maybe[None]:
        """Removes one."""
        self._writable_tree()
        with self._acting:
            os.removexattr(self._place.proc, name)
        return None


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _status(directory: Place, name: str) -> os.stat_result | None:
    try:
        return os.lstat(name, dir_fd=directory.descriptor)
    except FileNotFoundError:
        return None


def _held(directory: Place, name: str, status: os.stat_result | None) -> int | None:
    """What keeps a huge file until it is ``closed``: its name can then be taken away at once."""
    if status is None or not huge(status):
        return None
    return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory.descriptor)
