"""Translates file modes between 9P and vac archives. Pure. Source: vac(7)."""

from __future__ import annotations

from ninep.protocol import stat as st
from venti.vac import mode as vac

_BITS = (
    (st.DMDIR, vac.DIRECTORY),
    (st.DMAPPEND, vac.APPEND),
    (st.DMEXCL, vac.EXCLUSIVE),
    (st.DMSYMLINK, vac.LINK),
    (st.DMDEVICE, vac.DEVICE),
    (st.DMNAMEDPIPE, vac.PIPE),
    (st.DMSETUID, vac.SETUID),
    (st.DMSETGID, vac.SETGID),
    (st.DMSETVTX, vac.STICKY),
)


def to_vac(mode: int) -> int:
    """The mode of a directory entry in an archive, for one of 9P."""
    return mode & 0o777 | sum(theirs for ours, theirs in _BITS if mode & ours)


def from_vac(mode: int) -> int:
    """The mode of 9P, for one in an archive."""
    return mode & 0o777 | sum(ours for ours, theirs in _BITS if mode & theirs)
