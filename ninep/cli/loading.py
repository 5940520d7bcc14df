"""Signals before and after a program's work: one line while it is loading, nothing once it has ended.

It imports next to nothing, as until then Ctrl-C is a traceback out of the middle of some module.
"""

from __future__ import annotations

import os
import signal
import sys

SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
"""Signals that end a command, and how it says so."""
SIGNALLED = 128
"""Added to the number of the signal that ended a command, as shells report it."""


def watch_loading(name: str) -> None:
    """Handles the signals until somebody else does; what nohup has set stays."""

    def end(number: int, _: object) -> None:
        try:
            os.write(2, f"{name}: {SIGNALS[signal.Signals(number)]}\n".encode())
        except OSError:
            pass
        os._exit(SIGNALLED + number)

    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def leave(code: int) -> None:
    """Ends the program, which has done what it was asked for: a signal that comes now changes nothing about that."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)
