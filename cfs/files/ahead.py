"""Read-ahead over files and directories, for programs that go through a tree from front to back.

A program that copies or searches a tree lists a directory, opens its files in that order, each when it is done with the
one before, and does the same in the directories below. In a tree that never changes what it will want can be fetched
before: everything that is learned stays good, and every step is made as the same user, so that nobody learns what he
may not. Who asks for something that is on its way waits for that.

How far ahead grows with every step that was foreseen, and a step that was not resets it. Somebody who only lists
directories gets directories ahead, and no files.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from cfs.errors import ServerGone
from cfs.files.cache import Arrival, Cache
from cfs.files.early import Early
from cfs.known.knowledge import Knowledge, Names
from cfs.upstream.handle import Handle
from ninep.net.errors import WireError
from ninep.protocol.errors import FileError, NinepError
from ninep.protocol.qid import QTDIR
from ninep.protocol.stat import Stat
from ninep.wire.taskless import Carried

FIRST, MOST = 8, 128
"""Files that are fetched ahead: at first, and at most; doubled with every step of the reader."""
FIRST_FOLDERS, MOST_FOLDERS = 2, 8
"""The same of directories."""
SHARE = 64
"""Most files of a directory that come with it before the reader is there; of directories below it half as many."""
AT_ONCE = 128
"""Most that is on its way for one user."""
WAITING = 512
"""Most that waits for its turn; what is beyond is fetched when it is asked for."""
LISTINGS = 2
"""So many directories opened in a row without a file in between are a reader who does not want files."""
FOLLOWED = 64
"""In how many directories one user is followed."""


class _Run:
    """The files or the directories of one directory, in the order in which they are listed."""

    __slots__ = ("done", "entries", "next")

    def __init__(self, entries: list[Stat]) -> None:
        self.entries = entries
        self.done = self.next = 0

    def go(self, place: int) -> bool:
        """The reader is at this one; whether that was foreseen."""
        foreseen = place == self.next
        self.next = place + 1
        if not foreseen:
            self.done = self.next
        return foreseen

    def upto(self, place: int) -> list[Stat]:
        """What was not fetched yet before a place."""
        found = self.entries[max(self.done, self.next) : place]
        self.done = max(self.done, place)
        return found


class _Folder:
    """A directory that somebody goes through."""

    __slots__ = ("files", "folders", "handle", "places")

    def __init__(self, entries: list[Stat], handle: Handle) -> None:
        files = [entry for entry in entries if not entry.qid.type]
        folders = [entry for entry in entries if entry.qid.type == QTDIR]
        self.files, self.folders = _Run(files), _Run(folders)
        self.handle = handle
        self.places = {
            entry.name: (run, place) for run in (self.files, self.folders) for place, entry in enumerate(run.entries)
        }


class Ahead:
    """For one user of one attach, in one conversation."""

    def __init__(self, cache: Cache, knowledge: Knowledge, root: Handle) -> None:
        """``root`` is a handle for the attach."""
        self._cache = cache
        self._knowledge = knowledge
        self._root = root
        self._early = Early(cache, knowledge)
        self._folders: OrderedDict[Names, _Folder] = OrderedDict()
        self._coming: dict[Names, Arrival] = {}
        self._next: deque[tuple[_Folder, Names, Stat, int]] = deque()
        self._listings = LISTINGS
        self._reach, self._reach_folders = FIRST, FIRST_FOLDERS
        self.opening = 0
        """How many files are being opened at the moment: a reader with many in flight needs nobody ahead of him."""

    def coming(self, names: Names) -> Arrival | None:
        """Over when what is on its way about a place is here; None if nothing is."""
        return self._coming.get(names)

    def opened(self, names: Names, *, directory: bool = False) -> None:
        """A plain file or a directory was opened for reading."""
        self._listings = self._listings + 1 if directory else 0
        if not names or self._knowledge.tree(names) is None:
            return
        folder = self._entered(names[:-1])
        found = None if folder is None else folder.places.get(names[-1])
        if folder is None or found is None:
            return
        run, place = found
        if not run.go(place):
            self._reach, self._reach_folders = FIRST, FIRST_FOLDERS
            self._next.clear()
        elif self.opening <= 1 and self._cache.may_read_ahead:
            reach = self._reach_folders if directory else self._reach
            for entry in run.upto(place + 1 + reach):
                self._want(folder, names[:-1], entry, min(self._reach, SHARE))
            if directory:
                self._reach_folders = min(reach * 2, MOST_FOLDERS)
            else:
                self._reach = min(reach * 2, MOST)
            self._go_on()

    def listed(self, names: Names) -> None:
        """A directory was read to its end. Of a reader who wants files it is known what comes next."""
        if self._listings < LISTINGS and self._knowledge.tree(names) is not None and self._cache.may_read_ahead:
            self._begin_with(names, self._reach)
            self._go_on()

    def _begin_with(self, names: Names, share: int) -> None:
        folder = self._entered(names)
        if folder is None or not share:
            return
        if self._listings <= LISTINGS:
            for entry in folder.files.upto(share):
                self._want(folder, names, entry, 0)
        for entry in folder.folders.upto(-(-min(share, SHARE) // 8)):
            self._want(folder, names, entry, share // 2)

    def _entered(self, names: Names) -> _Folder | None:
        folder = self._folders.get(names)
        if folder is not None:
            self._folders.move_to_end(names)
            return folder
        note = self._knowledge.note(names)
        if note is None or note.entries is None:
            return None
        folder = _Folder(list(note.entries.values()), self._root.at(names, note.qid, None))
        self._folders[names] = folder
        if len(self._folders) > FOLLOWED:
            _, old = self._folders.popitem(last=False)
            remote = old.handle.part()
            if remote is not None:
                remote.connection.discard(remote.fid)
        return folder

    def _want(self, folder: _Folder, names: Names, entry: Stat, share: int) -> None:
        """``share`` is of how many files in a directory it may be at once."""
        if len(self._next) < WAITING:
            self._next.append((folder, (*names, entry.name), entry, share))

    def _go_on(self) -> None:
        while self._next and len(self._coming) < AT_ONCE and self._cache.may_read_ahead:
            folder, names, entry, share = self._next.popleft()
            if names in self._coming or self._known(names, entry):
                if entry.qid.type == QTDIR:
                    self._begin_with(names, share)
                continue
            arrival = self._coming[names] = Arrival()
            self._cache.counts.values["nahead"] += not entry.qid.type

            def done(_: None, __: Exception | None, names: Names = names, arrival: Arrival = arrival) -> None:
                del self._coming[names]
                arrival.over()
                self._go_on()

            Carried(self._bring(folder, names, entry, share), self._root.upstream.nursery, done).go()

    def _known(self, names: Names, entry: Stat) -> bool:
        """Whether a directory was listed before. A file that was opened before has likely been read, too."""
        note = self._knowledge.note(names)
        return note is not None and note.opened and (entry.qid.type != QTDIR or note.entries is not None)

    async def _bring(self, folder: _Folder, names: Names, entry: Stat, share: int) -> None:
        """Does as the reader will do. What is refused is for him to hear, if he ever asks."""
        try:
            directory = await folder.handle.revived()
            if entry.qid.type == QTDIR:
                await self._early.list(directory, names, entry)
                self._begin_with(names, share)
            else:
                await self._early.read(directory, names, entry)
        except (FileError, ServerGone, NinepError, WireError):
            pass
