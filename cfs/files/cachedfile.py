"""One fid's view of a file through the cache; ``proxy`` says what is kept and what is asked."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from cfs.disk.layout import Version
from cfs.files.ahead import Ahead
from cfs.files.cache import Arrival, Cache
from cfs.files.reader import Reader
from cfs.files.unixside import UnixSide, is_told
from cfs.known.knowledge import MOST_ENTRIES, Followed, Knowledge, Names, resolved
from cfs.upstream.handle import Handle
from cfs.upstream.openfile import Opened, open_with_stat
from ninep.client.remote import RemoteFile
from ninep.net.errors import Malformed
from ninep.protocol import messages as m
from ninep.protocol.attributes import SetAttributes, unix_mode
from ninep.protocol.errors import FileNotFound, InputOutput
from ninep.protocol.ids import Ids
from ninep.protocol.messages import OREAD, OTRUNC
from ninep.protocol.permissions import readable, writable
from ninep.protocol.qid import QTDIR, Qid
from ninep.protocol.stat import DMSETGID, DMSETUID, DMSETVTX, NO32, NO64, Stat, unpack_directory
from ninep.server.files import File, Walked
from ninep.wire.dialect import Buffer, Maybe
from ninep.wire.maybe import then

HARMLESS = frozenset((m.OREAD, m.OWRITE, m.ORDWR, m.OEXEC))
"""Modes in which opening twice is the same as opening once."""
UNIX_BITS = DMSETUID | DMSETGID | DMSETVTX
FIRST_READ = 64 * 1024
"""Bytes that are read together with the open of what is known to be a plain file, if nothing is held of it."""
ENTRIES = 512
"""Directory entries handed out at once where all are known."""


class CachedFile(UnixSide):
    """See ``File``."""

    qid: Qid
    iounit: int = 0
    ids: Ids
    odd_names = True

    def __init__(self, cache: Cache, handle: Handle, knowledge: Knowledge, ahead: Ahead | None = None) -> None:
        """``ahead`` is told what is opened."""
        self._cache = cache
        self._handle = handle
        self._knowledge = knowledge
        self._ahead = ahead
        self.ids = cache.ids
        self._reader: Reader | None = None
        self._written = False
        self._entries: list[Stat] | None = None
        self._place = 0
        self._size = 0
        self._read_by: RemoteFile | None = None
        self._era = 0
        self.qid = handle.qid

    def _another(self, handle: Handle) -> CachedFile:
        return CachedFile(self._cache, handle, self._knowledge, self._ahead)

    def _known(self) -> Knowledge | None:
        """What may be answered from, if anything may: the file server has not been gone for too long."""
        return self._knowledge if self._handle.upstream.may_read else None

    # Walking

    def clone(self) -> Maybe[File]:
        """Another fid at the file server, where one will be needed."""
        self._cache.counts.asked["Twalk"] += 1
        handle = self._handle
        known = self._known()
        if handle.live is None and known is not None and known.note(handle.names) is not None:
            return self._another(handle.at(handle.names, handle.qid, None))
        return self._cloned()

    async def _cloned(self) -> File:
        handle = self._handle
        remote = await handle.do(m.Twalk, lambda remote: remote.walk(()))
        return self._another(handle.at(handle.names, handle.qid, remote))

    def walk(self, names: Sequence[str]) -> Maybe[Walked]:
        """By what is known, else one walk at the file server."""
        self._cache.counts.asked["Twalk"] += 1
        known = self._known()
        if known is not None:
            root = known.unseen(self._handle.names, names)
            if root is not None:
                return self._walk_to_look(known, root, names)
            followed = known.follow(self._handle.names, names)
            if followed is not None:
                return self._walked(followed, names)
            if self._ahead is not None:
                coming = self._ahead.coming(resolved(self._handle.names, names))
                if coming is not None:
                    return self._walk_when_here(known, coming, names)
        return self._walk_far(names)

    async def _walk_when_here(self, known: Knowledge, coming: Arrival, names: Sequence[str]) -> Walked:
        """Waits for what is on its way already."""
        await coming.wait()
        followed = known.follow(self._handle.names, names)
        if followed is not None:
            return self._walked(followed, names)
        return await self._walk_far(names)

    def step(self, name: str) -> Maybe[File]:
        """A walk of one name."""
        return then(self.walk((name,)), _end_of)

    def _walked(self, followed: Followed, names: Sequence[str]) -> Walked:
        self._cache.counts.values["nlocalwalk"] += 1
        qids, arrived = followed
        if arrived:
            place = resolved(self._handle.names, names)
            return Walked(qids, self._another(self._handle.at(place, qids[-1], None)))
        if not qids:
            raise FileNotFound
        return Walked(qids, None)

    async def _walk_to_look(self, known: Knowledge, root: Names, names: Sequence[str]) -> Walked:
        """Looks at the root of a tree that cannot change first: whether it is the one that is remembered."""
        if await self._handle.look(known, root):
            followed = known.follow(self._handle.names, names)
            if followed is not None:
                return self._walked(followed, names)
        return await self._walk_far(names)

    async def _walk_far(self, names: Sequence[str]) -> Walked:
        handle, knowledge = self._handle, self._knowledge
        era = knowledge.era
        try:
            qids, remote = await handle.do(m.Twalk, lambda remote: remote.walk_far(names))
        except FileNotFound:
            knowledge.saw_missing(handle.names, handle.qid, names[0], era)
            raise
        knowledge.saw_walk(handle.names, handle.qid, names, qids, era)
        if remote is None:
            return Walked(qids, None)
        return Walked(qids, self._another(handle.at(resolved(handle.names, names), remote.qid, remote)))

    # Opening

    def open(self, mode: int) -> Maybe[None]:
        """By what is known, else at the file server; learns in the same go what version it is that will be read."""
        self._cache.counts.asked["Topen"] += 1
        if mode == OREAD and (known := self._known()) is not None and self._open_here(known):
            self._cache.counts.values["nlocalopen"] += 1
            self._handle.mode = mode
            if self._ahead is not None:
                self._ahead.opened(self._handle.names, directory=bool(self.qid.type))
            return None
        if mode == OREAD and self._ahead is not None and not self.qid.type & ~QTDIR:
            return self._open_followed(self._ahead, mode)
        return self._open_far(mode)

    async def _open_followed(self, ahead: Ahead, mode: int) -> None:
        ahead.opening += 1
        try:
            await self._open_far(mode)
            ahead.opened(self._handle.names, directory=bool(self.qid.type))
        finally:
            ahead.opening -= 1

    def _open_here(self, known: Knowledge) -> bool:
        """Opens without asking, if it is known that the user may, and what it is that he opens."""
        handle = self._handle
        note = known.note(handle.names)
        if note is None or not note.opened or note.qid.path != self.qid.path:
            return False
        if note.qid.type == QTDIR:
            return note.entries is not None
        stat = known.stat(handle.names)
        if note.qid.type or stat is None or stat.qid != note.qid or not self._keeps(stat):
            return False
        self.qid = handle.qid = stat.qid
        self._read_through(stat)
        return True

    async def _open_far(self, mode: int) -> None:
        handle, knowledge = self._handle, self._knowledge
        era = knowledge.era
        whole = not handle.qid.type and readable(mode) and not mode & OTRUNC
        if mode & OTRUNC:
            self._forget()

        tree = knowledge.tree(handle.names) or handle.aname
        size = min(FIRST_READ, knowledge.likely_length(handle.qid.path)) if whole and mode == OREAD else 0
        if size and self._cache.store.holds(tree, handle.qid.path):
            size = 0

        async def opened(remote: RemoteFile) -> Opened:
            stat = first = None
            if not whole:
                await remote.open(mode)
            else:
                count = min(size, remote.iounit) if remote.connection.in_order else 0
                stat, call = await open_with_stat(remote, mode, count)
                first = None if call is None else (remote, count, call)
            return Opened(remote.qid, remote.iounit, stat, first)

        qid, iounit, stat, first = await handle.do(m.Topen, opened, repeat=mode in HARMLESS)
        if mode == OREAD:
            knowledge.saw_open(handle.names, qid, era)
        if stat is not None:
            knowledge.saw_stat(handle.names, stat, era)
            if self._keeps(stat):
                reader = self._read_through(stat)
                if first is not None:
                    remote, count, call = first
                    reader.expect(min(count, stat.length), remote, call)
        if mode & OTRUNC:
            self._forget()
        self._opened(qid, iounit, mode)

    def _keeps(self, stat: Stat) -> bool:
        """Whether the bytes of a plain file are kept."""
        return bool(stat.length and stat.qid.version) or self._knowledge.tree(self._handle.names) is not None

    def _read_through(self, stat: Stat) -> Reader:
        handle, cache = self._handle, self._cache
        tree = self._knowledge.tree(handle.names) or handle.aname
        held = cache.store.file(tree, stat.qid.path, _version(stat), pin=cache.pins.of(handle.aname, handle.names))
        reader = self._reader = Reader(cache, held, handle)
        handle.verify = self._verify
        return reader

    def _verify(self, stat: Stat) -> None:
        """The link was lost, and the file opened anew: is it still the version that is being read?"""
        reader = self._reader
        if reader is not None and reader.held.version != _version(stat):
            self._cache.store.drop(reader.held.tree, reader.held.path)

    def _opened(self, qid: Qid, iounit: int, mode: int) -> None:
        self.qid = self._handle.qid = qid
        self._handle.mode = mode
        self._written = writable(mode)
        # What is read through the cache may come in larger pieces than the file server's.
        self.iounit = 0 if self._reader is not None or qid.type & QTDIR else iounit

    async def create(self, name: str, perm: int, mode: int) -> File:
        """Creates at the file server; the fid of this directory becomes that of the new file."""
        self._cache.counts.asked["Tcreate"] += 1
        handle = self._handle
        self._cache.memory.changed()

        async def created(remote: RemoteFile) -> RemoteFile:
            await remote.create(name, perm, mode)
            return remote

        try:
            remote = await handle.do(m.Tcreate, created, repeat=False)
        finally:
            self._cache.memory.changed()
        handle.part()
        made = self._another(handle.at((*handle.names, name), remote.qid, remote))
        made._opened(remote.qid, remote.iounit, mode)
        return made

    # Reading and writing

    def read(self, offset: int, count: int) -> Maybe[Buffer]:
        """From the cache as far as it goes, past it where the file is not kept."""
        counts = self._cache.counts
        counts.asked["Tread"] += 1
        reader = self._reader
        if reader is None or reader.held.dead or not self._handle.upstream.may_read:
            return self._read_past(offset, count)
        end = min(offset + count, reader.held.version.length)
        if offset >= end:
            return b""
        counts.values["bytesread"] += end - offset
        return reader.read(offset, end)

    def _read_past(self, offset: int, count: int) -> Coroutine[Any, Any, Buffer]:
        handle, values = self._handle, self._cache.counts.values
        values["ndelegateread"] += 1
        first = handle.repeat(lambda remote: m.Tread(remote.fid, offset, min(count, remote.iounit)))

        async def read() -> Buffer:
            data: Buffer = (await first).data
            remote = handle.live
            unit = remote.iounit if remote is not None else len(data)
            if len(data) >= unit and count > unit and self._reader is not None:
                # A file that was kept has promised its client larger pieces.
                at = offset + len(data)
                more = await handle.do(m.Tread, lambda remote: remote.read_range(at, offset + count - at))
                data = b"".join((data, more))
            values["bytesread"] += len(data)
            values["bytesfromserver"] += len(data)
            return data

        return read()

    def write(self, offset: int, data: Buffer) -> Coroutine[Any, Any, int]:
        """Writes at the file server. What is held of the file is of no use from then on."""
        counts = self._cache.counts
        counts.asked["Twrite"] += 1
        handle = self._handle
        self._forget()
        view = memoryview(data)
        unit = 0

        def message(remote: RemoteFile) -> m.Request:
            nonlocal unit
            unit = remote.iounit
            return m.Twrite(remote.fid, offset, view[:unit])

        first = handle.once(message)

        async def write() -> int:
            try:
                count: int = (await first).count
                if count < len(view) and count == unit and not self.qid.type:
                    rest = view[count:]
                    await handle.do(m.Twrite, lambda remote: remote.write_range(offset + count, rest), repeat=False)
                    count = len(view)
                counts.values["byteswritten"] += count
                return count
            finally:
                # Somebody may have opened the file while the write was under way.
                self._forget()

        return write()

    def list(self, rewind: bool) -> Maybe[Sequence[Stat]]:
        """What is known, else one read of the directory."""
        if rewind:
            self._entries = None
            known = self._known()
            note = known.note(self._handle.names) if known is not None else None
            if note is not None and note.opened and note.entries is not None:
                self._cache.counts.values["nlocaldir"] += 1
                self._entries = list(note.entries.values())
                self._place = 0
        if self._entries is not None:
            place, self._place = self._place, self._place + ENTRIES
            return self._entries[place : self._place]
        return self._list_far(rewind)

    async def _list_far(self, rewind: bool) -> Sequence[Stat]:
        handle, knowledge = self._handle, self._knowledge
        if rewind:
            self._place = self._size = 0
            self._era = knowledge.era
            self._found: list[Stat] = []
        place = self._place

        async def piece(remote: RemoteFile) -> Buffer:
            if place and remote is not self._read_by:
                await self._skip(remote, place)
            self._read_by = remote
            return await remote.read(place, remote.iounit)

        data = await handle.do(m.Tread, piece)
        self._place += len(data)
        self._size += len(data)
        values = self._cache.counts.values
        values["ndirread"] += 1
        values["bytesfromdirs"] += len(data)
        try:
            found = unpack_directory(data)
        except Malformed as error:
            raise InputOutput(f"the file server sent a malformed directory: {error}") from error
        found = [*await self.told_all(found)]
        knowledge.saw_lengths(found)
        if self._size > MOST_ENTRIES or not knowledge.remembers(handle.names):
            return found
        self._found += found
        if not found:
            knowledge.saw_entries(handle.names, handle.qid, self._found, self._era)
            if self._ahead is not None:
                self._ahead.listed(handle.names)
        return found

    async def _skip(self, remote: RemoteFile, place: int) -> None:
        """Comes to where the listing was when the link broke, if the directory is as it was."""
        at = 0
        while at < place and remote.qid.version == self.qid.version:
            data = await remote.read(at, remote.iounit)
            if not data:
                break
            at += len(data)
        if at != place:
            raise InputOutput

    # Attributes

    def stat(self) -> Maybe[Stat]:
        """What is known, else the file server's word."""
        self._cache.counts.asked["Tstat"] += 1
        known = self._known()
        found = known.stat(self._handle.names) if known is not None else None
        if found is not None and found.qid.path == self.qid.path and is_told(found):
            self._cache.counts.values["nlocalstat"] += 1
            return found
        return self._stat_far()

    def _stat_far(self) -> Coroutine[Any, Any, Stat]:
        handle, knowledge = self._handle, self._knowledge
        era = knowledge.era
        reply = handle.repeat(lambda remote: m.Tstat(remote.fid))

        async def stat() -> Stat:
            found: Stat = await self.told((await reply).stat)
            # If the file has changed, an open one is not read from the cache any more.
            if self._reader is not None and self._reader.held.version != _version(found):
                self._forget()
            knowledge.saw_stat(handle.names, found, era)
            return found

        return stat()

    async def wstat(self, changes: Stat) -> None:
        """Changes at the file server. A length may change there without a new version."""
        self._cache.counts.asked["Twstat"] += 1
        handle = self._handle
        if changes.mode != NO32 and changes.mode & UNIX_BITS:
            await self.setattr(SetAttributes(mode=unix_mode(changes.mode) & 0o7777))
            changes = changes._replace(mode=NO32)
            if changes.touches_nothing:
                return
        if changes.length != NO64:
            self._forget()
        if not changes.touches_nothing:
            self._cache.memory.changed()
        try:
            await handle.do(m.Twstat, lambda remote: remote.wstat(changes), repeat=False)
        finally:
            if changes.length != NO64:
                self._forget()
            if not changes.touches_nothing:
                self._cache.memory.changed()
        if changes.name and handle.names:
            self._cache.renamed(handle.aname, handle.names, (*handle.names[:-1], changes.name))

    # The end

    async def remove(self) -> None:
        """Removes at the file server."""
        self._cache.counts.asked["Tremove"] += 1
        self._forget()
        self._cache.memory.changed()
        try:
            await self._handle.do(m.Tremove, lambda remote: remote.remove(), repeat=False)
        finally:
            self._cache.memory.changed()
            self._parted()

    def clunk(self) -> Maybe[None]:
        """Gives the fid up; where the answer could not tell the client anything, without waiting for it."""
        self._cache.counts.asked["Tclunk"] += 1
        remote = self._parted()
        if remote is None:
            return None
        if self._reader is not None and not self._written:
            return None if remote.leave_nowait() else remote.leave()
        return self._handle.upstream.passed(m.Tclunk, remote.clunk())

    def _parted(self) -> RemoteFile | None:
        if self._reader is not None:
            self._reader.close()
        return self._handle.part()

    def _forget(self) -> None:
        self._cache.store.drop(self._handle.aname, self.qid.path)
        self._cache.memory.changed()


def _end_of(walked: Walked) -> File:
    """Where a walk of one name came to."""
    if walked.file is None:
        raise FileNotFound
    return walked.file


def _version(stat: Stat) -> Version:
    return Version(stat.qid.version, stat.mtime, stat.length)
