"""Signals that end a command: it is cancelled, says so in one line, and has ended within a second.

An exception out of a signal handler, which is Python's way, comes up wherever the program happens to be: in the middle
of a callback, in a lock, in code that takes it for a broken connection. Here the handler only cancels the command.
What does not let itself be cancelled, such as a thread that waits for a disk, is left to the end of the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType, TracebackType
from typing import Any, TypeVar

from ninep.cli.loading import SIGNALLED, SIGNALS

T = TypeVar("T")

GRACE = 0.7
"""Seconds that a cancelled command has for tidying up."""


class Interruption:
    """Handles the signals that end a command while it is entered.

    Attributes:
        number: the signal that came, or None.
        cancelled: whether it has cut the command short.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._before: dict[int, Any] = {}
        self._cancel: Callable[[], None] | None = None
        self.number: int | None = None
        self.cancelled = False
        self._said = False

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # What nohup has set stays.
                if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    async def run(self, work: Callable[..., Awaitable[T]], *arguments: object) -> T | None:
        """Awaits ``work``, which a signal cancels; None then."""
        import trio

        token = trio.lowlevel.current_trio_token()
        with trio.CancelScope() as scope:
            self._cancel = lambda: token.run_sync_soon(scope.cancel, idempotent=True)
            try:
                if self.number is not None:
                    scope.cancel()
                return await work(*arguments)
            finally:
                self._cancel = None
        self.cancelled = True
        return None

    def _handle(self, number: int, _: FrameType | None) -> None:
        again = self.number is not None
        self.number = number
        if again or self._cancel is None:
            self._end()
        timer = threading.Timer(GRACE, self._end)
        timer.daemon = True
        timer.start()
        assert self._cancel is not None
        self._cancel()

    def _end(self) -> None:
        """Ends the process, as it is."""
        os._exit(self.tell())

    def tell(self) -> int:
        """Says in one line what happened, once; returns the exit code."""
        number = self.number or signal.SIGINT
        if not self._said:
            self._said = True
            # Past sys.stderr, which the code that was interrupted may be holding.
            with contextlib.suppress(OSError):
                os.write(2, f"{self._name}: {SIGNALS[signal.Signals(number)]}\n".encode())
        return SIGNALLED + number
