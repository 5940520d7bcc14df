"""The messages that only 9P2000.L has. Sources: the Linux kernel's 9P client, diod's ``protocol.md``."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from ninep.protocol.attributes import Attributes, Statfs
from ninep.protocol.qid import Qid
from ninep.wire.dialect import Buffer

VERSION = "9P2000.L"

L_RDONLY = 0
L_WRONLY = 1
L_RDWR = 2
L_ACCMODE = 3
L_CREATE = 0o100
L_EXCL = 0o200
L_TRUNC = 0o1000
L_APPEND = 0o2000
L_DIRECTORY = 0o200000
L_REMOVEDIR = 0x200
"""Of Tunlinkat: what is removed has to be a directory."""

SET_MODE = 0x1
SET_UID = 0x2
SET_GID = 0x4
SET_SIZE = 0x8
SET_ATIME = 0x10
SET_MTIME = 0x20
SET_CTIME = 0x40
SET_ATIME_SET = 0x80
"""The time is in the message; without it the server's own is meant."""
SET_MTIME_SET = 0x100

LOCK_READ = 0
LOCK_WRITE = 1
LOCK_UNLOCK = 2
LOCK_WAIT = 1
"""The flag of who wants to wait for a lock."""
LOCK_SUCCESS = 0
LOCK_BLOCKED = 1
LOCK_ERROR = 2


class Rlerror(NamedTuple):
    """A refusal of any request: a Linux error number."""

    ecode: int


class Tstatfs(NamedTuple):
    """Asks for the room of the file system that ``fid`` is in."""

    fid: int


class Rstatfs(NamedTuple):
    """The room."""

    statfs: Statfs


class Tlopen(NamedTuple):
    """Prepares ``fid`` for I/O, with Linux's open flags."""

    fid: int
    flags: int


class Rlopen(NamedTuple):
    """It is open."""

    qid: Qid
    iounit: int


class Tlcreate(NamedTuple):
    """Makes a plain file in the directory ``fid``, which becomes the new file, open."""

    fid: int
    name: str
    flags: int
    mode: int
    gid: int


class Rlcreate(NamedTuple):
    """It is made and open."""

    qid: Qid
    iounit: int


class Tsymlink(NamedTuple):
    """Makes a symbolic link in the directory ``dfid``."""

    dfid: int
    name: str
    target: str
    gid: int


class Rsymlink(NamedTuple):
    """It is made."""

    qid: Qid


class Tmknod(NamedTuple):
    """Makes a file of any kind in the directory ``dfid``; ``mode`` is a ``st_mode``."""

    dfid: int
    name: str
    mode: int
    major: int
    minor: int
    gid: int


class Rmknod(NamedTuple):
    """It is made."""

    qid: Qid


class Trename(NamedTuple):
    """Moves the file of ``fid`` to the directory ``dfid``."""

    fid: int
    dfid: int
    name: str


class Rrename(NamedTuple):
    """It is there."""


class Treadlink(NamedTuple):
    """Asks where a symbolic link leads."""

    fid: int


class Rreadlink(NamedTuple):
    """There."""

    target: str


class Tgetattr(NamedTuple):
    """Asks for attributes; ``mask`` says which."""

    fid: int
    mask: int


class Rgetattr(NamedTuple):
    """The attributes."""

    attributes: Attributes


class Tsetattr(NamedTuple):
    """Changes the attributes that ``valid`` names."""

    fid: int
    valid: int
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    atime_sec: int = 0
    atime_nsec: int = 0
    mtime_sec: int = 0
    mtime_nsec: int = 0


class Rsetattr(NamedTuple):
    """They are changed."""


class Txattrwalk(NamedTuple):
    """Makes ``newfid`` the extended attribute ``name``, to be read; without a name, the list of all their names."""

    fid: int
    newfid: int
    name: str


class Rxattrwalk(NamedTuple):
    """How many bytes there are to read."""

    size: int


class Txattrcreate(NamedTuple):
    """Makes ``fid`` its extended attribute ``name``, to be written: ``size`` bytes. The clunk sets it."""

    fid: int
    name: str
    size: int
    flags: int


class Rxattrcreate(NamedTuple):
    """It can be written."""


class Treaddir(NamedTuple):
    """Asks for entries after the one that ``offset`` was told with; 0 starts."""

    fid: int
    offset: int
    count: int  # type: ignore[assignment]  # and no method, which tuples have


class Rreaddir(NamedTuple):
    """Whole entries; none at the end."""

    data: Buffer


class Tfsync(NamedTuple):
    """Asks for stable storage."""

    fid: int
    datasync: int = 0


class Rfsync(NamedTuple):
    """It is safe."""


class Tlock(NamedTuple):
    """Takes or gives back a record lock; ``length`` 0 is to the end of the file."""

    fid: int
    type: int
    flags: int
    start: int
    length: int
    proc_id: int
    client_id: str


class Rlock(NamedTuple):
    """How that went."""

    status: int


class Tgetlock(NamedTuple):
    """Asks who stands in the way of a lock."""

    fid: int
    type: int
    start: int
    length: int
    proc_id: int
    client_id: str


class Rgetlock(NamedTuple):
    """His lock; of type ``LOCK_UNLOCK`` if there is none."""

    type: int
    start: int
    length: int
    proc_id: int
    client_id: str


class Tlink(NamedTuple):
    """Makes ``name`` in ``dfid`` another name of the file of ``fid``."""

    dfid: int
    fid: int
    name: str


class Rlink(NamedTuple):
    """It is made."""


class Tmkdir(NamedTuple):
    """Makes a directory in ``dfid``."""

    dfid: int
    name: str
    mode: int
    gid: int


class Rmkdir(NamedTuple):
    """It is made."""

    qid: Qid


class Trenameat(NamedTuple):
    """Moves ``oldname`` in one directory to ``newname`` in another."""

    olddirfid: int
    oldname: str
    newdirfid: int
    newname: str


class Rrenameat(NamedTuple):
    """It is there."""


class Tunlinkat(NamedTuple):
    """Removes ``name`` from a directory."""

    dirfid: int
    name: str
    flags: int


class Runlinkat(NamedTuple):
    """It is gone."""


LinuxRequest: TypeAlias = (
    Tstatfs
    | Tlopen
    | Tlcreate
    | Tsymlink
    | Tmknod
    | Trename
    | Treadlink
    | Tgetattr
    | Tsetattr
    | Txattrwalk
    | Txattrcreate
    | Treaddir
    | Tfsync
    | Tlock
    | Tgetlock
    | Tlink
    | Tmkdir
    | Trenameat
    | Tunlinkat
)
LinuxReply: TypeAlias = (
    Rlerror
    | Rstatfs
    | Rlopen
    | Rlcreate
    | Rsymlink
    | Rmknod
    | Rrename
    | Rreadlink
    | Rgetattr
    | Rsetattr
    | Rxattrwalk
    | Rxattrcreate
    | Rreaddir
    | Rfsync
    | Rlock
    | Rgetlock
    | Rlink
    | Rmkdir
    | Rrenameat
    | Runlinkat
)

ANSWERS: dict[type, type] = {
    Tstatfs: Rstatfs,
    Tlopen: Rlopen,
    Tlcreate: Rlcreate,
    Tsymlink: Rsymlink,
    Tmknod: Rmknod,
    Trename: Rrename,
    Treadlink: Rreadlink,
    Tgetattr: Rgetattr,
    Tsetattr: Rsetattr,
    Txattrwalk: Rxattrwalk,
    Txattrcreate: Rxattrcreate,
    Treaddir: Rreaddir,
    Tfsync: Rfsync,
    Tlock: Rlock,
    Tgetlock: Rgetlock,
    Tlink: Rlink,
    Tmkdir: Rmkdir,
    Trenameat: Rrenameat,
    Tunlinkat: Runlinkat,
}
"""The reply to each request."""

REQUEST_NUMBERS: dict[type, int] = {
    Tstatfs: 8,
    Tlopen: 12,
    Tlcreate: 14,
    Tsymlink: 16,
    Tmknod: 18,
    Trename: 20,
    Treadlink: 22,
    Tgetattr: 24,
    Tsetattr: 26,
    Txattrwalk: 30,
    Txattrcreate: 32,
    Treaddir: 40,
    Tfsync: 50,
    Tlock: 52,
    Tgetlock: 54,
    Tlink: 70,
    Tmkdir: 72,
    Trenameat: 74,
    Tunlinkat: 76,
}
NUMBERS: dict[type, int] = (
    {Rlerror: 7} | REQUEST_NUMBERS | {ANSWERS[kind]: number + 1 for kind, number in REQUEST_NUMBERS.items()}
)
"""The type byte of each message."""
