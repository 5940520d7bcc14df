"""Reading ahead of whoever goes through the files of a directory one after the other.

A program that copies or searches a tree lists a directory and then opens its files in that order, each when it is done
with the one before. In a tree that never changes what it will want can be had before: everything that is learned stays
good, and every step is made as the same user, so that nobody learns what he may not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import trio

from cfs.cache import Cache
from cfs.knowledge import Knowledge, Names
from ninep.errors import FileError
from ninep.files import File
from ninep.maybe import arrived
from ninep.messages import OREAD
from ninep.qid import Qid
from ninep.stat import Stat

FIRST = 8
"""Files that are fetched ahead at first; doubled as the reader goes on."""
MOST = 64
LARGEST = 1024 * 1024
"""Bytes of a file that is fetched ahead; a larger one has read-ahead of its own once it is open."""
PIECE = 256 * 1024
DIRECTORIES = 8
"""In how many directories one user is followed."""


class _Folder:
    """A directory that somebody goes through."""

    __slots__ = ("done", "file", "files", "next", "places", "window")

    def __init__(self, files: list[Stat], file: File) -> None:
        self.files = files
        self.places = {entry.name: place for place, entry in enumerate(files)}
        self.file = file
        self.next = 0
        self.done = 0
        self.window = FIRST // 2


class Ahead:
    """For one user of one attach, in one conversation."""

    def __init__(
        self, cache: Cache, knowledge: Knowledge, nursery: trio.Nursery, view: Callable[[Names, Qid], File]
    ) -> None:
        """``view`` makes a view of a directory, by its place and its qid; fetches run in ``nursery``."""
        self._cache = cache
        self._knowledge = knowledge
        self._nursery = nursery
        self._view = view
        self._folders: OrderedDict[Names, _Folder] = OrderedDict()
        self.opening = 0
        """How many files are being opened at the moment: a reader with many in flight needs nobody ahead of him."""

    def opened(self, names: Names) -> None:
        """A plain file was opened for reading."""
        if not names or self._knowledge.tree(names) is None:
            return
        folder = self._folders.get(names[:-1]) or self._enter(names[:-1])
        place = None if folder is None else folder.places.get(names[-1])
        if folder is None or place is None:
            return
        if place != folder.next:
            folder.window, folder.done = FIRST // 2, 0
        elif self.opening <= 1 and self._cache.may_read_ahead:
            folder.window = min(folder.window * 2, MOST)
            begin, folder.done = max(folder.done, place + 1), place + 1 + folder.window
            for entry in folder.files[begin : folder.done]:
                if entry.length <= LARGEST:
                    self._cache.counts.values["nahead"] += 1
                    self._nursery.start_soon(self._fetch, folder.file, entry)
        folder.next = place + 1

    def _enter(self, names: Names) -> _Folder | None:
        note = self._knowledge.note(names)
        if note is None or note.entries is None:
            return None
        files = [entry for entry in note.entries.values() if not entry.qid.type]
        folder = self._folders[names] = _Folder(files, self._view(names, note.qid))
        if len(self._folders) > DIRECTORIES:
            _, old = self._folders.popitem(last=False)
            self._nursery.start_soon(_given_up, old.file)
        return folder

    async def _fetch(self, directory: File, entry: Stat) -> None:
        """Does as the reader will do. What is refused is for him to hear, if he ever asks."""
        try:
            file = (await arrived(directory.walk((entry.name,)))).file
            if file is None:
                return
            try:
                await arrived(file.open(OREAD))
                at = 0
                while at < entry.length and (data := await arrived(file.read(at, PIECE))):
                    at += len(data)
            finally:
                with trio.CancelScope(shield=True):
                    await arrived(file.clunk())
        except FileError:
            pass


async def _given_up(file: File) -> None:
    try:
        await arrived(file.clunk())
    except FileError:
        pass
