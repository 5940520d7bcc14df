"""Writes a snapshot as a vac tree. Source: the layout of fossil's archives, vac(7).

At the top are ``active``, the tree; ``archive``, with the trees of this and all earlier archives, so that one score has
the whole past; and ``snapshot``, empty.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from types import CoroutineType
from typing import NamedTuple, cast

import trio

from fossil.archive.trust import new_mark
from fossil.archive.vacmode import to_vac
from fossil.data.extents import LONGEST
from fossil.errors import DamagedData, Unlisted
from fossil.live.filesystem import ROOT
from fossil.live.hardlinks import number_of, seen_as
from fossil.metadata.contained import counted
from fossil.metadata.node import Node
from fossil.past.history import ARCHIVE, SNAPSHOT, History, Snapshot
from fossil.past.past import Past
from fossil.past.qidspace import offset_of, shelf_path
from fossil.past.shelf import Shelf, Shelved, shelved
from ninep.protocol import stat as st
from ninep.protocol.stat import nearest, seconds
from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.stores.interface import BlockStore
from venti.stores.readback import ReadBack
from venti.stores.write_behind import write_behind
from venti.trees.entry import Entry
from venti.trees.tree import TreeReader, TreeWriter
from venti.vac import label, mode
from venti.vac.direntry import DirEntry, QidSpace
from venti.vac.writer import DirectoryTrees, DirectoryWriter, VacWriter

PAGE = 100
"""Names that are looked up at once."""
TURN = 0.002
"""Seconds after which clients get a turn."""
BATCH = 500
"""Files after which venti is synced and what it has is noted."""
BATCH_SIZE = 64 * 1024 * 1024
"""Bytes after which it is, too."""
KEPT = 1024 * 1024
"""Bytes from which on a file that changed keeps the leaves that did not."""


class Written(NamedTuple):
    """What has been done since it was told last.

    Attributes:
        files: files and directories written or found unchanged.
        size: bytes of the files that were written.
        entries: (path, changed, entries) of what is safe in venti now.
        mark: whoever has it has all of this.
    """

    files: int
    size: int
    entries: list[tuple[int, int, bytes]]
    mark: Score


async def write_archive(
    history: History,
    snapshot: Snapshot,
    store: BlockStore,
    written: Callable[[Written], None],
    fetch_names: Callable[[Unlisted], Awaitable[None]],
    *,
    doubtful: bool = False,
) -> str:
    """Writes everything and returns the score as people write it; it is then safe in ``store``.

    ``written`` is told now and then how far it has come; ``fetch_names`` lists a directory whose names are in venti
    alone. Cancelled or failed, what it was told of is in venti. ``doubtful``: every block is read back, because some
    may have been written before by an attempt that did not come to its end.

    Raises:
        DamagedData: the snapshot cannot be read.
        ArchiveAway: some of it is in venti alone, which does not answer.
        LostBlock: venti does not have what it acknowledged.
        What the store raises.
    """
    async with write_behind(store) as behind:
        checked = ReadBack(behind, doubtful=doubtful)
        return await _Archive(history, snapshot, checked, written, fetch_names).write()


@dataclass
class _Open:
    """A directory that is being written."""

    node: Node
    writer: DirectoryWriter
    after: str = ""
    page: deque[tuple[str, Node, bytes | None]] = field(default_factory=deque)
    count: int = 0
    ended: bool = False


class _Archive:
    def __init__(
        self,
        history: History,
        snapshot: Snapshot,
        behind: BlockStore,
        written: Callable[[Written], None],
        fetch_names: Callable[[Unlisted], Awaitable[None]],
    ) -> None:
        self._history = history
        self._snapshot = snapshot
        self._past: Past = history.past(snapshot.epoch)
        self._times: dict[int, int] = {}
        self._behind = behind
        self._writer = VacWriter(behind)
        self._told = written
        self._list = fetch_names
        self._turn = 0.0
        self._linked: dict[int, bytes] = {}
        self._entries: list[tuple[int, int, bytes]] = []
        self._files = 0
        self._size = 0
        self._unsynced = 0

    async def write(self) -> str:
        live = self._history.live_at(self._snapshot)
        trees = await self._whole(live)
        if not self._snapshot.whole:
            await self._whole(self._history.past(self._snapshot.epoch))
        await self._note()
        top = self._writer.directory()
        await top.add_directory(_info(live.root)._replace(name="active", qid=ROOT), trees)
        until = self._history.until(self._snapshot)
        self._times = {each.epoch: nearest(each.time) for each in until}
        shelf = shelved((ARCHIVE, SNAPSHOT), (Shelved(*each[:4]) for each in until))
        for kind in (ARCHIVE, SNAPSHOT):
            inner = shelf.names[kind]
            assert isinstance(inner, Shelf)
            await top.add_directory(self._above((kind,), inner), await self._shelf((kind,), inner))
        space = QidSpace(0, self._history.next_path())
        info = self._above((), shelf)._replace(name="root", qid_space=space)
        trees = await top.finish()
        mark = await self._behind.write(BlockType.DATA, new_mark())
        score = await self._writer.finish(info, trees, name="fossil", previous=self._previous())
        self._told(Written(0, 0, [], mark))
        return label.text(score)

    async def _whole(self, past: Past) -> DirectoryTrees:
        """A tree of the past, with all below its top."""
        self._past, root = past, past.root
        known = self._history.archived(root.path, root.changed)
        return _pair(known) if known is not None else await self._tree(root)

    def _previous(self) -> Score | None:
        earlier = [each.score for each in self._history.until(self._snapshot) if each.score]
        return label.parse(earlier[-1]) if earlier else None

    # Directories that are nowhere stored

    async def _shelf(self, names: tuple[str, ...], shelf: Shelf) -> DirectoryTrees:
        writer = self._writer.directory()
        for name in sorted(shelf.names, key=str.encode):
            found = shelf.names[name]
            below = (*names, name)
            if isinstance(found, Shelf):
                await writer.add_directory(self._above(below, found), await self._shelf(below, found))
                continue
            past = self._history.past(found)
            # What was noted of it may have been damaged since, and is then written once more.
            trees = await self._whole(past)
            info = _info(past.root)._replace(name=name, ctime=self._times[found], qid_space=self._space(found))
            await writer.add_directory(info._replace(mode=info.mode | mode.SNAPSHOT), trees)
        return await writer.finish()

    def _space(self, epoch: int) -> QidSpace:
        """Moves the ids of a tree of the past away from those of the live tree and of all others."""
        offset = offset_of(epoch)
        return QidSpace(offset, offset + self._history.next_path())

    def _above(self, names: tuple[str, ...], shelf: Shelf) -> DirEntry:
        when = nearest(self._snapshot.time)
        return DirEntry(
            names[-1] if names else "root",
            mode.DIRECTORY | 0o555,
            qid=shelf_path(names),
            uid="adm",
            gid="adm",
            mid="adm",
            mtime=nearest(shelf.time) or when,
            mcount=shelf.version,
            ctime=when,
            atime=when,
        )

    # What is stored

    async def _tree(self, root: Node) -> DirectoryTrees:
        """A directory with all below it, however deep."""
        stack = [_Open(root, self._writer.directory())]
        while True:
            at = stack[-1]
            if not at.page and not at.ended:
                await trio.lowlevel.checkpoint()
                try:
                    at.page.extend(self._past.page(at.node, at.after, PAGE))
                except Unlisted as unlisted:
                    await self._list(unlisted)
                    continue
                at.ended = len(at.page) < PAGE
                at.count += len(at.page)
                if at.ended:
                    counted(at.node, at.count)
                if at.page:
                    at.after = at.page[-1][0]
            if at.page:
                if perf_counter() > self._turn:
                    await trio.lowlevel.checkpoint()
                    self._turn = perf_counter() + TURN
                name, child, known = at.page.popleft()
                shown = child if not child.links else seen_as(child, name)
                if child.mode & (st.DMTMP | st.DMSOCKET):
                    continue
                if not child.mode & st.DMDIR:
                    info = _info(shown)
                    if child.links:
                        # Archives have no links: each name is a file of its own, with the same blocks.
                        info = info._replace(qid=number_of(child, (at.node.path, name)))
                        known = self._linked.get(child.path, known)
                    entry = await self._file(child, known)
                    if child.links:
                        self._linked[child.path] = entry.pack()
                    await at.writer.add_file(info, entry)
                elif known is not None:
                    await at.writer.add_directory(_info(child), _pair(known))
                    self._files += 1
                else:
                    stack.append(_Open(child, self._writer.directory()))
                continue
            trees = await at.writer.finish()
            await self._done(at.node, trees.entries.pack() + trees.meta.pack())
            stack.pop()
            if not stack:
                return trees
            await stack[-1].writer.add_directory(_info(at.node), trees)

    async def _done(self, node: Node, entries: bytes) -> None:
        self._entries.append((node.path, node.changed, entries))
        self._files += 1
        if len(self._entries) >= BATCH or self._unsynced >= BATCH_SIZE:
            await self._note()

    async def _note(self) -> None:
        mark = await self._behind.write(BlockType.DATA, new_mark())
        await self._behind.sync()
        self._told(Written(self._files, self._size, self._entries, mark))
        self._entries = []
        self._files = self._size = self._unsynced = 0

    async def _file(self, node: Node, known: bytes | None) -> Entry:
        if known is not None:
            self._files += 1
            return Entry.unpack(known)
        old, changed = self._earlier(node)
        if old is not None and not changed and old.size == node.length:
            # Its name or mode is another one, its bytes are the same.
            entry = old
        else:
            entry = await self._bytes(node, old, changed)
        await self._done(node, entry.pack())
        return entry

    def _earlier(self, node: Node) -> tuple[Entry | None, Sequence[tuple[int, int]]]:
        """The tree that the file had before, and the ranges of bytes that are different now."""
        before = self._history.archived_before(node.path, node.changed)
        if before is None:
            return None, ()
        changed, entries = before
        return Entry.unpack(entries), self._past.changes(node, changed)

    async def _bytes(self, node: Node, old: Entry | None, changed: Sequence[tuple[int, int]]) -> Entry:
        tree = self._writer.tree()
        if old is None or node.length < KEPT or not tree.can_keep(old):
            await self._copy(tree, node, 0, node.length)
            return await tree.finish()
        reader = TreeReader(self._behind, old)
        at = 0
        for start, end in _whole(changed, node.length, old.size, old.dsize):
            if start > at:
                await tree.keep(reader, start - at)
            await self._copy(tree, node, start, end)
            at = end
        if at < node.length:
            await tree.keep(reader, node.length - at)
        return await tree.finish()

    async def _copy(self, tree: TreeWriter, node: Node, start: int, end: int) -> None:
        """Writes a range of a file; what was never written costs nothing."""
        at = start
        for extent in list(self._past.extents(node)):
            if extent.end <= at:
                continue
            if extent.start >= end:
                break
            if extent.start > at:
                await tree.hole(extent.start - at)
                at = extent.start
            last = min(extent.end, end)
            while at < last:
                data = self._past.read(node, at, min(LONGEST, last - at))
                if type(data) is CoroutineType:
                    data = await data
                count = len(cast("Buffer", data))
                if not count:
                    raise DamagedData(f"{node.name} ends before its length")
                await tree.write(cast("Buffer", data))
                at += count
                self._size += count
                self._unsynced += count
        if at < end:
            await tree.hole(end - at)


def _whole(changed: Sequence[tuple[int, int]], length: int, old: int, dsize: int) -> Iterator[tuple[int, int]]:
    """The ranges of whole leaves, merged and in order, that are not as they were in the older tree of ``old`` bytes."""
    edge = min(length, old) // dsize * dsize if length != old else length
    ranges = sorted([*changed, (edge, length - edge)]) if edge < length else sorted(changed)
    low = high = 0
    for start, count in ranges:
        first = min(start, length) // dsize * dsize
        last = min(-(-(start + count) // dsize) * dsize, length)
        if first >= last:
            continue
        if first > high:
            if high > low:
                yield low, high
            low = first
        high = max(high, last)
    if high > low:
        yield low, high


def _pair(entries: bytes) -> DirectoryTrees:
    return DirectoryTrees(Entry.unpack(entries, 0), Entry.unpack(entries, 40))


def _info(node: Node) -> DirEntry:
    return DirEntry(
        node.name,
        to_vac(node.mode),
        qid=node.path,
        uid=node.uid,
        gid=node.gid,
        mid=node.muid,
        mtime=seconds(node.mtime),
        mcount=node.version,
        ctime=seconds(node.ctime),
        atime=seconds(node.atime),
    )


async def write_root(store: BlockStore, node: Node, name: str, entries: bytes, next_path: int) -> str:
    """Makes an archive of its own of a directory that is in venti with these entries, and returns its score as people
    write it. Nothing below it is written anew.
    """
    async with write_behind(store) as behind:
        info = _info(node)._replace(name=name, qid_space=QidSpace(0, next_path))
        score = await VacWriter(ReadBack(behind, doubtful=True)).finish(info, _pair(entries), name=name)
    return label.text(score)
