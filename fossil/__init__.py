"""A live file server over 9P with snapshots, whose archives go to venti.

The names below are the public interface of the library: ``from fossil import open_fossil``. Everything else may
change. A name's module is loaded when the name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ninep.lazy import lazily

if TYPE_CHECKING:
    from fossil.errors import (
        ArchiveAway,
        DamagedData,
        DataInUse,
        FossilError,
        NoDataDirectory,
        NoFileSystem,
        NoSnapshot,
        WritesStopped,
    )
    from fossil.files.attach import FossilTree
    from fossil.files.rules import Rules
    from fossil.files.vacfs import VacTree
    from fossil.past.difference import Difference
    from fossil.past.history import History, Snapshot
    from fossil.server.fileserver import FileServer, Surroundings, open_file_server
    from fossil.server.service import Fossil, open_fossil

__all__ = [
    "ArchiveAway",
    "DamagedData",
    "DataInUse",
    "Difference",
    "FileServer",
    "Fossil",
    "FossilError",
    "FossilTree",
    "History",
    "NoDataDirectory",
    "NoFileSystem",
    "NoSnapshot",
    "Rules",
    "Snapshot",
    "Surroundings",
    "VacTree",
    "WritesStopped",
    "open_file_server",
    "open_fossil",
]

if not TYPE_CHECKING:
    # Type checkers must not see it: with it they would accept every name.
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "fossil.errors": (
                "FossilError",
                "DataInUse",
                "DamagedData",
                "NoDataDirectory",
                "NoFileSystem",
                "NoSnapshot",
                "WritesStopped",
                "ArchiveAway",
            ),
            "fossil.files.attach": ("FossilTree",),
            "fossil.files.rules": ("Rules",),
            "fossil.files.vacfs": ("VacTree",),
            "fossil.past.difference": ("Difference",),
            "fossil.past.history": ("History", "Snapshot"),
            "fossil.server.fileserver": ("open_file_server", "FileServer", "Surroundings"),
            "fossil.server.service": ("open_fossil", "Fossil"),
        },
    )
