"""``python -m fossil``: a file server with snapshots, and commands to one that is running."""

from __future__ import annotations

if __name__ == "__main__":
    from ninep.cli.loading import leave, watch_loading

    watch_loading("fossil")

from fossil.errors import (
    ArchiveAway,
    BadConfiguration,
    DamagedData,
    FossilError,
    NoFileSystem,
    NoSnapshot,
    NotServed,
)
from ninep.cli.codes import DAMAGED, FAILED, NOT_FOUND, UNREACHABLE, USAGE
from ninep.cli.commands import Program
from venti.blocks.errors import (
    BlockNotFound,
    DamagedArchive,
    DamagedBlock,
    DamagedStore,
    LostBlock,
    NoStore,
    VentiError,
)

PROGRAM = Program(
    "fossil",
    "Serve files over 9P and remember how they were.",
    {
        "serve": "fossil.cli.serve",
        "format": "fossil.cli.format",
        "vacfs": "fossil.cli.vacfs",
        "check": "fossil.cli.check",
        "snap": "fossil.cli.snapshots",
        "last": "fossil.cli.snapshots",
        "snapshots": "fossil.cli.snapshots",
        "status": "fossil.cli.condition",
        "df": "fossil.cli.condition",
        "sync": "fossil.cli.condition",
        "history": "fossil.cli.past",
        "diff": "fossil.cli.past",
        "restore": "fossil.cli.past",
        "con": "fossil.cli.con",
        "console": "fossil.cli.con",
    },
    {
        NoSnapshot: NOT_FOUND,
        NoFileSystem: NOT_FOUND,
        NoStore: NOT_FOUND,
        BadConfiguration: USAGE,
        NotServed: UNREACHABLE,
        DamagedData: DAMAGED,
        ArchiveAway: UNREACHABLE,
        FossilError: FAILED,
        DamagedStore: DAMAGED,
        LostBlock: DAMAGED,
        DamagedArchive: DAMAGED,
        DamagedBlock: DAMAGED,
        BlockNotFound: NOT_FOUND,
        VentiError: FAILED,
    },
)
main = PROGRAM.main

if __name__ == "__main__":
    leave(main(called="python -m fossil"))
