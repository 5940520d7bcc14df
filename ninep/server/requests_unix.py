"""The requests of 9P2000 as 9P2000.u has them: with numbers, special files, and the rules of Unix.

A mode is taken as it is, for the client has allowed for its umask; a rename replaces what is there.
"""

from __future__ import annotations

from collections.abc import Sequence

from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.attributes import SECOND, SetAttributes, device, unix_mode
from ninep.protocol.errors import IllegalMode, InvalidArgument, PermissionDenied, UnknownFid
from ninep.protocol.ids import Ids
from ninep.protocol.stat import NO32, NO64, Stat
from ninep.server.clunk import left
from ninep.server.conversation import directory, standing, unopened
from ninep.server.directory import DirectoryReader
from ninep.server.fids import Fid
from ninep.server.files import File
from ninep.server.requests_plan9 import Plan9Requests
from ninep.wire.dialect import Maybe
from ninep.wire.maybe import arrived, then

SPECIAL = st.UNIX_KINDS | st.DMLINK
ONLY_PLAN9 = st.DMAPPEND | st.DMEXCL | st.DMTMP


class UnixRequests(Plan9Requests):
    """Answers them, for one connection that speaks 9P2000.u."""

    def reader(self, file: File) -> DirectoryReader:
        def entries(rewind: bool) -> Maybe[Sequence[bytes]]:
            return then(file.list(rewind), lambda found: [numbered(stat, file.ids).pack_unix() for stat in found])

        return DirectoryReader(entries)

    def told(self, file: File, stat: Stat) -> m.Reply:
        return m.Rstat(numbered(stat, file.ids))

    def meant(self, file: File, mode: int) -> int:
        return mode if file.appends else mode & ~m.OAPPEND

    def do_create(self, fid: Fid, request: m.Tcreate) -> Maybe[m.Reply]:
        if not request.perm & (SPECIAL | st.DMDIR):
            return super().do_create(fid, request)
        unopened(fid)
        file = directory(fid)
        self._talk.check_name(file, request.name)
        if request.perm & st.DMLINK:
            other = self._fids[_number(request.extension)]
            return Fid.run_both(fid, other, self._create_special, fid, file, request, other)
        return self._create_special(fid, file, request, None)

    def make(self, file: File, name: str, perm: int, mode: int) -> Maybe[File]:
        if perm & ONLY_PLAN9:
            return file.create(name, perm, mode)
        return file.lcreate(name, unix_mode(perm) & 0o7777, mode, None)

    async def _create_special(self, fid: Fid, file: File, request: m.Tcreate, other: Fid | None) -> m.Reply:
        """Makes what is not a plain file; the fid then is the new file, open, but only a directory can be read."""
        name, perm, extension = request.name, request.perm, request.extension
        if other is not None:
            await arrived(file.link(name, standing(other)))
        elif perm & st.DMDIR:
            await arrived(file.mkdir(name, unix_mode(perm) & 0o7777, None))
        elif perm & st.DMSYMLINK:
            await arrived(file.symlink(name, extension, None))
        else:
            await arrived(file.mknod(name, unix_mode(perm, extension), _device(perm, extension), None))
        made = await arrived(file.step(name))
        try:
            if perm & st.DMDIR:
                await arrived(made.open(m.OREAD))
                fid.open(made, m.OREAD, self._talk.most, self.reader(made))
            else:
                fid.occupy(made)
        except PermissionDenied:
            # A directory that even its maker may not read is made all the same.
            fid.occupy(made)
        await arrived(left(file))
        return m.Rcreate(made.qid, min(made.iounit, self._talk.most))

    def change(self, file: File, changes: Stat) -> Maybe[None]:
        mode = changes.mode
        plain = changes._replace(muid="", extension="", n_uid=NO32, n_gid=NO32, n_muid=NO32)
        numbers = changes.n_uid != NO32 or changes.n_gid != NO32
        if plain.touches_nothing and not numbers:
            return file.fsync(False)
        if plain == Stat(name=plain.name):
            if not numbers:
                return file.replace(plain.name)
        elif plain != Stat(mode=mode, atime=plain.atime, mtime=plain.mtime, length=plain.length) or (
            mode != NO32 and mode & ONLY_PLAN9
        ):
            return file.wstat(plain)
        if mode == NO32:
            return file.setattr(_settings(changes))
        return then(file.stat(), lambda stat: _set(file, changes, stat))


def _set(file: File, changes: Stat, current: Stat) -> Maybe[None]:
    if (changes.mode ^ current.mode) & st.DMDIR:
        raise IllegalMode
    return file.setattr(_settings(changes))


def _settings(changes: Stat) -> SetAttributes:
    return SetAttributes(
        None if changes.mode == NO32 else unix_mode(changes.mode) & 0o7777,
        None if changes.n_uid == NO32 else changes.n_uid,
        None if changes.n_gid == NO32 else changes.n_gid,
        None if changes.length == NO64 else changes.length,
        None if changes.atime == NO32 else changes.atime * SECOND,
        None if changes.mtime == NO32 else changes.mtime * SECOND,
    )


def numbered(stat: Stat, ids: Ids) -> Stat:
    """A directory entry with the numbers of those that it names, where it does not have them."""
    return stat._replace(
        n_uid=ids.uid(stat.uid) if stat.n_uid == NO32 else stat.n_uid,
        n_gid=ids.gid(stat.gid) if stat.n_gid == NO32 else stat.n_gid,
        n_muid=ids.uid(stat.muid) if stat.n_muid == NO32 else stat.n_muid,
    )


def _number(extension: str) -> int:
    """The fid that a hard link is made to; Linux puts a newline after it."""
    text = extension.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise UnknownFid
    return int(text)


def _device(perm: int, extension: str) -> int:
    if not perm & st.DMDEVICE:
        return 0
    try:
        kind, major, minor = extension.split()
        if kind not in "bc" or not 0 <= int(major) < 4096 or not 0 <= int(minor) < 1 << 20:
            raise ValueError(extension)
    except ValueError as error:
        raise InvalidArgument from error
    return device(int(major), int(minor))
