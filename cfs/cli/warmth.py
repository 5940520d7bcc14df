"""Reads trees from front to back, so that a cache on the way has them."""

from __future__ import annotations

from ninep.client.remote import RemoteFile
from ninep.copy.transfer import PIECE, Branch, Entries, Transfer
from ninep.protocol.errors import NinepError
from ninep.protocol.stat import Stat


class Warmth(Transfer):
    """Reads all files of trees and drops what comes; see ``Transfer``."""

    async def warm(self, path: str) -> None:
        """Begins with a file or directory; ``finished`` does the rest.

        Raises:
            FileError: there is no such file.
        """
        file = await self.tree.walk(path)
        stat = await file.stat()
        branch = Branch(path.rstrip("/"), file, None, _leave)
        if stat.is_directory:
            await self._fill(branch)
        else:
            self.add(branch, path, self._here, stat)
            await branch.end()

    async def _fill(self, branch: Branch) -> None:
        await self._some(branch, await Entries.begin(branch.file))
        await branch.end()

    async def _rest(self, branch: Branch, _: str, listing: Entries) -> None:
        await self._some(branch, listing)

    async def _some(self, branch: Branch, listing: Entries) -> None:
        """Some entries of a directory; the next when those are done, as jobs that were added last are done first."""
        entries = await listing.next()
        if len(entries) == PIECE:
            self.add(branch, branch.path, self._rest, listing)
        for entry in reversed(entries):
            self.add(branch, f"{branch.path}/{entry.name}", self._below, entry)

    async def _below(self, branch: Branch, path: str, entry: Stat) -> None:
        file = await branch.file.walk([entry.name])
        if not entry.is_directory:
            await self._read(file, entry)
            return
        branch.begin()
        inner = Branch(path, file, branch, _leave)
        try:
            await self._fill(inner)
        except (NinepError, OSError) as error:
            self.failed(inner, path, error)
            await inner.end()

    async def _here(self, branch: Branch, path: str, entry: Stat) -> None:
        await self._read(await branch.file.walk([]), entry)

    async def _read(self, file: RemoteFile, entry: Stat) -> None:
        size = 0
        async with file:
            await file.open()
            async for piece in file.reading(length=entry.length):
                size += len(piece)
        self.done(size)


async def _leave(branch: Branch) -> None:
    await branch.file.leave()
