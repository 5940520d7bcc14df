"""``python -m cfs``: a cache in front of a 9P file server."""

from __future__ import annotations

if __name__ == "__main__":
    from ninep.cli.loading import leave, watch_loading

    watch_loading("cfs")

from cfs.errors import BadBound, CfsError, NoCache
from ninep.cli.codes import FAILED, NOT_FOUND, UNREACHABLE, USAGE
from ninep.cli.commands import Program
from ninep.protocol.errors import FileNotFound, NinepError

PROGRAM = Program(
    "cfs",
    "A cache in front of a 9P file server.",
    {name: f"cfs.cli.{name}" for name in ("serve", "stats", "warm", "unpin")},
    {
        BadBound: USAGE,
        NoCache: UNREACHABLE,
        CfsError: FAILED,
        FileNotFound: NOT_FOUND,
        NinepError: FAILED,
    },
)
main = PROGRAM.main

if __name__ == "__main__":
    leave(main(called="python -m cfs"))
