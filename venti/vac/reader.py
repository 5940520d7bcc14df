"""Reads archives: from a ``vac:`` score to directories and the bytes of files.

``archive = await open_archive(store, score)``, then ``await archive.walk(["lib", "os.py"])`` and the methods of
``VacFile``. Archives of the original vac, of fossil and of ours are all the same here.
"""

from __future__ import annotations

from collections.abc import Sequence

from venti.blocks.blocksize import LARGEST
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import DamagedArchive, NotInArchive
from venti.blocks.score import Score
from venti.stores.interface import BlockStore
from venti.trees import geometry
from venti.trees.entry import SIZE as ENTRY_SIZE
from venti.trees.entry import Entry
from venti.trees.root import SIZE as ROOT_SIZE
from venti.trees.root import Root
from venti.trees.tree import TreeReader
from venti.vac import metablock
from venti.vac.direntry import DirEntry

BATCH = 16
"""MetaBlocks that a listing reads at a time, of some hundred names each."""
ID = (1 << 64) - 1
"""Ids are counted in 64 bits; a shift goes round."""


class VacFile:
    """A file or directory in an archive. Immutable; may be used by several tasks at once.

    Attributes:
        info: what the archive knows of it.
        path: names from the top of the archive, joined by slashes; for messages.
        qid: its id, with the shifts of all directories above and its own, as the original has it.
    """

    __slots__ = ("_entry", "_meta", "_shift", "_store", "_tree", "info", "path", "qid")

    def __init__(
        self,
        store: BlockStore,
        info: DirEntry,
        path: str,
        shift: int,
        entry: Entry | DamagedArchive,
        meta: Entry | DamagedArchive | None,
    ) -> None:
        self.info = info
        self.path = path
        self._shift = shift + (info.qid_space.offset if info.qid_space else 0) & ID
        self.qid = info.qid + self._shift & ID
        self._store = store
        self._entry = entry
        self._meta = meta
        self._tree: TreeReader | None = None

    @property
    def entry(self) -> Entry:
        """The tree of a file's contents, or of a directory's entry stream.

        Raises:
            DamagedArchive: the directory names one that is not there.
        """
        if isinstance(self._entry, DamagedArchive):
            raise self._entry
        return self._entry

    @property
    def meta(self) -> Entry:
        """The tree of a directory's metadata stream.

        Raises:
            DamagedArchive: there is none, or this is no directory.
        """
        if self._meta is None:
            raise DamagedArchive(f"{self.path or '/'}: not a directory")
        if isinstance(self._meta, DamagedArchive):
            raise self._meta
        return self._meta

    @property
    def size(self) -> int:
        """Bytes of a file's contents; 0 for a directory."""
        return 0 if self.info.directory else self.entry.size

    def tree(self) -> TreeReader:
        """The contents, for reading at any offset; the same object each time.

        Raises:
            DamagedArchive: the entry cannot be.
        """
        if self._tree is None:
            self._tree = _tree(self._store, self.entry, self.path)
        return self._tree

    async def read(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes of the contents; see ``TreeReader.read``."""
        return await self.tree().read(offset, count)

    def listing(self) -> Listing:
        """Reads the directory piece by piece, however long it is."""
        return Listing(self._store, self)

    async def files(self) -> list[VacFile]:
        """All of the directory at once."""
        listing = self.listing()
        files: list[VacFile] = []
        while batch := await listing.next():
            files += batch
        return files

    async def step(self, name: str) -> VacFile | None:
        """The file of that name in this directory, or None.

        Raises:
            DamagedArchive: this is no directory, or a damaged one.
        """
        meta = _tree(self._store, self.meta, self.path)
        dsize = meta.entry.dsize
        total = geometry.leaves(meta.size, dsize)
        for start in range(0, total, BATCH):
            for block in await meta.leaves(range(start, min(start + BATCH, total))):
                try:
                    info = metablock.find(block, dsize, name)
                except DamagedArchive as error:
                    raise DamagedArchive(f"{self.path or '/'}: {error}") from error
                if info is not None:
                    return (await self._children([info]))[0]
        return None

    async def _children(self, infos: Sequence[DirEntry]) -> list[VacFile]:
        numbers = {info.entry for info in infos} | {info.meta_entry for info in infos if info.directory}
        entries = await read_entries(self.tree(), numbers)
        prefix = f"{self.path}/" if self.path else ""
        store, shift = self._store, self._shift
        return [
            VacFile(
                store,
                info,
                path := prefix + info.name,
                shift,
                _checked(entries, info.entry, info.generation, info.directory, path),
                _checked(entries, info.meta_entry, info.meta_generation, False, path) if info.directory else None,
            )
            for info in infos
        ]


class Listing:
    """A directory read piece by piece; belongs to one task."""

    def __init__(self, store: BlockStore, directory: VacFile) -> None:
        self._directory = directory
        self._meta = _tree(store, directory.meta, directory.path)
        self._next = 0

    async def next(self) -> list[VacFile]:
        """The next some hundred files; none at the end.

        A file whose entry is damaged is among them and raises when it is used.

        Raises:
            DamagedArchive: the directory itself is damaged.
        """
        dsize = self._meta.entry.dsize
        total = geometry.leaves(self._meta.size, dsize)
        while self._next < total:
            numbers = range(self._next, min(self._next + BATCH, total))
            self._next = numbers.stop
            infos: list[DirEntry] = []
            for block in await self._meta.leaves(numbers):
                try:
                    infos += metablock.unpack(block, dsize)
                except DamagedArchive as error:
                    raise DamagedArchive(f"{self._directory.path or '/'}: {error}") from error
            if infos:
                return await self._directory._children(infos)
        return []


class VacReader:
    """An archive; made by ``open_archive``.

    Attributes:
        score: of the root block.
        root: the root block.
        top: the directory at the top.
    """

    def __init__(self, store: BlockStore, score: Score, root: Root, top: VacFile) -> None:
        self.store = store
        self.score = score
        self.root = root
        self.top = top

    async def walk(self, names: Sequence[str]) -> VacFile:
        """The file at a path.

        Raises:
            NotInArchive: there is none.
        """
        file = self.top
        for name in names:
            found = await file.step(name) if file.info.directory else None
            if found is None:
                raise NotInArchive(f"{'/'.join(names)}: not in the archive")
            file = found
        return file


async def open_archive(store: BlockStore, score: Score) -> VacReader:
    """Reads what stands at the top of an archive.

    Raises:
        BlockNotFound: the store has no root block of that score.
        DamagedArchive: it is none of an archive of files, or what it leads to is damaged.
    """
    root = Root.unpack(await store.read(score, BlockType.ROOT, ROOT_SIZE))
    if root.kind != "vac":
        raise DamagedArchive(f"{score} is a root of type {root.kind!r}, not an archive of files: those have type 'vac'")
    block = await store.read(root.score, BlockType.DIR, min(root.blocksize, LARGEST))
    entries = [_entry_in(block, number) for number in range(3)]
    if not entries[2].active:
        # Fossil's own top directory stands in between, with its hint at an older root as second entry.
        found = await read_entries(_tree(store, entries[0], "the top of the archive"), range(3))
        entries = [_or_raise(found.get(number)) for number in range(3)]
    if not entries[0].directory or entries[1].directory or entries[2].directory:
        raise DamagedArchive("the three entries at the top of the archive are not a directory, its names and its own")
    own = _tree(store, entries[2], "the top of the archive")
    blocks = await own.leaves(range(min(1, geometry.leaves(own.size, own.entry.dsize))))
    infos = [info for data in blocks for info in metablock.unpack(data, own.entry.dsize)]
    if len(infos) != 1 or not infos[0].directory:
        raise DamagedArchive("the top of the archive is not described by one directory entry")
    return VacReader(store, score, root, VacFile(store, infos[0], "", 0, entries[0], entries[1]))


async def read_entries(tree: TreeReader, numbers: Sequence[int] | set[int]) -> dict[int, Entry | DamagedArchive]:
    """Entries of a directory's entry stream by their number; those past its end are left out."""
    dsize = tree.entry.dsize
    total = geometry.entries(tree.size, dsize)
    places = {number: geometry.entry_place(number, dsize) for number in numbers if number < total}
    wanted = sorted({leaf for leaf, _ in places.values()})
    blocks = dict(zip(wanted, await tree.leaves(wanted), strict=True))
    found: dict[int, Entry | DamagedArchive] = {}
    for number, (leaf, offset) in places.items():
        try:
            found[number] = Entry.unpack(blocks[leaf][offset : offset + ENTRY_SIZE].ljust(ENTRY_SIZE, b"\0"))
        except DamagedArchive as error:
            found[number] = error
    return found


def _entry_in(block: bytes, number: int) -> Entry:
    return Entry.unpack(block[ENTRY_SIZE * number : ENTRY_SIZE * (number + 1)].ljust(ENTRY_SIZE, b"\0"))


def _or_raise(entry: Entry | DamagedArchive | None) -> Entry:
    if entry is None:
        raise DamagedArchive("the top of the archive has fewer than three entries")
    if isinstance(entry, DamagedArchive):
        raise entry
    return entry


def _tree(store: BlockStore, entry: Entry, path: str) -> TreeReader:
    try:
        return TreeReader(store, entry)
    except DamagedArchive as error:
        raise DamagedArchive(f"{path or '/'}: {error}") from error


def _checked(
    entries: dict[int, Entry | DamagedArchive], number: int, generation: int, directory: bool, path: str
) -> Entry | DamagedArchive:
    """The entry if it is what the directory entry says, else the error that using it raises."""
    entry = entries.get(number)
    if isinstance(entry, DamagedArchive):
        return DamagedArchive(f"{path}: {entry}")
    if entry is None or not entry.active:
        return DamagedArchive(f"{path}: entry {number} of its directory is not in use")
    if entry.generation != generation:
        return DamagedArchive(f"{path}: the file has been removed (generation {entry.generation}, not {generation})")
    if entry.directory != directory:
        return DamagedArchive(f"{path}: its mode says {'directory' if directory else 'file'} and its entry does not")
    return entry
