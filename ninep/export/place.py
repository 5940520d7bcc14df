"""Places beneath an exported directory, each held by a descriptor and not by a path.

A ``Place`` is a name in a directory, held open with O_PATH: such a descriptor gives no access to the content and opens
no device, but it keeps standing for the same file whatever is renamed around it. A walk goes one name at a time from
the descriptor of the directory, with O_NOFOLLOW; ``..`` is the place that we came from and at the root the root. So
nothing a client says, and no symbolic link that anybody makes meanwhile, can lead outside.

Several fids at one name share a place: renamed through one of them, it is renamed for all. Calls that may hang are made
by threads: what is known of places may change in several of them at once.
"""

from __future__ import annotations

import os
import stat as unix
import threading

from ninep.export.descriptors import counted
from ninep.export.mounts import Away
from ninep.protocol.errors import FileRemoved

_KIND = 0o170000
"""The bits of a mode that tell what a file is (``S_IFMT``)."""
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_lock = threading.Lock()
"""Held while references and children change and other threads are about; never while the system is called."""
_threads = 0


def thread_begins() -> None:
    """From here on another thread uses places. Called by the event loop's."""
    global _threads
    with _lock:
        _threads += 1


def thread_ends() -> None:
    """It does not any more. Called by itself, or for one that did not begin."""
    global _threads
    with _lock:
        _threads -= 1


class Place:
    """One name in one directory, for as long as somebody refers to it.

    Attributes:
        descriptor: an O_PATH descriptor of what is there.
        parent: the directory; the root is its own.
        name: as the parent calls it.
        status: what fstat said last.
        key: the device and inode.
        is_directory: whether a directory is here.
        is_link: whether a symbolic link is here.
        removed: whether the name is gone.
        away: what is known of file systems that may not answer, here and below; None: nothing.
    """

    __slots__ = (
        "_children",
        "_references",
        "away",
        "descriptor",
        "is_directory",
        "is_link",
        "key",
        "name",
        "parent",
        "removed",
        "status",
    )

    def __init__(self, descriptor: int, status: os.stat_result, parent: Place | None, name: str) -> None:
        self.descriptor = descriptor
        self.status = status
        self.key = (status.st_dev, status.st_ino)
        kind = status.st_mode & _KIND
        self.is_directory = kind == unix.S_IFDIR
        self.is_link = kind == unix.S_IFLNK
        self.parent = parent or self
        self.name = name
        self.removed = False
        self.away: Away | None = None
        self._children: dict[str, Place] = {}
        self._references = 1

    @classmethod
    def root(cls, path: str) -> Place:
        """The directory that is exported. Raises ``OSError``."""
        descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return cls(descriptor, os.fstat(descriptor), None, "/")

    @property
    def is_root(self) -> bool:
        """Whether this is what is exported."""
        return self.parent is self

    @property
    def is_syncable(self) -> bool:
        """Whether it can be opened for no more than being synced."""
        return self.is_directory or unix.S_ISREG(self.status.st_mode)

    @property
    def proc(self) -> str:
        """A path that leads to exactly this file, whatever its name is by now (proc(5))."""
        return f"/proc/self/fd/{self.descriptor}"

    def hold(self) -> Place:
        """One reference more."""
        if _threads:
            with _lock:
                self._references += 1
        else:
            self._references += 1
        return self

    def tell(self, away: Away | None) -> None:
        """What is known of mounts has changed."""
        self.away = away
        for name, child in list(self._children.items()):
            child.tell(None if away is None else away.below(name))

    def drop(self) -> None:
        """One reference less; with the last of them the descriptor is closed."""
        place = self
        while True:
            parent = place.parent
            if _threads:
                with _lock:
                    last = place._dropped()
            else:
                last = place._dropped()
            if not last:
                return
            os.close(place.descriptor)
            if parent is place:
                return
            place = parent

    def _dropped(self) -> bool:
        """Whether it was the last reference."""
        self._references -= 1
        if self._references:
            return False
        children = self.parent._children
        if children.get(self.name) is self:
            del children[self.name]
        return True

    def step(self, name: str) -> Place:
        """The place called ``name`` in this directory, held once more. Raises ``OSError``."""
        return self.found(name, counted(os.open(name, _PATH, dir_fd=self.descriptor)))

    def child(self, name: str) -> Place | None:
        """The place called ``name`` here, if somebody holds it."""
        return self._children.get(name)

    def found(self, name: str, descriptor: int) -> Place:
        """The place of what ``descriptor`` stands for, which is called ``name`` here. Takes the descriptor over."""
        try:
            status = os.fstat(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if _threads:
            with _lock:
                return self._found(name, descriptor, status)
        return self._found(name, descriptor, status)

    def _found(self, name: str, descriptor: int, status: os.stat_result) -> Place:
        known = self._children.get(name)
        if known is not None:
            if known.key == (status.st_dev, status.st_ino):
                os.close(descriptor)
                known.status = status
                known._references += 1
                return known
            known.removed = True
        self._references += 1
        place = self._children[name] = Place(descriptor, status, self, name)
        if self.away is not None:
            place.away = self.away.below(name)
        return place

    def refresh(self) -> os.stat_result:
        """What fstat says now."""
        self.status = os.fstat(self.descriptor)
        return self.status

    def check(self) -> None:
        """Makes sure that the name still stands for this file, before something is done by name.

        Raises:
            FileRemoved: it does not.
        """
        if not self.removed:
            try:
                status = os.lstat(self.name, dir_fd=self.parent.descriptor)
            except FileNotFoundError:
                pass
            else:
                if (status.st_dev, status.st_ino) == self.key:
                    return
        raise FileRemoved

    def gone(self) -> None:
        """The name was removed, or taken over by another file."""
        with _lock:
            self._remove()

    def _remove(self) -> None:
        self.removed = True
        if self.parent._children.get(self.name) is self:
            del self.parent._children[self.name]

    def moved(self, directory: Place, name: str) -> None:
        """It is called ``name`` in ``directory`` from now on; what was called so before is gone."""
        with _lock:
            before = directory._children.get(name)
            if before is not None and before is not self:
                before._remove()
            if self.parent._children.get(self.name) is self:
                del self.parent._children[self.name]
            old = self.parent
            directory._references += 1
            self.parent = directory
            self.name = name
            directory._children[name] = self
        old.drop()

    def open(self, flags: int) -> int:
        """A descriptor for reading or writing the file itself; its permissions are checked. Raises ``OSError``."""
        flags |= os.O_DIRECTORY if self.is_directory else os.O_NONBLOCK | os.O_NOCTTY
        return counted(os.open(self.proc, flags | os.O_CLOEXEC))
