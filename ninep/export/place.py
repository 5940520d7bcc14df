"""Places beneath an exported directory, each held by a descriptor and not by a path.

A ``Place`` is a name in a directory, held open with O_PATH: such a descriptor gives no access to the content and opens
no device, but it keeps standing for the same file whatever is renamed around it. A walk goes one name at a time from
the descriptor of the directory, with O_NOFOLLOW; ``..`` is the place that we came from and at the root the root. So
nothing a client says, and no symbolic link that anybody makes meanwhile, can lead outside.

Several fids at one name share a place: renamed through one of them, it is renamed for all.
"""

from __future__ import annotations

import os
import stat as unix

from ninep.errors import FileRemoved

_KIND = 0o170000
"""The bits of a mode that tell what a file is (``S_IFMT``)."""
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


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
    """

    __slots__ = (
        "_children",
        "_references",
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
    def proc(self) -> str:
        """A path that leads to exactly this file, whatever its name is by now (proc(5))."""
        return f"/proc/self/fd/{self.descriptor}"

    def hold(self) -> Place:
        """One reference more."""
        self._references += 1
        return self

    def drop(self) -> None:
        """One reference less; with the last of them the descriptor is closed."""
        place = self
        while True:
            place._references -= 1
            if place._references:
                return
            os.close(place.descriptor)
            parent = place.parent
            if parent is place:
                return
            if parent._children.get(place.name) is place:
                del parent._children[place.name]
            place = parent

    def step(self, name: str) -> Place:
        """The place called ``name`` in this directory, held once more. Raises ``OSError``."""
        return self.found(name, os.open(name, _PATH, dir_fd=self.descriptor))

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
        known = self._children.get(name)
        if known is not None:
            if known.key == (status.st_dev, status.st_ino):
                os.close(descriptor)
                known.status = status
                return known.hold()
            known.removed = True
        place = self._children[name] = Place(descriptor, status, self.hold(), name)
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
        self.removed = True
        if self.parent._children.get(self.name) is self:
            del self.parent._children[self.name]

    def moved(self, directory: Place, name: str) -> None:
        """It is called ``name`` in ``directory`` from now on; what was called so before is gone."""
        before = directory._children.get(name)
        if before is not None and before is not self:
            before.gone()
        if self.parent._children.get(self.name) is self:
            del self.parent._children[self.name]
        old = self.parent
        self.parent = directory.hold()
        self.name = name
        directory._children[name] = self
        old.drop()

    def open(self, flags: int) -> int:
        """A descriptor for reading or writing the file itself; its permissions are checked. Raises ``OSError``."""
        flags |= os.O_DIRECTORY if self.is_directory else os.O_NONBLOCK | os.O_NOCTTY
        return os.open(self.proc, flags | os.O_CLOEXEC)
