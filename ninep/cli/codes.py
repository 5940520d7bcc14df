"""Exit codes that all programs share. Pure."""

from __future__ import annotations

DONE = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
DAMAGED = 4
NOT_FOUND = 5
