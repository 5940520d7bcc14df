"""Gives files that several local users create through one attached user to those who created them.

The server knows one user only, and makes files his. Where that one may give files away, as root may, each file is given
to whoever made it; where the server does not allow that, it stays with the one who attached. The bits that run a
program as its owner are set after that and never before: nobody gets a program that runs as the attached user.
"""

from __future__ import annotations

import os
import stat as unix
from typing import Protocol

from ninep.mount import requests
from ninep.protocol import messages as m
from ninep.protocol.attributes import SetAttributes
from ninep.protocol.errors import FileError, NotPermitted, PermissionDenied

_SET_ID = unix.S_ISUID | unix.S_ISGID


class Maker(Protocol):
    """Who makes a file: what FUSE tells of a request."""

    uid: int


class Owners:
    """Gives files to who made them, on one mount."""

    def __init__(self, *, several: bool) -> None:
        """``several`` tells whether other users than the one who mounts are let in."""
        self._several = several
        self._own = os.geteuid()
        self._stays = False

    def renew(self) -> None:
        """There is another connection: the server may have other rules by now."""
        self._stays = False

    def mode(self, mode: int, maker: Maker) -> int:
        """With which permissions a file is made."""
        return mode & ~_SET_ID if self._several and maker.uid != self._own else mode

    async def given(self, made: requests.Found, maker: Maker, mode: int = 0) -> requests.Found:
        """What was just made with ``mode``, after it was given to its maker, where that is allowed."""
        file, found = made
        if not self._several or file.connection.version == m.VERSION:
            return made
        changes = SetAttributes()
        if found.uid != maker.uid:
            if self._stays:
                return made
            changes = changes._replace(uid=maker.uid)
        if mode & _SET_ID & ~found.mode:
            changes = changes._replace(mode=unix.S_IMODE(mode))
        if changes == SetAttributes():
            return made
        try:
            return file, await requests.changed(file, file, changes)
        except (NotPermitted, PermissionDenied):
            self._stays = changes.uid is not None
        except FileError:
            pass
        return made
