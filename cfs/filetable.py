"""The files that are in use or have bytes in memory: by identity, and by their number in the index. Pure."""

from __future__ import annotations

from cfs.stored import StoredFile

Identity = tuple[str, int]
"""Attach name and qid path."""


class FileTable:
    """At most one version of each file."""

    def __init__(self) -> None:
        self._files: dict[Identity, StoredFile] = {}
        self._numbered: dict[int, StoredFile] = {}

    def get(self, tree: str, path: int) -> StoredFile | None:
        """The file, at whichever version."""
        return self._files.get((tree, path))

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
        return self._files.pop((tree, path), None)

    def unload(self, file: StoredFile) -> None:
        """Removes a file if nobody uses it and nothing of it waits."""
        if file.users or file.waiting or self._files.get((file.tree, file.path)) is not file:
            return
        del self._files[file.tree, file.path]
        if file.number is not None:
            del self._numbered[file.number]

    def unpin(self, pin: int) -> None:
        """No file is held by this pin any more."""
        for file in self._files.values():
            if file.pin == pin:
                file.pin = 0

    def kill_all(self) -> None:
        """Empties all files for good."""
        for file in self._files.values():
            file.die()
        self._files.clear()
        self._numbered.clear()
