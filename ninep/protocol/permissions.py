"""Who may do what: the arithmetic of modes, users and groups. Pure. Source: intro(5), stat(5), open(5).

Rights add up, unlike on Unix: an owner has what owner, group and others have together.
"""

from __future__ import annotations

from ninep.protocol import stat as st
from ninep.protocol.errors import IllegalMode, WstatProhibited
from ninep.protocol.messages import ORDWR, OREAD, OTRUNC, OWRITE
from ninep.protocol.qid import Qid
from ninep.protocol.stat import NO16, NO32, NO64, Stat

READ = 4
WRITE = 2
EXECUTE = 1

SETTABLE = st.DMDIR | st.DMAPPEND | st.DMEXCL | st.DMTMP | 0o777
"""The mode bits that a client may ask for."""

_WANTED = (READ, WRITE, READ | WRITE, EXECUTE)


def granted(mode: int, *, owner: bool, member: bool) -> int:
    """The rights, ``READ``, ``WRITE`` and ``EXECUTE`` together, that ``mode`` gives to this kind of user."""
    rights = mode
    if member:
        rights |= mode >> 3
    if owner:
        rights |= mode >> 6
    return rights & 7


def wanted(mode: int) -> int:
    """The rights that opening with ``mode`` needs on the file itself."""
    return _WANTED[mode & 3] | (WRITE if mode & OTRUNC else 0)


def inherited(perm: int, directory: int) -> int:
    """The mode of a new file: what is asked, less what the directory's own mode withholds.

    The execute bits of a plain file are not masked.

    Raises:
        IllegalMode: bits that mean nothing.
    """
    if perm & ~SETTABLE & NO32:
        raise IllegalMode
    mask = 0o777 if perm & st.DMDIR else 0o666
    return perm & (~mask | directory & mask) & NO32


def readable(mode: int) -> bool:
    """Whether a file opened with ``mode`` may be read; OEXEC allows it."""
    return mode >= 0 and mode & 3 != OWRITE


def writable(mode: int) -> bool:
    """Whether a file opened with ``mode`` may be written."""
    return mode >= 0 and mode & 3 in (OWRITE, ORDWR)


def legal(mode: int, *, directory: bool) -> bool:
    """Whether a file, or a directory, can be opened with ``mode`` at all."""
    return mode == OREAD if directory else not mode & ~0x53


def settled(changes: Stat, current: Stat) -> Stat:
    """What a wstat really changes: fields that name the current value become "don't touch".

    What nobody can change is refused here; who may change the rest is the file's to say.

    Raises:
        WstatProhibited: type, dev, qid, uid or muid would change, a file would become a directory or the reverse, or
            a directory would get a length.
        IllegalMode: mode bits that mean nothing.
    """
    if changes.type not in (NO16, current.type) or changes.dev not in (NO32, current.dev):
        raise WstatProhibited
    kind, version, path = changes.qid
    if kind not in (0xFF, current.qid.type) or version not in (NO32, current.qid.version):
        raise WstatProhibited
    if path not in (NO64, current.qid.path) or changes.muid not in ("", current.muid):
        raise WstatProhibited
    if changes.uid not in ("", current.uid):
        raise WstatProhibited
    mode, length = changes.mode, changes.length
    if mode == current.mode:
        mode = NO32
    if mode != NO32:
        # Clients of 9P2000 do not know what else the mode of a file can tell, and so do not change it.
        mode |= current.mode & st.UNIX_KINDS
        if mode & ~SETTABLE & ~current.mode & NO32:
            raise IllegalMode
        if (mode ^ current.mode) & st.DMDIR:
            raise WstatProhibited("wstat can't convert between files and directories")
    if length == current.length:
        length = NO64
    if length != NO64 and current.mode & st.DMDIR:
        raise WstatProhibited
    return Stat(
        NO16,
        NO32,
        Qid(0xFF, NO32, NO64),
        mode,
        changes.atime if changes.atime != current.atime else NO32,
        changes.mtime if changes.mtime != current.mtime else NO32,
        length,
        changes.name if changes.name != current.name else "",
        "",
        changes.gid if changes.gid != current.gid else "",
        "",
    )
