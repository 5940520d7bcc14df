"""Packs local files and directories into an archive, as ``vac`` does."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

import trio

from ninep.disk import ReadBound
from ninep.tasks.each import for_each
from venti.blocks.errors import DamagedArchive
from venti.blocks.score import Score
from venti.trees.entry import Entry
from venti.vac import local
from venti.vac import mode as modes
from venti.vac.direntry import DirEntry
from venti.vac.local import LocalName
from venti.vac.merge import LARGEST, SUFFIX, holds_archive
from venti.vac.reader import VacFile
from venti.vac.unchanged import Unchanged, never
from venti.vac.writer import DirectoryWriter, Ready, VacWriter

log = logging.getLogger(__name__)

PIECE: Final = 1024 * 1024
"""Bytes of a large file that are in memory at a time, and of small ones that one visit to a thread reads."""

READERS: Final = 4
"""Large files read at a time."""


Merge = Callable[[Score, int], Awaitable[tuple[list[Ready], int]]]


class Packed(NamedTuple):
    """What came of packing.

    Attributes:
        files: files taken in, with links, pipes and devices.
        kept: those of them that kept the entry of the older archive, unread.
        directories: directories taken in.
        size: bytes read.
        failures: what could not be read and is left out; each was logged.
    """

    files: int
    kept: int
    directories: int
    size: int
    failures: int


class Packer:
    """Packs into one archive; used once. Files of a directory are read many at a time, directories in turn."""

    def __init__(
        self,
        writer: VacWriter,
        *,
        excluded: Callable[[str], bool] = lambda path: False,
        unchanged: Unchanged = never,
        merge: Merge | None = None,
        first_qid: int = 1,
        renumber: bool = False,
        visit: Callable[[str, bool], None] = lambda path, directory: None,
        progress: Callable[[int, int], None] = lambda files, size: None,
    ) -> None:
        """Prepares.

        Args:
            writer: of the archive.
            excluded: whether a path is to be left out, with all below it.
            unchanged: which files of the older archive are taken for the local ones, unread.
            merge: gets the score that a ``.vac`` file holds and the next qid, and returns what takes the file's place,
                and the next qid after that; None stores such files as they are.
            first_qid: the first number for files that the older archive does not have.
            renumber: every file gets a new number, because that of the older archive stays in use.
            visit: called with the path of what is taken in, and whether it is a directory.
            progress: called now and then with the numbers of files and of bytes.
        """
        self._writer = writer
        self._excluded = excluded
        self._unchanged = unchanged
        self._merge = merge
        self._renumber = renumber
        self._visit = visit
        self._progress = progress
        self._files = self._kept = self._directories = self._size = self._failures = 0
        self.next_qid = first_qid

    def take_qid(self) -> int:
        """The next number for a file."""
        self.next_qid += 1
        return self.next_qid - 1

    @property
    def packed(self) -> Packed:
        """What came of it so far."""
        return Packed(self._files, self._kept, self._directories, self._size, self._failures)

    async def pack(
        self, paths: Mapping[str, str], into: DirectoryWriter, old: VacFile | None = None, given: Sequence[Ready] = ()
    ) -> None:
        """Packs files and directories into a directory of the archive.

        What cannot be read is logged and left out, and the rest goes on.

        Args:
            paths: by the names that they get.
            into: takes them.
            old: a directory of an older archive, to compare with by name.
            given: files for the same directory whose contents are written already.

        Raises:
            What the writer raises, and OSError for a disk that reads nothing any more.
        """
        top = _Frame("", None, into, await self._older(old))
        top.ready = {one.info.name: one for one in given}
        for name, path in paths.items():
            try:
                found = await trio.to_thread.run_sync(local.look, path, name)
            except OSError as error:
                self._failed(path, error)
                continue
            if found is None:
                log.warning("%s: a socket, left out", path)
            elif not self._excluded(path):
                if self._merge is not None and name.endswith(SUFFIX) and 0 < found.size <= LARGEST:
                    found = found._replace(data=await trio.to_thread.run_sync(local.read_small, path))
                top.found.append(found)
                top.paths[name] = path
        await self._enter(top, top.found)
        await self._walk(top)

    async def _walk(self, top: _Frame) -> None:
        """Depth first with a stack of its own: trees may be deeper than Python's."""
        stack = [top]
        while stack:
            frame = stack[-1]
            if frame.waiting:
                info = frame.waiting.pop()
                path = frame.paths.get(info.name) or os.path.join(frame.path, info.name)
                below = await self._open(path, info, frame.old.get(info.name))
                if below is not None:
                    stack.append(below)
                continue
            await frame.write()
            stack.pop()
            if stack:
                assert frame.info is not None
                trees = await frame.writer.finish()
                stack[-1].ready[frame.info.name] = Ready(frame.info, trees)

    async def _open(self, path: str, info: DirEntry, old: VacFile | None) -> _Frame | None:
        """Looks at a directory and takes in its files."""
        older = await self._older(old)
        excluded, same = self._excluded, self._same
        try:
            found = await trio.to_thread.run_sync(
                local.scan,
                path,
                lambda info, size: same(older.get(info.name), info, size),
                lambda name: not excluded(os.path.join(path, name)),
                PIECE,
            )
        except OSError as error:
            self._failed(path, error)
            return None
        self._directories += 1
        self._visit(path, True)
        frame = _Frame(path, self._numbered(info, old), self._writer.directory(), older)
        await self._enter(frame, found)
        return frame

    async def _older(self, directory: VacFile | None) -> dict[str, VacFile]:
        if directory is None or not directory.info.directory:
            return {}
        return {file.info.name: file for file in await directory.files()}

    async def _enter(self, frame: _Frame, found: Sequence[LocalName]) -> None:
        """Takes in the files of a directory and notes its directories."""
        later: list[LocalName] = []
        for one in found:
            name = one.info.name
            path = frame.paths.get(name) or os.path.join(frame.path, name)
            old = frame.old.get(name)
            if one.error is not None:
                self._failed(path, one.error)
            elif one.unfit:
                log.warning("%s: a socket, left out", path)
            elif one.info.directory:
                frame.waiting.append(one.info)
            elif self._merge is not None and (score := holds_archive(name, one.data)) is not None:
                await self._expand(frame, path, score, {other.info.name for other in found})
            elif one.data is not None:
                tree = self._writer.tree()
                await tree.write(one.data)
                self._size += len(one.data)
                self._taken(frame, path, one.info, await tree.finish())
            elif old is not None and self._same(old, one.info, one.size):
                self._kept += 1
                self._taken(frame, path, one.info, old.entry)
            else:
                later.append(one)
        frame.waiting.reverse()
        if later:
            read = functools.partial(self._read_one, frame)
            await for_each([one.info for one in later], read, READERS)

    async def _expand(self, frame: _Frame, path: str, score: Score, taken: set[str]) -> None:
        """Takes in what an archive has at its top, in place of the file that holds its score."""
        assert self._merge is not None
        ready, self.next_qid = await self._merge(score, self.next_qid)
        self._visit(path, True)
        for one in ready:
            name = one.info.name
            if name in frame.ready or (name in taken and name != os.path.basename(path)):
                self._failures += 1
                log.warning("%s: holds %r, which is there already, left out", path, name)
            else:
                frame.ready[name] = one

    async def _read_one(self, frame: _Frame, info: DirEntry) -> None:
        path = frame.paths.get(info.name) or os.path.join(frame.path, info.name)
        in_thread = trio.to_thread.run_sync
        tree = self._writer.tree()
        try:
            descriptor = await in_thread(local.open_file, path)
            try:
                bound = ReadBound(descriptor)
                while True:
                    hole, data = await in_thread(local.next_piece, descriptor, bound, tree.size, PIECE)
                    await tree.hole(hole)
                    if not data:
                        break
                    await tree.write(data)
                    self._size += len(data)
                    self._progress(self._files, self._size)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._failed(path, error)
            return
        self._taken(frame, path, info, await tree.finish())

    def _taken(self, frame: _Frame, path: str, info: DirEntry, entry: Entry) -> None:
        self._files += 1
        frame.ready[info.name] = Ready(self._numbered(info, frame.old.get(info.name)), entry)
        self._visit(path, False)
        self._progress(self._files, self._size)

    def _same(self, old: VacFile | None, info: DirEntry, size: int) -> bool:
        if old is None or (old.info.mode | info.mode) & (modes.SPECIAL | modes.DIRECTORY):
            return False
        try:
            return self._unchanged(old, info, size)
        except DamagedArchive:
            return False

    def _numbered(self, info: DirEntry, old: VacFile | None) -> DirEntry:
        """With a qid: that of the older archive, so that a file keeps its number, or the next."""
        if old is not None and not self._renumber and old.info.directory == info.directory:
            return info._replace(qid=old.qid)
        return info._replace(qid=self.take_qid())

    def _failed(self, path: str, error: OSError) -> None:
        self._failures += 1
        log.warning("%s: %s, left out", path, error.strerror or error)


class _Frame:
    """A directory under way."""

    def __init__(self, path: str, info: DirEntry | None, writer: DirectoryWriter, old: dict[str, VacFile]) -> None:
        self.path = path
        self.info = info
        self.writer = writer
        self.old = old
        self.found: list[LocalName] = []
        self.paths: dict[str, str] = {}
        self.waiting: list[DirEntry] = []
        self.ready: dict[str, Ready] = {}

    async def write(self) -> None:
        """Everything in it, in the order of names."""
        await self.writer.add_all(self.ready.values())


def top_names(paths: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """What the arguments of ``vac`` mean: paths by the names that they get, and directories whose contents go in.

    An argument is stored under its last name; ``/``, ``.`` and what ends in ``..`` stand for what is in them.

    Raises:
        ValueError: two would get the same name.
    """
    named: dict[str, str] = {}
    opened = []
    for path in paths:
        clean = os.path.normpath(path)
        name = os.path.basename(clean)
        if name in ("", ".", ".."):
            opened.append(clean)
        elif name in named:
            raise ValueError(f"{named[name]} and {path} would both be called {name!r} in the archive")
        else:
            named[name] = path.rstrip("/") or path
    return named, opened


def contents(directory: str) -> dict[str, str]:
    """What is in a directory, by name. Blocks."""
    return {name: os.path.join(directory, name) if directory != "." else name for name in os.listdir(directory)}
