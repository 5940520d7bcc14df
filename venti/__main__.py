"""``python -m venti``: an archive server and its tools."""

from __future__ import annotations

if __name__ == "__main__":
    from ninep.cli.loading import leave, watch_loading

    watch_loading("venti")

import gc

from ninep.cli.codes import DAMAGED, FAILED, NOT_FOUND, USAGE
from ninep.cli.commands import Program
from venti.blocks.errors import (
    BadSettings,
    BlockNotFound,
    DamagedArchive,
    DamagedBlock,
    DamagedStore,
    LostBlock,
    NoStore,
    NotInArchive,
    VentiError,
)

PROGRAM = Program(
    "venti",
    "Keep blocks for ever, named by their hash.",
    {
        "serve": "venti.commands.serve",
        "read": "venti.commands.blocks",
        "write": "venti.commands.blocks",
        "sync": "venti.commands.blocks",
        "vac": "venti.commands.vac",
        "unvac": "venti.commands.unvac",
        "check": "venti.commands.check",
        "copy": "venti.commands.copy",
        "repair": "venti.commands.repair",
        "verify": "venti.commands.verify",
        "scrub": "venti.commands.scrub",
        "rebuild-index": "venti.commands.rebuild",
        "stats": "venti.commands.stats",
        "import": "venti.commands.importing",
        "export": "venti.commands.export",
        "mirror": "venti.commands.mirror",
    },
    {
        BadSettings: USAGE,
        BlockNotFound: NOT_FOUND,
        NotInArchive: NOT_FOUND,
        NoStore: NOT_FOUND,
        DamagedArchive: DAMAGED,
        DamagedBlock: DAMAGED,
        DamagedStore: DAMAGED,
        LostBlock: DAMAGED,
        VentiError: FAILED,
    },
)
main = PROGRAM.main

if __name__ == "__main__":
    code = main(called="python -m venti")
    # The system takes all memory back at once; to look through it for cycles first takes as long as storing some files.
    gc.freeze()
    leave(code)
