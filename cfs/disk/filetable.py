"""The files that are in use or have bytes in memory: by identity, and by their number in the index. Pure."""

from __future__ import annotations

from collections import OrderedDict

from cfs.disk.stored import StoredFile

IDLE = 4096
"""Files that are kept in memory although nobody uses them, so that they can be opened without asking the index."""

Identity = tuple[str, int]
"""Attach name and qid path."""


class FileTable:
    """At most one version of each file."""

    def __init__(self) -> None:
        self._files: dict[Identity, StoredFile] = {}
        self._numbered: dict[int, StoredFile] = {}
        self._idle: OrderedDict[Identity, StoredFile] = OrderedDict()

    def get(self, tree: str, path: int) -> StoredFile | None:
        """The file, at whichever version."""
        return self._files.get((tree, path))

    def use(self, file: StoredFile) -> None:
        """One more uses the file."""
        file.users += 1
        self._idle.pop((file.tree, file.path), None)

    def numbered(self, number: int) -> StoredFile | None:
        """The file with this number in the index."""
        return self._numbered.get(number)

    def add(self, file: StoredFile) -> None:
        """Enters a file of which there was none."""
        self._files[file.tree, file.path] = file
        if file.number is not None:
            self._numbered[file.number] = file

    def give_number(self, file: StoredFile, number: int) -> None:
        """The file is in the index from now on."""
        file.number = number
        self._numbered[number] = file

    def forget_number(self, number: int) -> None:
        """No file in the index has this number any more."""
        self._numbered.pop(number, None)

    def take(self, tree: str, path: int) -> StoredFile | None:
        """Removes and returns a file."""
        self._idle.pop((tree, path), None)
        return self._files.pop((tree, path), None)

    def give_back(self, file: StoredFile) -> None:
        """One less uses the file."""
        file.users -= 1
        self.unload(file)

    def unload(self, file: StoredFile) -> None:
        """Lets a file go if nobody uses it and nothing of it waits; those of which something is held rest a while."""
        identity = (file.tree, file.path)
        if file.users or file.waiting or self._files.get(identity) is not file:
            return
        if file.number is None:
            del self._files[identity]
            return
        file.rest()
        self._idle[identity] = file
        if len(self._idle) > IDLE:
            self._remove(self._idle.popitem(last=False)[1])

    def disturb(self, number: int) -> None:
        """Removes the file with this number if nobody uses it: the index is about to change."""
        file = self._numbered.get(number)
        if file is not None and self._idle.pop((file.tree, file.path), None) is not None:
            self._remove(file)

    def _remove(self, file: StoredFile) -> None:
        del self._files[file.tree, file.path]
        if file.number is not None:
            del self._numbered[file.number]

    def unpin(self, pin: int) -> None:
        """No file is held by this pin any more."""
        for file in self._files.values():
            if file.pin == pin:
                file.pin = 0
                file.unload_rows()

    def kill_all(self) -> None:
        """Empties all files for good."""
        for file in self._files.values():
            file.die()
        self._files.clear()
        self._numbered.clear()
        self._idle.clear()
