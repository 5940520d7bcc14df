"""Writes archives, from the leaves to the ``vac:`` score.

Everything goes to a ``BlockStore``. Put ``write_behind`` before one that is far away, and no call waits for a reply
until ``finish``::

    async with write_behind(store) as behind:
        writer = VacWriter(behind)

        tree = writer.tree()                          # the contents of a file: a TreeWriter
        await tree.write(data)                        # as often as need be; await tree.hole(count) for zeros
        entry = await tree.finish()

        sub = writer.directory()                      # a directory, filled in the order of its names
        await sub.add_file(DirEntry("a.txt", 0o644, qid=2, uid="glenda", mtime=now), entry)
        await sub.add_file(info, old_file.entry)      # unchanged: keeps the entry of an older archive
        pair = await sub.finish()                     # its two trees: DirectoryTrees(entries, meta)

        top = writer.directory()
        await top.add_directory(DirEntry("sub", DIRECTORY | 0o755, qid=1), pair)
        await top.add_directory(other_info, DirectoryTrees(old.entry, old.meta))   # unchanged, with all below

        score = await writer.finish(
            DirEntry("root", DIRECTORY | 0o555, uid="adm", gid="adm", qid_space=QidSpace(0, next_qid)),
            await top.finish(),
            name="fossil",
            previous=score_of_last_archive,
        )                                             # synced: now it is safe to remember the score
    print(label.text(score))

``old_file`` and ``old`` are ``VacFile``s of ``venti.vac.reader``; what was kept in a database as ``Entry.pack()`` does
as well. Files of one directory are added in the order of the bytes of their names, so that the same tree always makes
the same blocks and nothing can come in twice. Of a ``DirEntry`` the writer sets the numbers and generations of the
entries; everything else is the caller's, also the qids: unique in one file system, and the ``qid_space`` of the top
says which number is the next free one.

To change a few places of a large file, append with ``TreeWriter.keep`` what stayed and with ``write`` what did not:
only what changed and the pointers above it are read and written.

Layout: directory entries of version 9 in MetaBlocks of either order, three entries at the top; the originals'
``unvac``, ``vacfs`` and ``flfmt -v`` read that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from venti.blocks.blocksize import LARGEST
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.stores.interface import BlockStore
from venti.trees import geometry
from venti.trees.entry import Entry
from venti.trees.root import NO_ROOT, Root
from venti.trees.tree import DSIZE, TreeWriter
from venti.trees.truncate import truncate
from venti.vac.direntry import DirEntry, name_key, safe_name
from venti.vac.metablock import MetaBlock, Order

SMALLEST: Final = 512
"""Bytes; smaller blocks hold no directory entry."""


class DirectoryTrees(NamedTuple):
    """The two trees of a directory: its entry stream and its metadata stream."""

    entries: Entry
    meta: Entry


class Ready(NamedTuple):
    """A file or directory whose blocks are all written: what its parent is to hold of it."""

    info: DirEntry
    trees: Entry | DirectoryTrees


class VacWriter:
    """Writes one archive, or several into one store. Its directories and trees may be used by several tasks."""

    def __init__(self, store: BlockStore, *, block_size: int = DSIZE, order: Order = Order.BYTES) -> None:
        """Prepares.

        Args:
            store: takes the blocks.
            block_size: of leaves, in bytes.
            order: of names in metadata blocks. The original vac, when it adds to an archive, takes blocks for its own
                order whatever they say and loses files in others; fossil's own programs use plain order.

        Raises:
            ValueError: ``block_size`` is not between 512 and 57344.
        """
        if not SMALLEST <= block_size <= LARGEST:
            raise ValueError(f"blocks of {block_size} bytes cannot be: take {SMALLEST} to {LARGEST}")
        self._store = store
        self._dsize = block_size
        self._order = order

    def tree(self) -> TreeWriter:
        """For the contents of a file."""
        return TreeWriter(self._store, dsize=self._dsize)

    def directory(self) -> DirectoryWriter:
        """For a directory."""
        return DirectoryWriter(self._store, self._dsize, self._order)

    async def finish(
        self, info: DirEntry, trees: DirectoryTrees, *, name: str = "", previous: Score | None = None
    ) -> Score:
        """Writes the root block, syncs the store, and returns the score of the archive.

        Args:
            info: of the directory at the top; its name means nothing, its ``qid_space`` says which ids are in use.
            trees: of that directory.
            name: of the root block; the original vac leaves it empty, fossil writes ``fossil``.
            previous: the score of the archive before this one.

        Raises:
            What the store's ``write`` and ``sync`` raise; there is no archive then.
        """
        own = await self._describe(info._replace(entry=0, generation=0, meta_entry=1, meta_generation=0, version=9))
        block = truncate(BlockType.DIR, trees.entries.pack() + trees.meta.pack() + own.pack())
        score = await self._store.write(BlockType.DIR, block)
        root = Root(name, "vac", score, self._dsize, NO_ROOT if previous is None else previous)
        found = await self._store.write(BlockType.ROOT, root.pack())
        await self._store.sync()
        return found

    async def _describe(self, info: DirEntry) -> Entry:
        """A metadata stream of one directory entry."""
        tree = TreeWriter(self._store, dsize=self._dsize)
        block = MetaBlock(self._dsize, self._order)
        block.add(info.pack())
        await tree.write(block.pack().ljust(self._dsize, b"\0"))
        return await tree.finish()


class DirectoryWriter:
    """Writes one directory. Belongs to one task; holds two blocks and the pointers above them, however many files."""

    def __init__(self, store: BlockStore, dsize: int, order: Order = Order.BYTES) -> None:
        self._entries = TreeWriter(store, dsize=dsize, directory=True)
        self._meta = TreeWriter(store, dsize=dsize)
        self._dsize = dsize
        self._order = order
        self._per_leaf = geometry.entries_per_leaf(dsize)
        self._leaf = bytearray()
        self._count = 0
        self._block = MetaBlock(dsize, order)
        self._last = b""

    async def add_file(self, info: DirEntry, entry: Entry) -> None:
        """Adds a file, whose contents are there already.

        Raises:
            ValueError: the name cannot stand in a path, does not come after the one before, or is too long; or the mode
                or the entry is that of a directory.
        """
        if info.directory or entry.directory:
            raise ValueError(f"{info.name!r} is a directory, not a file")
        self._check(info)
        number = await self._entry(entry)
        await self._describe(info._replace(entry=number, generation=entry.generation, meta_entry=0, meta_generation=0))

    async def add_directory(self, info: DirEntry, trees: DirectoryTrees) -> None:
        """Adds a directory with everything below it.

        Raises:
            ValueError: as ``add_file``.
        """
        entries, meta = trees
        if not info.directory or not entries.directory or meta.directory:
            raise ValueError(f"{info.name!r} is not a directory, or its trees are mixed up")
        self._check(info)
        number = await self._entry(entries)
        await self._entry(meta)
        await self._describe(
            info._replace(
                entry=number,
                generation=entries.generation,
                meta_entry=number + 1,
                meta_generation=meta.generation,
            )
        )

    async def add_all(self, ready: Iterable[Ready]) -> None:
        """Adds files and directories in the order of their names; see ``add_file`` and ``add_directory``."""
        for info, trees in sorted(ready, key=lambda one: name_key(one.info.name)):
            if isinstance(trees, DirectoryTrees):
                await self.add_directory(info, trees)
            else:
                await self.add_file(info, trees)

    async def finish(self) -> DirectoryTrees:
        """Writes what is left and returns the trees of the directory."""
        await self._entries.write(self._leaf)
        if len(self._block):
            await self._flush()
        return DirectoryTrees(await self._entries.finish(), await self._meta.finish())

    def _check(self, info: DirEntry) -> None:
        if not safe_name(info.name):
            raise ValueError(f"{info.name!r} cannot be the name of a file")
        key = name_key(info.name)
        if key <= self._last:
            raise ValueError(f"{info.name!r} comes after a name that sorts behind it, or twice")
        self._last = key

    async def _entry(self, entry: Entry) -> int:
        self._leaf += entry.pack()
        number = self._count
        self._count += 1
        if self._count % self._per_leaf == 0:
            await self._entries.write(self._leaf.ljust(self._dsize, b"\0"))
            self._leaf = bytearray()
        return number

    async def _describe(self, info: DirEntry) -> None:
        packed = info._replace(version=9, plan9_qid=None).pack()
        if not self._block.add(packed):
            await self._flush()
            self._block.add(packed)

    async def _flush(self) -> None:
        await self._meta.write(self._block.pack().ljust(self._dsize, b"\0"))
        self._block = MetaBlock(self._dsize, self._order)
