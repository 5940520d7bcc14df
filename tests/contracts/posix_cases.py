"""What system calls on a file system must do, as a table: who calls, what, and what comes of it.

A case is a heading (``# ...``) and its steps, one a line: the caller, ``uid`` or ``uid:gid``, without one the
superuser; the call with its words; ``->`` and what must come: ``ok``, an error's name, or a value. Each case has a
directory of its own that everybody may write in. After pjd's suite and POSIX. ``python -m contracts.posix_cases
DIRECTORY`` tries all of it on any file system.

The calls are made by a child that has become the caller, as the kernel then knows it.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat as unix
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

TABLE = """
# chmod: the owner and root may, others not
create f 0644 -> ok
chown f 65534 65533 -> ok
65534 chmod f 0600 -> ok
stat f mode,uid,gid -> 0600,65534,65533
65533 chmod f 0666 -> EPERM
chmod f 01777 -> ok
stat f mode -> 01777
chmod none 0644 -> ENOENT
chmod f/x 0644 -> ENOTDIR
chmod {256} 0644 -> ENAMETOOLONG
# chmod: set-group-id is cleared where the owner is not in the group
create f 0644 -> ok
chown f 65534 65533 -> ok
65534:65534 chmod f 02755 -> ok
stat f mode -> 0755
65534:65533 chmod f 02755 -> ok
stat f mode -> 02755
# chown: root may all, the owner only his groups
create f 0644 -> ok
chown f 65534 65533 -> ok
65534:65533 chown f 65532 65533 -> EPERM
65534:65533 chown f -1 65532 -> EPERM
65534:65532 chown f -1 65532 -> ok
stat f uid,gid -> 65534,65532
65533 chown f 65533 65533 -> EPERM
chown none 0 0 -> ENOENT
chown f 0 0 -> ok
stat f uid,gid -> 0,0
# chown: set-id bits go
create f 0644 -> ok
chown f 65534 65533 -> ok
chmod f 06755 -> ok
65534:65532 chown f -1 65532 -> ok
stat f mode -> 0755
# chown: a symbolic link itself
symlink none l -> ok
lchown l 65534 65533 -> ok
lstat l type,uid,gid -> link,65534,65533
chown l 0 0 -> ENOENT
# create: belongs to who made it
65534:65533 create f 0642 -> ok
stat f type,mode,uid,gid,size -> file,0642,65534,65533,0
65532:65531 mkdir d 0751 -> ok
stat d type,mode,uid,gid -> dir,0751,65532,65531
65534:65533 symlink target l -> ok
lstat l type,uid,gid -> link,65534,65533
65533:65532 mkfifo p 0640 -> ok
stat p type,mode,uid,gid -> fifo,0640,65533,65532
65534:65533 create f 0644 -> EEXIST
65534:65533 create d 0644 -> EEXIST
65534:65533 create l 0644 -> EEXIST
65534:65533 create none/f 0644 -> ENOENT
65534:65533 create f/x 0644 -> ENOTDIR
create {256} 0644 -> ENAMETOOLONG
create {255} 0644 -> ok
unlink {255} -> ok
# create: set-id bits are those of who made it, and never another's
65534:65533 create f 04755 -> ok
stat f mode,uid -> 04755,65534
65534:65533 mkdir d 01777 -> ok
stat d mode,uid -> 01777,65534
# create: in a directory that only its owner may write in
mkdir d 0755 -> ok
65534 create d/f 0644 -> EACCES
65534 mkdir d/d 0755 -> EACCES
65534 symlink x d/l -> EACCES
65534 mkfifo d/p 0644 -> EACCES
65534 link d d/x -> EPERM|EACCES
chmod d 0777 -> ok
65534 create d/f 0644 -> ok
chmod d 0666 -> ok
65534 stat d/f uid -> EACCES
# create: a directory with the set-group-id bit gives its group
mkdir d 0777 -> ok
chown d 0 65531 -> ok
chmod d 02777 -> ok
65534:65533 create d/f 0644 -> ok
stat d/f uid,gid -> 65534,65531
65534:65533 mkdir d/d 0755 -> ok
stat d/d uid,gid,mode -> 65534,65531,02755
# open: as the mode says, for owner, group and others
create f 0644 -> ok
chown f 65534 65533 -> ok
chmod f 0600 -> ok
65534 open f rdwr -> ok
65533:65533 open f rdonly -> EACCES
chmod f 0060 -> ok
65534:65533 open f rdonly -> EACCES
65533:65533 open f rdwr -> ok
65532:65532 open f rdonly -> EACCES
chmod f 0006 -> ok
65532:65532 open f rdwr -> ok
65533:65533 open f wronly -> EACCES
open f rdwr -> ok
open none rdonly -> ENOENT
open f/x rdonly -> ENOTDIR
mkdir d 0755 -> ok
open d wronly -> EISDIR
open d rdwr -> EISDIR
open d rdonly -> ok
symlink l l -> ok
open l rdonly -> ELOOP
open f rdonly,nofollow -> ok
symlink f s -> ok
open s rdonly,nofollow -> ELOOP
open f rdonly,directory -> ENOTDIR
mkfifo p 0644 -> ok
open p wronly,nonblock -> ENXIO
open f wronly,trunc -> ok
stat f size -> 0
# truncate: needs the right to write
create f 0644 -> ok
chown f 65534 65533 -> ok
65534 truncate f 1234 -> ok
stat f size -> 1234
65533 truncate f 1 -> EACCES
truncate f 0 -> ok
stat f size -> 0
truncate none 1 -> ENOENT
mkdir d 0755 -> ok
truncate d 1 -> EISDIR
truncate f -1 -> EINVAL
# write: set-id bits go when another than root writes
create f 0644 -> ok
chown f 65534 65533 -> ok
chmod f 04777 -> ok
65533 write f text -> 4
stat f mode,size -> 0777,4
chmod f 02777 -> ok
65533 write f text -> 4
stat f mode -> 0777
# unlink and rmdir
create f 0644 -> ok
mkdir d 0755 -> ok
create d/f 0644 -> ok
rmdir d -> ENOTEMPTY|EEXIST
rmdir f -> ENOTDIR
rmdir none -> ENOENT
unlink d -> EISDIR|EPERM
unlink none -> ENOENT
unlink f/x -> ENOTDIR
unlink {256} -> ENAMETOOLONG
rmdir {256} -> ENAMETOOLONG
rmdir d/. -> EINVAL
unlink d/f -> ok
rmdir d -> ok
stat d type -> ENOENT
symlink none l -> ok
unlink l -> ok
mkdir g 0755 -> ok
create g/f 0644 -> ok
65534 unlink g/f -> EACCES
65534 rmdir g -> ok|EPERM|EACCES|ENOTEMPTY
# sticky directories: only owners remove and rename
mkdir d 0777 -> ok
chmod d 01777 -> ok
65534 create d/f 0644 -> ok
65533 unlink d/f -> EPERM|EACCES
65533 rename d/f d/g -> EPERM|EACCES
65533 create d/h 0644 -> ok
65533 rename d/h d/f -> EPERM|EACCES
65534 rename d/f d/g -> ok
65534 unlink d/g -> ok
65533 unlink d/h -> ok
# rename: over files and directories
create a 0644 -> ok
create b 0600 -> ok
rename a b -> ok
stat b mode -> 0644
stat a type -> ENOENT
mkdir d 0755 -> ok
mkdir e 0755 -> ok
rename b d -> EISDIR
rename d b -> ENOTDIR
rename d e -> ok
create e/f 0644 -> ok
mkdir d 0755 -> ok
rename d e -> ENOTEMPTY|EEXIST
rename e e/below -> EINVAL
rename e/. x -> EINVAL|EBUSY
rename none x -> ENOENT
rename b b -> ok
rename b {256} -> ENAMETOOLONG
rename b {255} -> ok
rename {255} b -> ok
rename e d -> ok
stat d/f type -> file
symlink b l -> ok
rename l k -> ok
readlink k -> b
65534 rename d/f g -> EACCES
# rename: a directory of another, whose '..' changes
mkdir d 0755 -> ok
mkdir e 0777 -> ok
chown d 65534 65534 -> ok
65534 mkdir d/x 0555 -> ok
65534 rename d/x e/x -> ok|EACCES
# symlink
symlink target l -> ok
readlink l -> target
symlink x l -> EEXIST
symlink {4095} m -> ok
symlink {4096} n -> ENAMETOOLONG
symlink x none/l -> ENOENT
create f 0644 -> ok
readlink f -> EINVAL
symlink x f/l -> ENOTDIR
symlink x {256} -> ENAMETOOLONG
# mkdir, mkfifo and mknod
mkdir d 0755 -> ok
mkdir d 0755 -> EEXIST
mkdir d/x/y 0755 -> ENOENT
mkdir {256} 0755 -> ENAMETOOLONG
mkfifo p 0644 -> ok
mkfifo p 0644 -> EEXIST
mkfifo {256} 0644 -> ENAMETOOLONG
mkfifo p/x 0644 -> ENOTDIR
mknod c c 1 3 -> ok
lstat c type,rdev -> char,1:3
mknod b b 7 200 -> ok
lstat b type,rdev -> block,7:200
65534 mknod e c 1 3 -> EPERM
# link: several names of one file
create a 0644 -> ok
link a b -> ok
stat a nlink -> 2
same a b -> ok
chmod b 0600 -> ok
stat a mode -> 0600
chown a 65534 65533 -> ok
stat b uid,gid -> 65534,65533
link a b -> EEXIST
link none c -> ENOENT
mkdir d 0755 -> ok
link d e -> EPERM
link a d/c -> ok
stat b nlink -> 3
unlink a -> ok
stat b nlink -> 2
link b a -> ok
rename a b -> ok
stat a nlink -> 3
unlink a -> ok
unlink b -> ok
stat d/c nlink,mode,uid -> 1,0600,65534
link d/c {256} -> ENAMETOOLONG
# link: needs no more than the right to write in the directory
65534 create a 0644 -> ok
mkdir d 0755 -> ok
65534 link a d/b -> EACCES
chmod d 0777 -> ok
65534 link a d/b -> ok
65534 unlink d/b -> ok
# times
create f 0644 -> ok
chown f 65534 65534 -> ok
65534 utime f 1000000001 1000000002 -> ok
stat f atime,mtime -> 1000000001,1000000002
65533 utime f 1 2 -> EPERM
65533 utime f now now -> EACCES
chmod f 0666 -> ok
65533 utime f now now -> ok
65533 utime f 1 2 -> EPERM
utime f 1 2 -> ok
stat f atime,mtime -> 1,2
"""

_KINDS = {
    unix.S_IFREG: "file",
    unix.S_IFDIR: "dir",
    unix.S_IFLNK: "link",
    unix.S_IFIFO: "fifo",
    unix.S_IFCHR: "char",
    unix.S_IFBLK: "block",
    unix.S_IFSOCK: "socket",
}
_FLAGS = {
    "rdonly": os.O_RDONLY,
    "wronly": os.O_WRONLY,
    "rdwr": os.O_RDWR,
    "trunc": os.O_TRUNC,
    "nofollow": os.O_NOFOLLOW,
    "nonblock": os.O_NONBLOCK,
    "directory": os.O_DIRECTORY,
}


class Step(NamedTuple):
    """One line: who calls (uid and gid), the call and its words, and what may come."""

    line: str
    uid: int
    gid: int
    call: str
    words: list[str]
    expected: list[str]


def cases() -> Iterator[tuple[str, list[Step]]]:
    """Each case and its steps."""
    for text in TABLE.strip().removeprefix("# ").split("\n# "):
        title, *lines = text.splitlines()
        yield title, [parsed(line) for line in lines]


def parsed(line: str) -> Step:
    before, _, after = line.partition(" -> ")
    words = [_long(word) for word in before.split()]
    uid = gid = 0
    if words[0][0].isdigit():
        first, _, second = words.pop(0).partition(":")
        uid, gid = int(first), int(second or first)
    return Step(line, uid, gid, words[0], words[1:], after.split("|"))


def _long(word: str) -> str:
    """``{256}`` is a name of so many bytes."""
    return "n" * int(word[1:-1]) if word.startswith("{") and word.endswith("}") else word


def _stat(found: os.stat_result, fields: str) -> str:
    shown = {
        "type": _KINDS[unix.S_IFMT(found.st_mode)],
        "mode": f"0{unix.S_IMODE(found.st_mode):o}",
        "uid": found.st_uid,
        "gid": found.st_gid,
        "size": found.st_size,
        "nlink": found.st_nlink,
        "atime": int(found.st_atime),
        "mtime": int(found.st_mtime),
        "rdev": f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}",
    }
    return ",".join(str(shown[field]) for field in fields.split(","))


def _open(path: str, flags: str) -> None:
    number = 0
    for flag in flags.split(","):
        number |= _FLAGS[flag]
    os.close(os.open(path, number))


def _create(path: str, mode: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, int(mode, 8)))


def _write(path: str, text: str) -> str:
    descriptor = os.open(path, os.O_WRONLY)
    count = os.write(descriptor, text.encode())
    os.close(descriptor)
    return str(count)


def _mknod(path: str, kind: str, major: str, minor: str) -> None:
    os.mknod(path, 0o644 | (unix.S_IFCHR if kind == "c" else unix.S_IFBLK), os.makedev(int(major), int(minor)))


def _utime(path: str, atime: str, mtime: str) -> None:
    os.utime(path) if atime == "now" else os.utime(path, (int(atime), int(mtime)))


def _same(path: str, other: str) -> str:
    return "ok" if os.path.samestat(os.stat(path), os.stat(other)) else "other"


CALLS: dict[str, Callable[..., str | None]] = {
    "mkdir": lambda path, mode: os.mkdir(path, int(mode, 8)),
    "rmdir": os.rmdir,
    "unlink": os.unlink,
    "create": _create,
    "open": _open,
    "write": _write,
    "chmod": lambda path, mode: os.chmod(path, int(mode, 8)),
    "chown": lambda path, uid, gid: os.chown(path, int(uid), int(gid)),
    "lchown": lambda path, uid, gid: os.lchown(path, int(uid), int(gid)),
    "symlink": os.symlink,
    "readlink": os.readlink,
    "link": os.link,
    "same": _same,
    "rename": os.rename,
    "truncate": lambda path, size: os.truncate(path, int(size)),
    "mkfifo": lambda path, mode: os.mkfifo(path, int(mode, 8)),
    "mknod": _mknod,
    "utime": _utime,
    "stat": lambda path, fields: _stat(os.stat(path), fields),
    "lstat": lambda path, fields: _stat(os.lstat(path), fields),
}


def answer(step: Step) -> str:
    """What comes of a step, in the present directory, as its caller sees it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            os.umask(0)
            if step.uid or step.gid:
                os.setgroups([])
                os.setresgid(step.gid, step.gid, step.gid)
                os.setresuid(step.uid, step.uid, step.uid)
            try:
                came = CALLS[step.call](*step.words) or "ok"
            except OSError as error:
                came = errno.errorcode[error.errno or 0]
            os.write(writing, came.encode()[:PIPE])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        came = pipe.read().decode()
    os.waitpid(child, 0)
    return came


PIPE = 4096
"""Bytes that a pipe takes at once."""


def faults(directory: str, steps: list[Step]) -> list[str]:
    """The steps of a case that came out otherwise, tried in a new directory below ``directory``."""
    place = tempfile.mkdtemp(dir=directory)
    os.chmod(place, 0o777)
    found = []
    before = os.getcwd()
    os.chdir(place)
    try:
        for step in steps:
            came = answer(step)
            if came not in step.expected:
                found.append(f"{step.line}: {came}")
    finally:
        os.chdir(before)
        shutil.rmtree(place, ignore_errors=True)
    return found


def main(directory: str) -> int:
    """Tries all cases; prints a line for each step that came out otherwise."""
    bad = 0
    for title, steps in cases():
        for fault in faults(directory, steps):
            bad += 1
            print(f"{title}: {fault}", flush=True)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
