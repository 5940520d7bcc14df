"""Using the file system with another user's rights, which the kernel then checks. Source: setfsuid(2).

Only the calling thread changes, only for files, and only while the context lasts, in which nothing is awaited. What
the system refuses in it becomes the refusal of 9P that it stands for.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from types import TracebackType

from ninep.errors import FileTooBig, PermissionDenied, from_oserror
from ninep.export.accounts import Identity

_SETGROUPS = {"x86_64": 116, "aarch64": 159, "riscv64": 159}
"""The system call itself changes this thread; the C library's setgroups would change all of them."""

_libc = ctypes.CDLL(None, use_errno=True)
_own: list[int] = []


class Acting:
    """A context in which files are used as ``identity``; None is as the process itself. It can be entered again."""

    __slots__ = ("_groups", "_identity")

    def __init__(self, identity: Identity | None) -> None:
        """Raises ``PermissionDenied`` where this process cannot act as ``identity``."""
        self._identity = identity
        if identity is None:
            return
        self._groups = _packed(identity.groups)
        if not _own:
            _own.extend(os.getgroups())
        try:
            self._become(identity)
            if _libc.setfsuid(-1) != identity.uid or _libc.setfsgid(-1) != identity.gid:
                raise PermissionDenied(f"this server cannot act as user {identity.uid}")
        finally:
            self._restore()

    def __enter__(self) -> None:
        if self._identity is not None:
            self._become(self._identity)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._identity is not None:
            self._restore()
        if isinstance(error, OSError):
            raise from_oserror(error) from error
        if isinstance(error, OverflowError):
            # A size or a time that the system has no number for.
            raise FileTooBig from error

    def _become(self, identity: Identity) -> None:
        # setfsuid drops the rights over files that root has; it comes last, as setgroups needs root.
        if _set_groups(self._groups) != 0:
            raise PermissionDenied(f"this server cannot act as user {identity.uid}")
        _libc.setfsgid(identity.gid)
        _libc.setfsuid(identity.uid)

    def _restore(self) -> None:
        _libc.setfsuid(os.geteuid())
        _libc.setfsgid(os.getegid())
        _set_groups(_packed(_own))


def _packed(groups: Sequence[int]) -> ctypes.Array[ctypes.c_uint32]:
    return (ctypes.c_uint32 * len(groups))(*groups)


def _set_groups(groups: ctypes.Array[ctypes.c_uint32]) -> int:
    number = _SETGROUPS.get(os.uname().machine)
    return -1 if number is None else int(_libc.syscall(number, len(groups), groups))


AS_OURSELVES = Acting(None)
