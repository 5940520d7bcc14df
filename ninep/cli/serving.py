"""Running a server from a command line: clean shutdown on a signal, and the lines that say where it serves."""

from __future__ import annotations

import contextlib
import gc
import resource
import signal
from collections.abc import Awaitable, Callable
from types import FrameType

import trio

from ninep.cli.streams import abandon_output

COLLECTED = (5_000, 4, 100)
"""When the collector looks: after so many new objects at those, every fifth time at all of the last 25,000, which takes
2 milliseconds at most while everybody waits, and after 2.5 million at all that there is. A server makes many objects
that stay and hardly any cycles: fossil had 43,000 objects after 10 minutes of the soak as after one and a half.

All that there is does not include what the program began with, which is frozen: of those 38,000 objects one look took
22 to 75 milliseconds, measured on a busy machine, and of 10,000 nodes of a file system 0.6, of 100,000 7 to 24."""
_KILLING = (signal.SIGINT, signal.SIGTERM)


async def until_signalled(serve: Callable[[], Awaitable[None]]) -> None:
    """Runs a server until it ends or SIGINT, SIGTERM or SIGHUP comes, which cancels it: a clean end.

    A second SIGINT or SIGTERM kills it. A second SIGHUP does not, as a terminal that is closed sends several; the
    first does not end what nohup started.
    """
    gc.freeze()
    gc.set_threshold(*COLLECTED)
    _raise_limit()
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    ending = (*_KILLING, *[signal.SIGHUP] * hangs_up)
    token = trio.lowlevel.current_trio_token()
    signalled = False
    with trio.CancelScope() as scope:

        def end(_: int, __: FrameType | None) -> None:
            nonlocal signalled
            signalled = True
            for number in _KILLING:
                signal.signal(number, signal.SIG_DFL)
            if hangs_up:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            token.run_sync_soon(scope.cancel, idempotent=True)

        before = {number: signal.signal(number, end) for number in ending}
        try:
            await serve()
        finally:
            for number, handler in before.items():
                # Whatever is still to be closed and written is not cut short by a terminal that goes away.
                if not signalled or number != signal.SIGHUP:
                    signal.signal(number, handler)


def _raise_limit() -> None:
    """Takes as many descriptors as may be had: what programs are given at first is little, for those that select."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def announce(text: str, *, end: str = "\n") -> None:
    """Prints a line at once, even into a pipe. A server works on where nobody takes the line."""
    try:
        print(text, end=end, flush=True)
    except OSError:
        abandon_output()
