"""Removes whole trees on a server."""

from __future__ import annotations

from ninep.client.remote import RemoteFile
from ninep.copy.transfer import PIECE, Branch, Entries, Transfer
from ninep.protocol.errors import FileError, FileNotFound, NinepError
from ninep.protocol.stat import Stat


class _Doomed(Branch):
    """A directory under way, with how much has been removed from it."""

    __slots__ = ("removed",)
    removed: int


class Remove(Transfer):
    """Removes trees."""

    async def remove(self, path: str) -> None:
        """Removes ``path`` and everything below it.

        Raises:
            FileNotFound: there is no such file.
            Incomplete: something is left.
        """
        file = await self.tree.walk(path)
        if not file.qid.is_directory:
            await file.remove()
            self.done(0)
            return
        await self._fill(self._branch(path, file, None))
        await self.finished()

    def _branch(self, path: str, file: RemoteFile, parent: Branch | None) -> Branch:
        branch = _Doomed(path, file, parent, self._remove_directory)
        branch.removed = 0
        return branch

    async def _fill(self, branch: Branch) -> None:
        await self._some(branch, await Entries.begin(branch.file), 0)
        await branch.end()

    async def _rest(self, branch: Branch, _: str, listing: Entries, pieces: int) -> None:
        await self._some(branch, listing, pieces)

    async def _some(self, branch: Branch, listing: Entries, pieces: int) -> None:
        """Adds what is in a directory, a piece at a time: one without an end takes no more memory than another.

        A piece is complete before anything of it is removed. Between pieces something was, and a server may go on in
        another place than where it was; so the directory is looked at again after the last, as long as that finds
        something to remove.
        """
        assert isinstance(branch, _Doomed)
        entries = await listing.next()
        if len(entries) == PIECE:
            self.add(branch, branch.path, self._rest, listing, pieces + 1)
        elif pieces and branch.removed:
            self.add(branch, branch.path, self._again)
        for entry in reversed(entries):
            work = self._directory if entry.is_directory else self._file
            self.add(branch, f"{branch.path}/{entry.name}", work, entry)

    async def _again(self, branch: Branch, _: str) -> None:
        assert isinstance(branch, _Doomed)
        if branch.failed:
            # What stays has been told once.
            return
        branch.removed = 0
        await self._some(branch, await Entries.begin(branch.file), 0)

    async def _file(self, branch: Branch, path: str, entry: Stat) -> None:
        try:
            await (await branch.file.walk([entry.name])).remove()
        except FileNotFound:
            return
        self._count(branch)
        self.done(0)

    async def _directory(self, branch: Branch, path: str, entry: Stat) -> None:
        try:
            inner = self._branch(path, await branch.file.walk([entry.name]), branch)
        except FileNotFound:
            return
        branch.begin()
        try:
            await self._fill(inner)
        except NinepError as error:
            self.failed(inner, path, error)
            await inner.end()

    def _count(self, branch: Branch) -> None:
        assert isinstance(branch, _Doomed)
        branch.removed += 1

    async def _remove_directory(self, branch: Branch) -> None:
        if branch.failed:
            await branch.file.leave()
            return
        try:
            await branch.file.remove()
            if branch.parent is not None:
                self._count(branch.parent)
        except FileNotFound:
            pass
        except FileError as error:
            self.failed(branch, branch.path, error)
