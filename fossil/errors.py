"""Errors of the file server, told apart by whose fault it is.

``FossilError``

* ``ConsoleRefused``: a command that cannot be done; the text says why.
* ``NotServed``: no file server answers for a directory.
* ``DataDirectoryBusy``: another process has the directory open.
* ``BadUserTable``: the table of users and groups cannot be read.
* ``DamagedExtent``: file data is not what was written; the rest of the file system is sound.
* ``DamagedDatabase``: the database is damaged, or not one of ours.
* ``WritesStopped``: an earlier failure of the disk; nothing more is promised until a restart.
* ``DiskFull``: there is no room; what was there is unharmed.
* ``NoSnapshot``: there is none of that name, or it has expired.
"""

from __future__ import annotations


class FossilError(Exception):
    """Anything that goes wrong in the file server above 9P."""


class ConsoleRefused(FossilError):
    """A command on the console that is unknown or cannot be done."""


class NotServed(FossilError):
    """No file server answers on the console of a directory; the text says what to do."""


class DataDirectoryBusy(FossilError):
    """Another process has the directory open; the text says which."""


class BadUserTable(FossilError):
    """The table of users and groups cannot be read; the text says which line and why."""


class DamagedExtent(FossilError):
    """File data is not what was written; the text says where."""


class DamagedDatabase(FossilError):
    """The database is damaged, or not one of ours; the text says what to do."""


class WritesStopped(FossilError):
    """A write or sync failed earlier, so nothing more is promised; restart once the disk is well."""


class DiskFull(FossilError):
    """There is no room for the change; everything that was there is unharmed."""


class NoSnapshot(FossilError):
    """There is no snapshot of that name or epoch, or it has expired."""
