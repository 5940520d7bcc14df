"""Errors at the edge of a program: mistakes of the person who calls it, streams that fail. Pure."""

from __future__ import annotations


class BadUsage(Exception):
    """A command cannot be done as it was given, or not for this user; the text says what to change."""


class StreamFailed(OSError):
    """A standard stream cannot be read or written. ``errno`` and ``strerror`` are those of the system."""

    def __init__(self, number: int, reason: str, stream: str, verb: str) -> None:
        super().__init__(number, reason)
        self.stream = stream
        self._verb = verb

    def __str__(self) -> str:
        return f"cannot {self._verb} {self.stream}: {self.strerror}"


class OutputFailed(StreamFailed):
    """Standard output does not take what is printed: results are missing from it."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(number, reason, "standard output", "write to")


class InputFailed(StreamFailed):
    """Standard input cannot be read."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(number, reason, "standard input", "read")
