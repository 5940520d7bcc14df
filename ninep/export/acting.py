"""Accesses local files with another user's rights, which the kernel then checks. Source: setfsuid(2).

Only the calling thread changes, only for files, and only while the context lasts, in which nothing is awaited. What
the system refuses in it becomes the refusal of 9P that it stands for.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple

from ninep.export.accounts import Identity
from ninep.protocol.errors import FileTooBig, PermissionDenied, from_oserror

_SETGROUPS = {"x86_64": 116, "aarch64": 159, "riscv64": 159}
"""The system call itself changes this thread; the C library's setgroups would change all of them."""

# What is called here returns at once: giving other threads their turn around it would take longer.
_libc = ctypes.PyDLL(None)
_setgroups = _SETGROUPS.get(os.uname().machine)
_set_user, _set_group, _syscall = _libc.setfsuid, _libc.setfsgid, _libc.syscall


class Acting:
    """A context in which files are used as ``identity``; None is as the process itself. It can be entered again."""

    __slots__ = ("_gid", "_groups", "_identity", "_own_gid", "_own_groups", "_own_uid", "_uid")

    def __init__(self, identity: Identity | None) -> None:
        """Raises ``PermissionDenied`` where this process cannot act as ``identity``."""
        self._identity = identity
        if identity is None:
            return
        self._uid, self._gid = identity.uid, identity.gid
        self._own_uid, self._own_gid = os.geteuid(), os.getegid()
        self._groups = self._own_groups = None
        own = os.getgroups()
        if set(own) != set(identity.groups):
            self._groups, self._own_groups = _packed(identity.groups), _packed(own)
        try:
            self._become()
            if _set_user(-1) != identity.uid or _set_group(-1) != identity.gid:
                raise PermissionDenied(f"this server cannot act as user {identity.uid}")
        finally:
            self._restore()

    def __enter__(self) -> None:
        if self._identity is not None:
            self._become()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._identity is not None:
            self._restore()
        if error is None:
            return
        if isinstance(error, OSError):
            raise from_oserror(error) from error
        if isinstance(error, OverflowError):
            # A size or a time that the system has no number for.
            raise FileTooBig from error

    def _become(self) -> None:
        # setfsuid drops the rights over files that root has; it comes last, as setgroups needs root.
        if self._groups is not None and not _set_groups(self._groups):
            raise PermissionDenied(f"this server cannot act as user {self._uid}")
        _set_group(self._gid)
        _set_user(self._uid)

    def _restore(self) -> None:
        _set_user(self._own_uid)
        _set_group(self._own_gid)
        if self._own_groups is not None:
            _set_groups(self._own_groups)


class _Groups(NamedTuple):
    """A list of groups as the system call takes it."""

    length: int
    numbers: ctypes.Array[ctypes.c_uint32]


def _packed(groups: Sequence[int]) -> _Groups:
    return _Groups(len(groups), (ctypes.c_uint32 * len(groups))(*groups))


def _set_groups(groups: _Groups) -> bool:
    return _setgroups is not None and _syscall(_setgroups, *groups) == 0


AS_OURSELVES = Acting(None)
