"""Reads every block of an arena partition of the original venti, and reports what is damaged.

The log of clumps is what counts; the tail is a hint how far it goes, and the directory a second opinion on each clump
and the way past one whose header is gone. Index and bloom filter are not looked at: they can lack blocks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from hashlib import sha1
from typing import NamedTuple

from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BadBlockType, DamagedStore
from venti.blocks.score import Score
from venti.plan9 import layout
from venti.plan9.layout import CLUMP_HEADER, DirectoryEntry, Extent
from venti.plan9.whack import BadWhack, decompress

_NOTHING = bytes(layout.SEAL_SIZE)
_PIECE = 1 << 20
_BLOCK_SIZES = (8192, *(1 << shift for shift in (9, 10, 11, 12, 14, 15, 16)))


class Block(NamedTuple):
    """A block that is what its score says; ``stored`` is the bytes of its clump."""

    type: BlockType
    score: Score
    data: bytes
    stored: int


class Damage(NamedTuple):
    """Something that is not as it was written.

    Attributes:
        arena: its name.
        offset: in the arena's clumps, as the original tools count.
        score: of the block that is lost; None when not even that is known.
        type: of that block, None with it.
        detail: what is wrong.
    """

    arena: str
    offset: int
    score: Score | None
    type: BlockType | None
    detail: str

    def __str__(self) -> str:
        block = "" if self.score is None else f"block {self.score}/{int(self.type or 0)} "
        return f"{block}at {self.arena} offset {self.offset}: {self.detail}"


class Partition:
    """An arena partition: a file or a disk, opened for reading. A context manager.

    Attributes:
        path: its name.
        size: bytes of it.
        arenas: where they are.
        trouble: what was wrong with the partition's own header, empty if nothing.
    """

    def __init__(self, path: str) -> None:
        """Opens it.

        Raises:
            OSError: it cannot be read.
            DamagedStore: there is no arena in it.
        """
        self.path = path
        self.trouble = ""
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.size = os.lseek(self._file, 0, os.SEEK_END)
            try:
                self.arenas = self._table()
            except DamagedStore as error:
                self.arenas = list(self._search())
                if not self.arenas:
                    raise DamagedStore(f"{path}: {error}, and no arena is found further on") from error
                self.trouble = f"{error}; {len(self.arenas)} arenas were found by their heads"
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Partition:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def _read(self, offset: int, count: int) -> bytes:
        return os.pread(self._file, count, offset)

    def _table(self) -> list[Extent]:
        header = layout.unpack_partition(self._read(layout.HEADER_AT, layout.HEADER_SIZE))
        return layout.unpack_table(self._read(header.table, min(header.base - header.table, _PIECE)))

    def _search(self) -> Iterator[Extent]:
        """Arenas by their heads, which stand at multiples of the block size, or at 512 at least."""
        magic = layout.HEAD_MAGIC.to_bytes(4, "big")
        at = 0
        while at < self.size:
            data = self._read(at, _PIECE + 4)
            found = data.find(magic)
            if found < 0 or found >= _PIECE:
                at += _PIECE
                continue
            at += found
            try:
                head = layout.unpack_head(self._read(at, layout.HEADER_SIZE)) if at % 512 == 0 else None
            except DamagedStore:
                head = None
            if head is None:
                at += 1
                continue
            yield Extent(head.name, at, at + head.size)
            at += head.size

    def used(self) -> int:
        """Bytes of clumps in all arenas, as far as their tails know."""
        total = 0
        for extent in self.arenas:
            try:
                total += ArenaLog(self._file, extent).used
            except (DamagedStore, OSError):
                continue
        return total

    def blocks(self, arenas: Sequence[Extent] | None = None) -> Iterator[Block | Damage]:
        """Everything in these arenas, or all, in its order: blocks that have been checked, and damage."""
        for extent in self.arenas if arenas is None else arenas:
            try:
                yield from ArenaLog(self._file, extent).walk()
            except DamagedStore as error:
                yield Damage(extent.name, 0, None, None, str(error))
            except OSError as error:
                yield Damage(extent.name, 0, None, None, f"cannot be read: {error.strerror}")


class ArenaLog:
    """The log of clumps of one arena.

    Attributes:
        used: bytes of it, as far as the tail knows.
    """

    def __init__(self, file: int, extent: Extent) -> None:
        """Reads head and tail; one of them is enough.

        Raises:
            DamagedStore: neither can be read.
        """
        self._file = file
        self._extent = extent
        self.trouble: list[str] = []
        head = tail = None
        try:
            head = layout.unpack_head(os.pread(file, layout.HEADER_SIZE, extent.start))
        except DamagedStore as error:
            self.trouble.append(str(error))
        for size in dict.fromkeys((*((head.block_size,) if head else ()), *_BLOCK_SIZES)):
            try:
                tail = layout.unpack_tail(os.pread(file, size, extent.stop - size))
            except DamagedStore as error:
                trouble = str(error)
                continue
            self._block = size
            break
        else:
            self.trouble.append(trouble)
            if head is None:
                raise DamagedStore("; ".join(self.trouble))
            self._block = head.block_size
        magics = [part.magic for part in (head, tail) if part is not None]
        first = int.from_bytes(os.pread(file, 4, extent.start + self._block), "big")
        self._magic = first if first in magics else magics[0]
        self._clumps = tail.clumps if tail else 0
        self.used = tail.used if tail else 0
        space = extent.stop - extent.start - 2 * self._block
        if self.used + layout.directory_blocks(self._clumps, self._block) * self._block > space:
            self.trouble.append(f"the tail counts {self._clumps} clumps of {self.used} bytes, which do not fit")
            self._clumps = self.used = 0
        self._seal = tail.seal if tail and tail.sealed else _NOTHING
        self._base = extent.start + self._block
        self._directory: tuple[int, bytes] = (0, b"")
        self._also: Block | None = None
        self._adrift = False
        """Nobody knows which entry of the directory belongs to the next clump."""

    def walk(self) -> Iterator[Block | Damage]:
        """Every clump in order, then what the seal says."""
        at = number = 0
        for text in self.trouble:
            yield Damage(self._extent.name, 0, None, None, text)
        while True:
            step = self._step(at, number)
            if step is None:
                if at >= self.used:
                    break
                start, at, number = at, *self._resume(at, number)
                lost = f"{at - start} bytes of clumps cannot be made out: neither they nor the directory are whole"
                yield Damage(self._extent.name, start, None, None, lost)
                continue
            found, length = step
            yield found
            if self._also is not None:
                yield self._also
                self._also = None
            at += length
            number += 1
        if self._seal != _NOTHING and self._checksum() != self._seal:
            detail = "the arena is not what it was when it was sealed"
            yield Damage(self._extent.name, at, None, None, detail)

    def _step(self, at: int, number: int) -> tuple[Block | Damage, int] | None:
        """What is at ``at``, and how long it is; None at the end."""
        limit = self._extent.stop - self._base - self._block
        clumps = self._clumps if self._adrift else max(number + 1, self._clumps)
        room = limit - layout.directory_blocks(clumps, self._block) * self._block
        header = layout.unpack_clump(os.pread(self._file, CLUMP_HEADER, self._base + at))
        expected = at < self.used
        entry = self._entry(number) if expected and not self._adrift else None
        if header is not None and (header.magic != self._magic or at + CLUMP_HEADER + header.stored > room):
            header = None
        if header is None and (entry is None or at + CLUMP_HEADER + entry.stored > room):
            return None
        detail = "its header is damaged"
        if header is not None:
            block, detail = self._decode(at, header.type, header.stored, header.size, header.score, header.encoding)
            length = CLUMP_HEADER + header.stored
            if block is not None:
                if entry is not None and entry[1:] == header[2:5] and entry.type != header.type:
                    # The score does not tell which type is right: the block is there under either.
                    self._also = self._decode(at, entry.type, *header[2:])[0]
                return block, length
            if not expected:
                # Behind what the tail knows: a write that was not finished when the server ended.
                return None
            if entry is None:
                return self._damage(at, header.type, header.score, detail), length
        assert entry is not None
        encoding = layout.PLAIN if entry.stored == entry.size else layout.WHACK
        block, _ = self._decode(at, entry.type, entry.stored, entry.size, entry.score, encoding)
        length = CLUMP_HEADER + entry.stored
        other = CLUMP_HEADER + header.stored if header is not None else length
        if block is None and not self._is_clump(at + length) and self._is_clump(at + other):
            # Neither header nor directory leads to the block: follow the one that leads to another clump.
            length = other
        return block or self._damage(at, entry.type, entry.score, detail), length

    def _resume(self, at: int, number: int) -> tuple[int, int]:
        """Where the next sound clump behind ``at`` is, and its number by the directory; else the end of the log."""
        magic = self._magic.to_bytes(4, "big")
        while at < self.used:
            data = os.pread(self._file, min(_PIECE, self.used - at) + 3, self._base + at + 1)
            found = data.find(magic)
            if found < 0:
                at += _PIECE
                continue
            at += 1 + found
            header = layout.unpack_clump(os.pread(self._file, CLUMP_HEADER, self._base + at))
            if header is None or self._decode(at, *header[1:])[0] is None:
                continue
            for later in range(number, self._clumps):
                if self._entry(later) == header[1:5]:
                    return at, later
            self._adrift = True
            return at, number
        self._adrift = True
        return self.used, number

    def _is_clump(self, at: int) -> bool:
        return os.pread(self._file, 4, self._base + at) == self._magic.to_bytes(4, "big")

    def _damage(self, at: int, type: int, score: bytes, detail: str) -> Damage:
        kind = None
        if type != layout.CORRUPT:
            try:
                kind = BlockType.from_wire(type)
            except BadBlockType as error:
                detail = f"{detail}; {error}"
        return Damage(self._extent.name, at, Score(score), kind, detail)

    def _decode(
        self, at: int, type: int, stored: int, size: int, score: bytes, encoding: int
    ) -> tuple[Block | None, str]:
        """The checked block, or why there is none."""
        data = os.pread(self._file, stored, self._base + at + CLUMP_HEADER)
        if len(data) < stored:
            return None, "the file ends in its midst"
        if type == layout.CORRUPT:
            return None, "it is marked corrupt"
        if encoding == layout.WHACK and stored < size:
            try:
                data = decompress(data, size)
            except BadWhack as error:
                return None, f"decompression failed: {error}"
        elif encoding != layout.PLAIN or stored != size:
            return None, f"encoding {encoding} with {stored} of {size} bytes cannot be"
        got = Score.of(data)
        if got != score:
            return None, f"its score is now {got}"
        try:
            kind = BlockType.from_wire(type)
        except BadBlockType as error:
            return None, str(error)
        return Block(kind, got, data, CLUMP_HEADER + stored), ""

    def _entry(self, number: int) -> DirectoryEntry | None:
        block, offset = layout.directory_place(number, self._block)
        if self._directory[0] != block:
            place = self._extent.stop - self._block - block * self._block
            if place < self._base:
                return None
            self._directory = (block, os.pread(self._file, self._block, place))
        entry = layout.unpack_entry(self._directory[1], offset)
        return None if entry is None or not entry.size or entry.stored > entry.size else entry

    def _checksum(self) -> bytes:
        end = self._extent.stop - layout.SEAL_SIZE
        whole = sha1(usedforsecurity=False)
        for at in range(self._extent.start, end, _PIECE):
            whole.update(os.pread(self._file, min(_PIECE, end - at), at))
        whole.update(_NOTHING)
        return whole.digest()
