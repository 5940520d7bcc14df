"""Reads file contents that are in venti and not in the data log, and keeps them in the log from then on.

Extents with such bytes have a negative place: the number of a *source*, the tree of a file in an archive. Their bytes
stand in it at the very offsets at which they stand in the file. It is read in chunks, and what has been read is a
piece of the log like any other, except that it can be dropped at any time.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

import trio
from blake3 import blake3

from fossil.archive.vault import Vault
from fossil.data.extents import LONGEST
from fossil.errors import ArchiveAway, DamagedData, FossilError
from fossil.live.filesystem import FileSystem
from fossil.metadata import lookup
from fossil.metadata.tables import FETCHED, SOURCE
from ninep.protocol.errors import FileSystemFull
from ninep.tasks.nursery import open_nursery
from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, VentiError
from venti.blocks.score import Score
from venti.trees.entry import Entry
from venti.trees.tree import TreeReader

log = logging.getLogger(__name__)

CHUNK = LONGEST
"""Bytes that are fetched and kept together."""
READERS = 256
"""Sources whose pointer blocks are kept in memory."""
LOST = 1 << 40
"""The number of a source that does not exist: of files that an archive names and does not have."""


class PatientStore:
    """What reads through a vault, whichever connection it has at the time. Only for reading."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``BlockStore``; a lost connection is dialled again once. Raises ``ArchiveAway``, too."""
        try:
            async with self._vault.use() as store:
                return await store.read(score, type, limit)
        except ArchiveAway:
            async with self._vault.use() as store:
                return await store.read(score, type, limit)

    async def write(self, type: BlockType, data: Buffer) -> Score:
        """Nothing is written here."""
        raise NotImplementedError

    async def sync(self) -> None:
        """There is nothing to sync."""

    async def aclose(self) -> None:
        """There is nothing to close."""


class Away:
    """The sources of a file system."""

    def __init__(self, system: FileSystem, vault: Vault, missing: Callable[[str], None] = lambda text: None) -> None:
        """``missing`` is told of blocks that venti does not have."""
        self._system = system
        self._missing = missing
        self.store = PatientStore(vault)
        self._readers: OrderedDict[int, TreeReader] = OrderedDict()
        self._under_way: dict[tuple[int, int], trio.Event] = {}

    async def fetch(self, source: int, offset: int, count: int) -> bytes:
        """Bytes of a source; those past its end are zeros.

        Raises:
            DamagedData: venti does not have them as they were.
            ArchiveAway: venti does not answer.
        """
        first, last = offset // CHUNK, (offset + count - 1) // CHUNK
        if first == last:
            chunks = [await self._chunk(source, first)]
        else:
            chunks = await self._chunks(source, first, last)
        low = offset - first * CHUNK
        whole = chunks[0] if len(chunks) == 1 else b"".join(chunk.ljust(CHUNK, b"\0") for chunk in chunks)
        return whole[low : low + count].ljust(count, b"\0")

    async def _chunks(self, source: int, first: int, last: int) -> list[bytes]:
        found: dict[int, bytes] = {}
        failures: list[FossilError] = []

        async def get(number: int) -> None:
            try:
                found[number] = await self._chunk(source, number)
            except FossilError as error:
                failures.append(error)

        async with open_nursery() as nursery:
            for number in range(first, last + 1):
                nursery.start_soon(get, number)
        if failures:
            raise failures[0]
        return [found[number] for number in range(first, last + 1)]

    async def _chunk(self, source: int, number: int) -> bytes:
        key = (source, number)
        while True:
            kept = await self._kept(source, number)
            if kept is not None:
                return kept
            waiting = self._under_way.get(key)
            if waiting is None:
                break
            await waiting.wait()
        self._under_way[key] = trio.Event()
        try:
            data = await self.read_venti(source, number * CHUNK, CHUNK)
            self._keep(source, number, data)
            return data
        finally:
            self._under_way.pop(key).set()

    async def read_venti(self, source: int, offset: int, count: int) -> bytes:
        """Bytes of a source as venti has them. Raises as ``fetch`` does."""
        try:
            return await self._reader(source).read(offset, count)
        except VentiError as error:
            if isinstance(error, BlockNotFound):
                self._missing(str(error))
            raise DamagedData(f"venti does not have what was archived: {error}") from error

    async def has(self, entry: bytes, offset: int, count: int) -> bool:
        """Whether venti can give these bytes of an archived file; they are read from there. Raises ``ArchiveAway``."""
        try:
            tree = TreeReader(self.store, Entry.unpack(entry))
            return len(await tree.read(offset, count)) == min(count, max(0, tree.size - offset))
        except VentiError as error:
            self._missing(str(error))
            return False

    def entry(self, source: int) -> bytes | None:
        """The tree of a source, if there is one of that number."""
        row = self._system.database.row(SOURCE, "WHERE id=?", (source,))
        return None if row is None else bytes(row[1])

    def _reader(self, source: int) -> TreeReader:
        reader = self._readers.pop(source, None)
        if reader is None:
            entry = self.entry(source)
            if entry is None:
                raise DamagedData("the archive that it came from does not have it")
            reader = TreeReader(self.store, Entry.unpack(entry))
        self._readers[source] = reader
        if len(self._readers) > READERS:
            self._readers.popitem(last=False)
        return reader

    async def _kept(self, source: int, number: int) -> bytes | None:
        """A chunk that is in the log; one that is damaged there is dropped and fetched again."""
        database, data_log = self._system.database, self._system.log
        row = database.sound(FETCHED, "WHERE source=? AND number=?", (source, number))
        if row is None:
            return None
        row = row[2:5]
        data_log.hold([row[0]])
        try:
            return bytes(await data_log.read(*row))
        except DamagedData as error:
            log.warning("%s; it is fetched from venti again", error)
            with self._system.transaction() as database:
                lookup.forget_fetched(database, row[0])
            self._system.freed.add([(row[0], row[1])])
            return None
        finally:
            data_log.release([row[0]])

    def _keep(self, source: int, number: int, data: bytes) -> None:
        """Puts a chunk into the log; where there is no room it is fetched again next time."""
        system = self._system
        if not data or system.stopped is not None:
            return
        try:
            system.check_room()
            place = system.log.append(data)
            with system.transaction() as database:
                database.put(FETCHED, (source, number, place, len(data), blake3(data).digest()))
        except (OSError, FossilError, FileSystemFull) as error:
            log.debug("not kept: %s", error)
