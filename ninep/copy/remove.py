"""Removes whole trees on a server."""

from __future__ import annotations

from ninep.copy.transfer import Branch, Transfer, listed
from ninep.protocol.errors import FileError, FileNotFound, NinepError


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
        branch = Branch(path, file, None, self._remove_directory)
        await self._fill(branch)
        await self.finished()

    async def _fill(self, branch: Branch) -> None:
        """Adds all that is in a directory, whose listing is complete before anything is removed from it."""
        for entry in reversed(await listed(branch.file)):
            work = self._directory if entry.is_directory else self._file
            self.add(branch, f"{branch.path}/{entry.name}", work, entry.name)
        await branch.end()

    async def _file(self, branch: Branch, path: str, name: str) -> None:
        try:
            await (await branch.file.walk([name])).remove()
        except FileNotFound:
            return
        self.done(0)

    async def _directory(self, branch: Branch, path: str, name: str) -> None:
        try:
            inner = Branch(path, await branch.file.walk([name]), branch, self._remove_directory)
        except FileNotFound:
            return
        branch.begin()
        try:
            await self._fill(inner)
        except NinepError as error:
            self.failed(inner, path, error)
            await inner.end()

    async def _remove_directory(self, branch: Branch) -> None:
        if branch.failed:
            await branch.file.leave()
            return
        try:
            await branch.file.remove()
        except FileNotFound:
            pass
        except FileError as error:
            self.failed(branch, branch.path, error)
