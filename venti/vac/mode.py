"""Mode bits of a file in an archive, and how the tools print them. Source: vac(7)."""

from __future__ import annotations

from typing import Final

PERMISSIONS: Final = 0o777
STICKY: Final = 1 << 9
SETUID: Final = 1 << 10
SETGID: Final = 1 << 11
APPEND: Final = 1 << 12
EXCLUSIVE: Final = 1 << 13
LINK: Final = 1 << 14
DIRECTORY: Final = 1 << 15
HIDDEN: Final = 1 << 16
SYSTEM: Final = 1 << 17
ARCHIVE: Final = 1 << 18
TEMPORARY: Final = 1 << 19
SNAPSHOT: Final = 1 << 20
DEVICE: Final = 1 << 21
PIPE: Final = 1 << 22

SPECIAL: Final = LINK | DEVICE | PIPE
"""What has contents that are no file's contents."""

_KINDS = ((DIRECTORY, "d"), (APPEND, "a"), (DEVICE, "D"), (PIPE, "P"))


def text(mode: int) -> str:
    """The mode as ``unvac -tv`` prints it: ``d-rwxr-xr-x``, ``--rw-r--r--``, ``a-rw-rw-r--``, ``-Lrwxrwxrwx``."""
    first = next((letter for bit, letter in _KINDS if mode & bit), "-")
    second = "L" if mode & LINK else "-"
    return f"{first}{second}" + "".join(
        letter if mode >> shift & 1 else "-" for letter, shift in zip("rwxrwxrwx", range(8, -1, -1), strict=True)
    )
