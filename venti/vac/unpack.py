"""Unpacks archives into the local file system, many files at once."""

from __future__ import annotations

import errno
import functools
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import trio

from ninep.tasks.jobs import Jobs
from venti.blocks.blocksize import LARGEST
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import DamagedArchive, NotInArchive, VentiError
from venti.stores.fetch import fetch
from venti.stores.interface import PipelinedStore
from venti.trees.tree import TreeReader
from venti.vac import mode as modes
from venti.vac.direntry import DirEntry, safe_name
from venti.vac.landing import ONLY_CONTENTS, Kept, Landing, write_piece
from venti.vac.reader import Listing, VacFile
from venti.vac.seed import SeededStore, leaves_of

log = logging.getLogger(__name__)

WORKERS: Final = 16
"""Directories, groups of small files and large files under way at a time."""

PIECE: Final = 1024 * 1024
"""Bytes of a large file, or of small ones, that are in memory at a time for each worker."""

GROUP: Final = 256
"""Small files that one visit to a worker thread writes."""

LONGEST_LINK: Final = 4095
"""Bytes of a symbolic link's target."""

_HOPELESS: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO))

Names = tuple[str, ...]


class Done(NamedTuple):
    """What came of unpacking.

    Attributes:
        files: files, links and pipes made.
        directories: directories made, or found.
        size: bytes of contents.
        failures: what could not be made; each was logged.
        damage: whether the archive was to blame for one of them.
        missing: paths that were asked for and are not in the archive.
    """

    files: int
    directories: int
    size: int
    failures: int
    damage: bool
    missing: tuple[str, ...]


class Unpacker:
    """Unpacks files of one archive below one directory; used once."""

    def __init__(
        self,
        store: PipelinedStore,
        landing: Landing,
        *,
        kept: Kept = ONLY_CONTENTS,
        reuse: bool = False,
        visit: Callable[[VacFile], None] = lambda _: None,
        progress: Callable[[int, int], None] = lambda files, size: None,
    ) -> None:
        """Prepares.

        Args:
            store: where the archive is.
            landing: where its files go.
            kept: what files get of what they had.
            reuse: whether blocks come from files that are there already under the same names, where those have them.
            visit: called for each file and directory that is made.
            progress: called now and then with the numbers of files and of bytes.
        """
        self._store = store
        self._landing = landing
        self._kept = kept
        self._reuse = reuse
        self._visit = visit
        self._progress = progress
        self._jobs = Jobs(WORKERS)
        self._directories: list[tuple[Names, DirEntry]] = []
        self._files = self._made = self._size = self._failures = 0
        self._damage = False
        self._missing: list[str] = []

    async def run(self, top: VacFile, wanted: Sequence[Names] = ()) -> Done:
        """Unpacks what is below ``top``: all of it, or the ``wanted`` paths with all below them.

        One file that cannot be unpacked is logged, and the others go on. If it is cancelled, what was made stays, and
        files that were under way are removed.

        Raises:
            ConnectionLost: and what else makes going on hopeless, such as a full disk.
        """
        self._jobs.add(functools.partial(self._directory, top, (), tuple(wanted)))
        await self._jobs.run()
        # Last, and from below: they may not let us in any more.
        for names, info in sorted(self._directories, key=lambda one: -len(one[0])):
            finish = functools.partial(self._landing.finish_directory, names, info, self._kept)
            await self._guarded("/".join(names), trio.to_thread.run_sync, finish)
        return Done(self._files, self._made, self._size, self._failures, self._damage, tuple(self._missing))

    async def _guarded(self, path: str, work: Callable[..., Awaitable[object]], *arguments: object) -> None:
        """Does something for one file, whose failure is not that of others."""
        try:
            await work(*arguments)
        except VentiError as error:
            self._failed(path, error)
        except OSError as error:
            if error.errno in _HOPELESS:
                raise
            self._failed(path, error)

    def _failed(self, path: str, error: Exception) -> None:
        self._failures += 1
        self._damage = self._damage or isinstance(error, VentiError)
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        log.warning("%s", text if path in text else f"{path}: {text}")

    async def _directory(self, directory: VacFile, names: Names, wanted: Sequence[Names]) -> None:
        await self._guarded(directory.path or "/", self._enter, directory, names, wanted)

    async def _enter(self, directory: VacFile, names: Names, wanted: Sequence[Names]) -> None:
        if names:
            # Nothing is made of a directory of which nothing can be read.
            _ = directory.entry, directory.meta
            await trio.to_thread.run_sync(self._landing.make_directory, names)
            self._made += 1
            self._visit(directory)
            self._directories.append((names, directory.info))
        if not wanted:
            await self._continue(directory, names, directory.listing())
            return
        for first in dict.fromkeys(path[0] for path in wanted):
            below = [path[1:] for path in wanted if path[0] == first]
            deeper = [] if () in below else below
            file = await directory.step(first)
            if file is None or (deeper and not file.info.directory):
                self._missing += ["/".join((*names, first, *path)) for path in below]
            elif deeper and safe_name(first):
                self._jobs.add(functools.partial(self._directory, file, (*names, first), deeper))
            else:
                self._sort([file], names)

    async def _continue(self, directory: VacFile, names: Names, listing: Listing) -> None:
        """One piece of a directory, and the rest of it later."""
        files = await listing.next()
        if files:
            self._jobs.add(functools.partial(self._rest, directory, names, listing))
            self._sort(files, names)

    async def _rest(self, directory: VacFile, names: Names, listing: Listing) -> None:
        await self._guarded(directory.path or "/", self._continue, directory, names, listing)

    def _sort(self, files: Sequence[VacFile], names: Names) -> None:
        """Makes jobs of files: small ones together, everything else by itself."""
        group: list[VacFile] = []
        size = 0
        for file in files:
            info = file.info
            if not safe_name(info.name):
                self._failed(
                    file.path, DamagedArchive(f"{file.path!r}: a name that would lead out of the directory is refused")
                )
            elif info.directory:
                self._jobs.add(functools.partial(self._directory, file, (*names, info.name), ()))
            elif info.mode & modes.SPECIAL:
                self._jobs.add(functools.partial(self._alone, file, (*names, info.name), self._special))
            elif (count := _small(file)) < 0:
                self._jobs.add(functools.partial(self._alone, file, (*names, info.name), self._large))
            else:
                if len(group) == GROUP or size + count > PIECE:
                    self._jobs.add(functools.partial(self._group, group, names))
                    group, size = [], 0
                group.append(file)
                size += count
        if group:
            self._jobs.add(functools.partial(self._group, group, names))

    async def _alone(self, file: VacFile, names: Names, work: Callable[[VacFile, Names], Awaitable[None]]) -> None:
        await self._guarded(file.path, work, file, names)

    async def _group(self, files: list[VacFile], names: Names) -> None:
        """Small files: their blocks in one go, and one visit to a thread."""
        here: list[bytes | None] = [None] * len(files)
        if self._reuse:
            expected = [(file.info.name, file.size, file.entry.score) for file in files]
            here = await trio.to_thread.run_sync(self._landing.read_same, names, expected)
        wanted = [
            (file.entry.score, BlockType.DATA, min(file.entry.dsize, LARGEST))
            for file, data in zip(files, here, strict=True)
            if data is None
        ]
        try:
            fetched = iter(await fetch(self._store, wanted))
            blocks = [next(fetched) if data is None else data for data in here]
        except VentiError as error:
            if len(files) == 1:
                self._failed(files[0].path, error)
            else:
                for file in files:
                    await self._group([file], names)
            return
        ready = [
            (file.info, block[: file.size].ljust(file.size, b"\0")) for file, block in zip(files, blocks, strict=True)
        ]
        await self._guarded("/".join(names) or ".", self._write, files, names, ready)

    async def _write(self, files: list[VacFile], names: Names, ready: list[tuple[DirEntry, bytes]]) -> None:
        failures = await trio.to_thread.run_sync(self._landing.write_files, names, ready, self._kept)
        failed = {error.filename for error in failures}
        for error in failures:
            if error.errno in _HOPELESS:
                raise error
            self._failed(error.filename, error)
        for file in files:
            if file.path not in failed:
                self._finished(file, file.size)

    async def _large(self, file: VacFile, names: Names) -> None:
        tree = file.tree()
        if self._reuse:
            descriptor = await trio.to_thread.run_sync(self._landing.open_existing, names)
            if descriptor is not None:
                try:
                    places = await trio.to_thread.run_sync(leaves_of, descriptor, tree.entry.dsize)
                    seeded = SeededStore(self._store, descriptor, places, tree.entry.dsize)
                    await self._contents(file, names, TreeReader(seeded, tree.entry))
                finally:
                    os.close(descriptor)
                return
        await self._contents(file, names, tree)

    async def _contents(self, file: VacFile, names: Names, tree: TreeReader) -> None:
        if tree.size <= PIECE:
            await self._write([file], names[:-1], [(file.info, await tree.read(0, tree.size))])
            return
        in_thread = trio.to_thread.run_sync
        descriptor, beside = await in_thread(self._landing.make_file, names)
        whole = False
        try:
            offset = await tree.next_data(0)
            while offset < tree.size:
                data = await tree.read(offset, PIECE)
                await in_thread(write_piece, descriptor, data, offset)
                self._size += len(data)
                self._progress(self._files, self._size)
                offset = await tree.next_data(offset + len(data))
            await in_thread(self._landing.finish_file, names, beside, descriptor, tree.size, file.info, self._kept)
            whole = True
        except OSError as error:
            raise type(error)(error.errno, error.strerror, file.path) from error
        finally:
            os.close(descriptor)
            if not whole:
                self._landing.remove_file(names, beside)
        self._finished(file, 0)

    async def _special(self, file: VacFile, names: Names) -> None:
        mode = file.info.mode
        if mode & modes.LINK:
            target = await file.read(0, LONGEST_LINK + 1)
            if not target or b"\0" in target or len(target) > LONGEST_LINK:
                raise DamagedArchive(f"{file.path}: the archive does not hold the whole target of this link")
            await trio.to_thread.run_sync(self._landing.make_link, names, target, file.info, self._kept)
        elif mode & modes.PIPE:
            await trio.to_thread.run_sync(self._landing.make_pipe, names, file.info, self._kept)
        else:
            log.warning("%s: a device, left out", file.path)
            return
        self._finished(file, 0)

    def _finished(self, file: VacFile, size: int) -> None:
        self._files += 1
        self._size += size
        self._visit(file)
        self._progress(self._files, self._size)


def _small(file: VacFile) -> int:
    """Bytes of a file whose contents are one block, else -1. A damaged entry is found out by reading it alone."""
    try:
        entry = file.entry
        file.tree()
    except DamagedArchive:
        return -1
    return entry.size if not entry.depth and entry.size <= LARGEST else -1


def missing(paths: Sequence[str]) -> NotInArchive:
    """The error that says which paths are not in the archive."""
    return NotInArchive(f"not in the archive: {', '.join(paths)}")
