"""The messages of 9P2000 and its constants. Source: intro(5).

Tags are no part of a message: the wire layer carries them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from ninep.protocol.ids import NONUNAME
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat
from ninep.wire.dialect import Buffer

NOTAG = 0xFFFF
"""The tag of Tversion."""
NOFID = 0xFFFFFFFF
"""Stands for no fid where an authentication fid could be."""
IOHDRSZ = 24
"""What a message with data needs besides its data, with slack: the most data is msize less this."""
MAXWELEM = 16
"""Most names of one walk."""
ERRMAX = 128
"""Bytes that Plan 9 keeps of an error string, its terminator included."""
VERSION = "9P2000"
VERSION_UNIX = "9P2000.u"

OREAD = 0
OWRITE = 1
ORDWR = 2
OEXEC = 3
OTRUNC = 0x10
OCEXEC = 0x20
ORCLOSE = 0x40
OAPPEND = 0x80
"""Of 9P2000.u and 9P2000.L: writes go to the end of the file, whatever their offset."""


class Tversion(NamedTuple):
    """Starts a session: the client's largest message in bytes and the protocol it speaks."""

    msize: int
    version: str


class Rversion(NamedTuple):
    """What both sides use from here on; ``unknown`` says that nothing was agreed."""

    msize: int
    version: str


class Tauth(NamedTuple):
    """Asks for a fid to prove an identity on. In 9P2000.u and 9P2000.L the user has a number, too."""

    afid: int
    uname: str
    aname: str
    n_uname: int = NONUNAME


class Rauth(NamedTuple):
    """The proof is read and written on the fid."""

    aqid: Qid


class Tattach(NamedTuple):
    """Binds ``fid`` to the root of the tree ``aname``. In 9P2000.u and 9P2000.L the user has a number, too."""

    fid: int
    afid: int
    uname: str
    aname: str
    n_uname: int = NONUNAME


class Rattach(NamedTuple):
    """The root's qid."""

    qid: Qid


class Rerror(NamedTuple):
    """A refusal of any request; in 9P2000.u with a Linux error number."""

    ename: str
    errno: int = 0


class Tflush(NamedTuple):
    """Gives up the request under ``oldtag``."""

    oldtag: int


class Rflush(NamedTuple):
    """The old request is over."""


class Twalk(NamedTuple):
    """Follows names from ``fid``; ``newfid`` becomes where they lead."""

    fid: int
    newfid: int
    wnames: Sequence[str]


class Rwalk(NamedTuple):
    """The qids of the names that could be followed; fewer than asked, and there is no ``newfid``."""

    wqids: Sequence[Qid]


class Topen(NamedTuple):
    """Prepares ``fid`` for I/O."""

    fid: int
    mode: int


class Ropen(NamedTuple):
    """It is open; ``iounit`` 0 means that whatever fits a message moves as one."""

    qid: Qid
    iounit: int


class Tcreate(NamedTuple):
    """Makes a file in the directory ``fid``, which becomes the new file, open.

    In 9P2000.u it may be a special file: ``extension`` tells the target of a symbolic link, say.
    """

    fid: int
    name: str
    perm: int
    mode: int
    extension: str = ""


class Rcreate(NamedTuple):
    """It is made and open."""

    qid: Qid
    iounit: int


class Tread(NamedTuple):
    """Asks for ``count`` bytes from ``offset``."""

    fid: int
    offset: int
    count: int  # type: ignore[assignment]  # and no method, which tuples have


class Rread(NamedTuple):
    """What was there; empty at the end."""

    data: Buffer


class Twrite(NamedTuple):
    """Puts bytes at ``offset``."""

    fid: int
    offset: int
    data: Buffer


class Rwrite(NamedTuple):
    """How many bytes were taken."""

    count: int  # type: ignore[assignment]  # and no method, which tuples have


class Tclunk(NamedTuple):
    """Gives up ``fid``."""

    fid: int


class Rclunk(NamedTuple):
    """It is gone."""


class Tremove(NamedTuple):
    """Removes the file of ``fid`` and gives up the fid, even when the file stays."""

    fid: int


class Rremove(NamedTuple):
    """Both are gone."""


class Tstat(NamedTuple):
    """Asks for the directory entry."""

    fid: int


class Rstat(NamedTuple):
    """The directory entry."""

    stat: Stat


class Twstat(NamedTuple):
    """Changes the fields of the directory entry that are not "don't touch"."""

    fid: int
    stat: Stat


class Rwstat(NamedTuple):
    """They are changed."""


Request: TypeAlias = (
    Tversion | Tauth | Tattach | Tflush | Twalk | Topen | Tcreate | Tread | Twrite | Tclunk | Tremove | Tstat | Twstat
)
Reply: TypeAlias = (
    Rversion
    | Rauth
    | Rattach
    | Rerror
    | Rflush
    | Rwalk
    | Ropen
    | Rcreate
    | Rread
    | Rwrite
    | Rclunk
    | Rremove
    | Rstat
    | Rwstat
)

NUMBERS: dict[type, int] = {
    Tversion: 100,
    Rversion: 101,
    Tauth: 102,
    Rauth: 103,
    Tattach: 104,
    Rattach: 105,
    Rerror: 107,
    Tflush: 108,
    Rflush: 109,
    Twalk: 110,
    Rwalk: 111,
    Topen: 112,
    Ropen: 113,
    Tcreate: 114,
    Rcreate: 115,
    Tread: 116,
    Rread: 117,
    Twrite: 118,
    Rwrite: 119,
    Tclunk: 120,
    Rclunk: 121,
    Tremove: 122,
    Rremove: 123,
    Tstat: 124,
    Rstat: 125,
    Twstat: 126,
    Rwstat: 127,
}
"""The type byte of each message."""
