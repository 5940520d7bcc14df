"""Errors of the file server, told apart by whose fault it is.

``FossilError``

* ``ConsoleRefused``: a command that cannot be done; the text says why.
* ``NotServed``: no file server answers for a directory.
* ``DataInUse``: another process has the directory open.
* ``DamagedData``: what is stored is not what was written, or not a file system.
* ``WritesStopped``: an earlier failure; nothing more is promised until a restart.
* ``BadConfiguration``: the configuration that a server should start with has lines that are no commands.
* ``NotStarted``: what the configuration asks for could not be done.
* ``NoSnapshot``: there is none of that name, or none yet.
* ``ArchiveAway``: what is asked for is in venti alone, and venti does not answer; try again later.
* ``Unlisted``: a directory's names are in venti and have not been fetched; fetch them and try again.

``SnapshotDeleted`` is a ``FileError``: clients are told so.
"""

from __future__ import annotations

from pathlib import Path

from ninep.protocol.errors import FileError


class FossilError(Exception):
    """Anything that goes wrong in the file server above 9P."""


class ConsoleRefused(FossilError):
    """A command on the console that is unknown or cannot be done."""


class BadConfiguration(FossilError):
    """Lines of a configuration that cannot be understood; the text names each."""


class NotStarted(FossilError):
    """A server could not become what its configuration asks for; the text names the line."""


class NotServed(FossilError):
    """No file server answers on the console of a directory; the text says what to do."""


class NoFileSystem(FossilError):
    """There is none in a directory; the text says what to name."""


class DataInUse(FossilError):
    """Another process has the directory open; the text names it."""


class NoDataDirectory(FossilError):
    """There cannot be a data directory in that place; the text says why and what to do."""


class DamagedData(FossilError):
    """What is stored is not what was written; the text says where.

    Attributes:
        place: where in the data log, if it is there.
    """

    place: int | None = None

    @classmethod
    def at(cls, path: Path, place: int, text: str) -> DamagedData:
        """Of a piece in the data log."""
        error = cls(f"{path} at {place}: {text}")
        error.place = place
        return error


class WritesStopped(FossilError):
    """A write or sync failed earlier, so nothing more is promised; restart once the disk is well."""


class NoSnapshot(ConsoleRefused):
    """There is no such snapshot, or none yet."""


class ArchiveAway(FossilError):
    """What is asked for is in venti alone, and venti does not answer; the text says why. It is dialled again."""


class Unlisted(FossilError):
    """A directory came with an archive and its names have not been fetched; see ``fossil.archive.restored``.

    Attributes:
        path: the directory.
        born: the epoch that its names will have.
    """

    def __init__(self, path: int, born: int) -> None:
        super().__init__(f"the names in directory {path:x} are in venti and have not been fetched")
        self.path = path
        self.born = born


class SnapshotDeleted(FileError):
    """The snapshot was forgotten while somebody looked at it."""

    def __init__(self) -> None:
        super().__init__("snapshot has been deleted")
