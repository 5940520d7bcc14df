"""Walks an archive and finds every block that is missing or damaged, with the path of the file it belongs to.

Nothing that is found wrong keeps the rest from being looked at. A subtree that several files or days share is looked
at once, under the first path that leads to it.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from ninep.tasks.jobs import Jobs
from venti.blocks.blocksize import LARGEST
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, DamagedArchive, DamagedBlock, ReadTooSmall
from venti.blocks.score import SIZE as SCORE_SIZE
from venti.blocks.score import ZERO_SCORE, Score
from venti.stores.fetch import WINDOW
from venti.stores.interface import BlockStore
from venti.trees import geometry
from venti.trees.entry import ACTIVE, FLAGS, Entry
from venti.trees.entry import SIZE as ENTRY_SIZE
from venti.trees.links import Link, links
from venti.trees.root import NO_ROOT, Root
from venti.trees.root import SIZE as ROOT_SIZE
from venti.vac import metablock
from venti.vac.direntry import DirEntry, safe_name


class ArchiveFault(NamedTuple):
    """Something that is not as it should be.

    Attributes:
        path: names from the top of the archive, joined by slashes; empty for the top itself.
        score: of the block; None where sound blocks do not hold what they should.
        type: of the block.
        problem: ``missing``, ``damaged``, or ``malformed`` for sound blocks with the wrong content.
        detail: what is wrong, for people.
    """

    path: str
    score: Score | None
    type: BlockType | None
    problem: str
    detail: str

    def __str__(self) -> str:
        where = self.path or "/"
        if self.score is None:
            return f"{where}: {self.detail}"
        detail = f": {self.detail}" if self.detail else ""
        return f"{where}: {self.problem} block {self.score}/{int(self.type or 0)}{detail}"


class Checker:
    """Checks; made for one or more calls of ``run``.

    Attributes:
        files, directories, blocks, size: what was seen so far; ``size`` in bytes as stored. What is shared counts once,
            but for the directories at the top of it.
        faults: how many were reported.
    """

    def __init__(
        self,
        store: BlockStore,
        report: Callable[[ArchiveFault], None],
        *,
        previous: bool = False,
        window: int = WINDOW,
        progress: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Prepares; ``report`` gets each fault. ``previous``: the archives before are checked as well."""
        self.files = self.directories = self.blocks = self.size = self.faults = 0
        self._store = store
        self._report = report
        self._previous = previous
        self._progress = progress
        self._jobs = Jobs(window)
        self._seen: set[tuple[Score, int, int, int, int]] = set()
        self._seen_directories: set[tuple[Entry, Entry]] = set()

    async def run(self, score: Score) -> None:
        """Checks everything that a root block leads to.

        Raises:
            BlockNotFound: the store has no such root block.
            ConnectionLost: and what else keeps the store from answering.
        """
        self._add(self._root, score, True)
        await self._jobs.run()

    def _add(self, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        self._jobs.add(functools.partial(work, *arguments))

    def _fault(self, path: str, link: Link | None, problem: str, detail: str = "") -> None:
        self.faults += 1
        score, type = link or (None, None)
        self._report(ArchiveFault(path, score, type, problem, detail))

    def _first_time(self, score: Score, type: BlockType, cut: tuple[int, int, int] = (0, 0, 0)) -> bool:
        """Whether a subtree was not looked at yet, of which so many leaves count, and which is cut like this."""
        key = (score, int(type), *cut)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    # Blocks

    async def _read(self, path: str, score: Score, type: BlockType, limit: int) -> bytes | None:
        """The block, or None after its fault was reported."""
        try:
            data = await self._store.read(score, type, min(limit, LARGEST))
        except BlockNotFound:
            self._fault(path, Link(score, type), "missing")
        except DamagedBlock as error:
            self._fault(path, Link(score, type), "damaged", str(error))
        except ReadTooSmall as error:
            self._fault(path, Link(score, type), "malformed", f"it has {error.size} bytes and should have {limit}")
        else:
            self.blocks += 1
            self.size += len(data)
            self._progress(len(data))
            return data
        return None

    async def _root(self, score: Score, first: bool) -> None:
        if first:
            data: bytes | None = None
            try:
                data = await self._store.read(score, BlockType.ROOT, ROOT_SIZE)
            except (DamagedBlock, ReadTooSmall) as error:
                self._fault("", Link(score, BlockType.ROOT), "damaged", str(error))
            else:
                self.blocks += 1
                self.size += len(data)
        else:
            data = await self._read("(an earlier archive)", score, BlockType.ROOT, ROOT_SIZE)
        if data is None:
            return
        try:
            root = Root.unpack(data)
        except DamagedArchive as error:
            self._fault("", None, "malformed", str(error))
            return
        if self._previous and root.previous is not None and self._first_time(root.previous, BlockType.ROOT):
            self._add(self._root, root.previous, False)
        if root.kind != "vac":
            self._add(self._generic, root.name or root.kind, Link(root.score, BlockType.DIR))
            return
        block = await self._read("", root.score, BlockType.DIR, root.blocksize)
        if block is not None:
            await self._top(block)

    async def _top(self, block: bytes) -> None:
        try:
            entries = [_entry(block, number) for number in range(3)]
            if not entries[2].active:
                leaves = [data async for _, data in self._leaves("", entries[0])]
                if not leaves or leaves[0] is None:
                    return
                entries = [_entry(leaves[0], number) for number in range(3)]
        except DamagedArchive as error:
            self._fault("", None, "malformed", str(error))
            return
        if not entries[0].directory or entries[1].directory or entries[2].directory:
            detail = "the three entries at the top of the archive are not a directory, its names and its own"
            self._fault("", None, "malformed", detail)
            return
        self._own([each async for each in self._leaves("", entries[2])], entries[2].dsize)
        await self._directory("", entries[0], entries[1])

    def _own(self, leaves: list[tuple[int, bytes | None]], dsize: int) -> None:
        """What describes the directory at the top: one directory entry, in the first leaf."""
        first = dict(leaves).get(0, b"")
        if first is None:
            return
        try:
            infos = metablock.unpack(first, dsize)
        except DamagedArchive as error:
            self._fault("", None, "malformed", f"what describes the top of the archive: {error}")
            return
        if len(infos) != 1 or not infos[0].directory:
            self._fault("", None, "malformed", "the top of the archive is not described by one directory entry")

    async def _generic(self, path: str, link: Link) -> None:
        """A tree that is no archive of files."""
        data = await self._read(path, link.score, link.type, LARGEST)
        if data is None:
            return
        try:
            below = links(link.type, data)
        except DamagedArchive as error:
            self._fault(path, link, "malformed", str(error))
            return
        for child in below:
            if not child.type.depth or self._first_time(*child):
                self._add(self._generic, path, child)

    # Trees

    async def _leaves(self, path: str, entry: Entry) -> AsyncIterator[tuple[int, bytes | None]]:
        """Every leaf that is no hole, one after the other; None for those that are lost."""
        if not self._sound(path, entry):
            yield 0, None
            return
        total = geometry.leaves(entry.size, entry.dsize)
        arity = geometry.arity(entry.psize)
        waiting = [(entry.score, entry.depth, 0)]
        while waiting:
            score, level, first = waiting.pop()
            if score in (ZERO_SCORE, NO_ROOT) or first >= total:
                continue
            data = await self._read(path, score, BlockType(entry.type - entry.depth + level), _limit(entry, level))
            if level == 0 or data is None:
                yield first, data
                continue
            span = arity ** (level - 1)
            waiting += [
                (child, level - 1, first + index * span) for index, child in reversed(list(enumerate(_scores(data))))
            ]

    def _sound(self, path: str, entry: Entry) -> bool:
        needed = geometry.depth(entry.size, entry.psize, entry.dsize)
        if needed > entry.depth:
            detail = f"its tree has depth {entry.depth}, and {entry.size} bytes need {needed}"
            self._fault(path, None, "malformed", detail)
            return False
        return True

    def _file(self, path: str, entry: Entry) -> None:
        if not self._sound(path, entry) or entry.score in (ZERO_SCORE, NO_ROOT):
            return
        total = geometry.leaves(entry.size, entry.dsize)
        if not entry.depth or self._first_time(entry.score, entry.type, (total, entry.psize, entry.dsize)):
            self._add(self._block, path, entry, entry.score, entry.depth, 0, total)

    async def _block(self, path: str, entry: Entry, score: Score, level: int, first: int, total: int) -> None:
        """One block of a file, and jobs for those below it."""
        data = await self._read(path, score, BlockType(entry.type - entry.depth + level), _limit(entry, level))
        if data is None or not level:
            return
        below = level - 1
        type = BlockType(entry.type - entry.depth + below)
        span = geometry.arity(entry.psize) ** below
        for index, child in enumerate(_scores(data)):
            start = first + index * span
            if start >= total:
                break
            if child in (ZERO_SCORE, NO_ROOT):
                continue
            if not below or self._first_time(child, type, (min(span, total - start), entry.psize, entry.dsize)):
                self._add(self._block, path, entry, child, below, start, total)

    # Directories

    async def _directory(self, path: str, entry: Entry, meta: Entry) -> None:
        self.directories += 1
        if (entry, meta) in self._seen_directories:
            return
        self._seen_directories.add((entry, meta))
        entries = _Entries(entry, {number: data async for number, data in self._leaves(path, entry)})
        lost = False
        used: set[int] = set()
        called: set[str] = set()
        holes = geometry.leaves(meta.size, meta.dsize)
        async for _, data in self._leaves(path, meta):
            holes -= 1
            if data is None:
                lost = True
                continue
            try:
                infos = metablock.unpack(data, meta.dsize)
            except DamagedArchive as error:
                self._fault(path, None, "malformed", str(error))
                lost = True
                continue
            for info in infos:
                used |= {info.entry, info.meta_entry} if info.directory else {info.entry}
                name = f"{path}/{info.name}" if path else info.name
                if info.name in called:
                    self._fault(name, None, "malformed", "two files of its directory have this name")
                called.add(info.name)
                self._child(name, info, entries)
        if holes and not lost:
            lost = True
            self._fault(path, None, "malformed", f"{holes} blocks of its names are nothing but zeros")
        if not lost and entries.in_use() > len(used):
            lost = True
            self._fault(path, None, "malformed", f"{entries.in_use() - len(used)} of its entries have no name")
        if lost:
            self._nameless(path, entries, used)

    def _child(self, path: str, info: DirEntry, entries: _Entries) -> None:
        if not safe_name(info.name):
            self._fault(path, None, "malformed", "a name that would lead out of its directory")
        try:
            entry = entries.get(info.entry, info.generation, info.directory)
            meta = entries.get(info.meta_entry, info.meta_generation, False) if info.directory else None
        except DamagedArchive as error:
            self._fault(path, None, "malformed", str(error))
            return
        if meta is not None:
            self._add(self._directory, path, entry, meta)
        else:
            self.files += 1
            self._file(path, entry)

    def _nameless(self, path: str, entries: _Entries, used: set[int]) -> None:
        """Files whose names are lost: their blocks are looked at all the same."""
        for number, entry in entries.all():
            if number not in used:
                name = f"{path}/(entry {number}, its name is lost)" if path else f"(entry {number}, its name is lost)"
                if entry.directory:
                    self._add(self._generic, name, Link(entry.score, entry.type))
                else:
                    self._file(name, entry)


class _Entries:
    """The entry stream of a directory, of which some leaves may be lost."""

    def __init__(self, entry: Entry, leaves: dict[int, bytes | None]) -> None:
        self._dsize = entry.dsize
        self._count = geometry.entries(entry.size, entry.dsize)
        self._leaves = leaves

    def get(self, number: int, generation: int, directory: bool) -> Entry:
        """An entry as a directory entry names it. Raises ``DamagedArchive``: there is none like that."""
        leaf, offset = geometry.entry_place(number, self._dsize)
        block = self._leaves.get(leaf, b"")
        if block is None:
            raise DamagedArchive("its entry was in a block of the directory that is lost, so nothing of it is found")
        if number >= self._count:
            raise DamagedArchive(f"entry {number} of its directory is not in use")
        entry = _entry(block[offset:], 0)
        if not entry.active:
            raise DamagedArchive(f"entry {number} of its directory is not in use")
        if entry.generation != generation:
            raise DamagedArchive(f"the file has been removed (generation {entry.generation}, not {generation})")
        if entry.directory != directory:
            raise DamagedArchive(f"its mode says {'directory' if directory else 'file'} and its entry does not")
        return entry

    def in_use(self) -> int:
        """How many entries are."""
        return sum((flag & ACTIVE) for block in self._leaves.values() for flag in (block or b"")[FLAGS::ENTRY_SIZE])

    def all(self) -> list[tuple[int, Entry]]:
        """Every entry in use that is left and leads anywhere."""
        found = []
        per_leaf = geometry.entries_per_leaf(self._dsize)
        for leaf, block in self._leaves.items():
            for slot in range(min(per_leaf, -(-len(block or b"") // ENTRY_SIZE))):
                try:
                    entry = _entry(block or b"", slot)
                except DamagedArchive:
                    continue
                if entry.active and entry.score not in (ZERO_SCORE, NO_ROOT):
                    found.append((leaf * per_leaf + slot, entry))
        return found


def _entry(block: bytes, number: int) -> Entry:
    return Entry.unpack(block[ENTRY_SIZE * number : ENTRY_SIZE * (number + 1)].ljust(ENTRY_SIZE, b"\0"))


def _scores(block: bytes) -> list[Score]:
    return [Score(block[at : at + SCORE_SIZE]) for at in range(0, len(block) - SCORE_SIZE + 1, SCORE_SIZE)]


def _limit(entry: Entry, level: int) -> int:
    return entry.psize if level else entry.dsize
