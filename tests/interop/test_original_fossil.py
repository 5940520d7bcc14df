"""The original's fossil and ours, asked the same: where they answer the same, and where ours means to differ.

The page ``docs/reference/fossil-differences.md`` says why for each of the latter.
"""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from fakes.ninep_client import Raw, talking
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.errors import FileError
from ninep.protocol.stat import Stat, unpack_directory
from programs.plan9port import ROOT, needs, original
from programs.processes import Program, free_port, running

pytestmark = [pytest.mark.process, needs("fossil/fossil", "fossil/flfmt")]

SETUP = (
    "fsys main",
    "create /active/adm adm sys d775",
    "create /active/adm/users adm sys 664",
    "users -w",
    *(f"uname {user} :{user}" for user in ("rob", "ken", "out")),
    "uname dev :dev",
    "uname dev +rob",
    "uname dev +ken",
    "uname dev =rob",
    "create /active/tmp glenda dev d777",
    "create /active/dir rob dev d775",
)
PATIENCE = 30.0


@contextlib.contextmanager
def theirs(folder: Path) -> Iterator[str]:
    """The original, with the users and directories of ``SETUP``, and no archive."""
    part, port = folder / "part", free_port()
    with part.open("wb") as file:
        file.truncate(64 << 20)
    original("fossil/flfmt", "-y", "-l", "test", part)
    commands = (f"fsys main config {part}", "fsys main open -AV", *SETUP, f"listen tcp!127.0.0.1!{port}")
    command = [f"{ROOT}/bin/fossil/fossil", "-t", *(word for line in commands for word in ("-c", line))]
    said: list[bytes] = []
    child, terminal = pty.fork()
    if child == 0:
        os.environ["NAMESPACE"] = str(folder)
        os.execv(command[0], command)

    def drain() -> None:
        with contextlib.suppress(OSError):
            while text := os.read(terminal, 65536):
                said.append(text)

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert time.monotonic() < deadline, b"".join(said)[-500:]
            time.sleep(0.05)
        yield f"{port}"
    finally:
        # The original forks; everything in the session of the terminal is its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)
        reader.join(5)


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[str]:
    """Ours, by the same commands; what a fresh file system of ours has already is reported and passed over."""
    port = free_port()
    commands = ("fsys main config *", "fsys main open -AV", *SETUP, f"listen tcp!127.0.0.1!{port}")
    words = [word for line in commands for word in ("-c", line)]
    program = Program(port, "fossil", "serve", "--data", str(folder / "data"), *words, log=folder / "log")
    with running(program):
        yield f"{port}"


@contextlib.asynccontextmanager
async def client(port: str, user: str, aname: str = "") -> AsyncIterator[Raw]:
    async with await trio.open_tcp_stream("127.0.0.1", int(port)) as stream, talking(stream, msize=8216) as raw:
        await raw.ask(m.Tattach(0, m.NOFID, user, aname))
        yield raw


def shown(reply: Any) -> Any:
    """What of an answer must be the same: no times, and no paths."""
    match reply:
        case m.Ropen(qid) | m.Rcreate(qid):
            return type(reply).__name__, qid.type & ~st.DMTMP >> 24, qid.version
        case m.Rwalk(qids):
            return "Rwalk", [(qid.type, qid.version) for qid in qids]
        case m.Rstat(stat):
            return "Rstat", stat.name, stat.mode, stat.length, stat.qid.version, stat.uid, stat.gid, stat.muid
        case m.Rread(data):
            return "Rread", bytes(data)
        case FileError():
            return type(reply).__name__
        case _:
            return type(reply).__name__, *(tuple(reply) if isinstance(reply, tuple) else ())


class Talk:
    """One user's requests to one of the servers; everything that is answered is noted."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.noted: list[Any] = []

    async def ask(self, request: m.Request) -> Any:
        try:
            reply = await self.raw.ask(request)
        except FileError as error:
            reply = error
        self.noted.append((type(request).__name__, shown(reply)))
        return reply

    async def walk(self, path: str) -> int:
        fid = self.raw.fid()
        await self.ask(m.Twalk(0, fid, path.split("/") if path else []))
        return fid

    async def stat(self, path: str) -> None:
        fid = await self.walk(path)
        await self.ask(m.Tstat(fid))
        await self.ask(m.Tclunk(fid))


async def life_of_a_file(talk: Talk) -> None:
    fid = await talk.walk("tmp")
    await talk.ask(m.Tcreate(fid, "file", 0o666, m.ORDWR))
    await talk.ask(m.Twrite(fid, 0, b"hello, world"))
    await talk.stat("tmp/file")
    await talk.ask(m.Twrite(fid, 20, b"end"))
    await talk.ask(m.Tread(fid, 5, 100))
    await talk.ask(m.Tread(fid, 1000, 100))
    await talk.stat("tmp/file")
    other = await talk.walk("tmp/file")
    await talk.ask(m.Topen(other, m.OWRITE | m.OTRUNC))
    await talk.ask(m.Tread(other, 0, 10))
    await talk.stat("tmp/file")
    for changes in (Stat(mode=0o640), Stat(mtime=1000), Stat(name="renamed"), Stat()):
        await talk.ask(m.Twstat(fid, changes))
        await talk.ask(m.Tstat(fid))
    again = await talk.walk("tmp")
    await talk.ask(m.Tcreate(again, "renamed", 0o666, m.ORDWR))
    await talk.ask(m.Tremove(await talk.walk("tmp/renamed")))
    await talk.ask(m.Twalk(0, talk.raw.fid(), ["tmp", "renamed"]))
    await talk.ask(m.Twalk(0, talk.raw.fid(), ["nosuch"]))


async def directories(talk: Talk) -> None:
    fid = await talk.walk("tmp")
    await talk.ask(m.Tcreate(fid, "inner", st.DMDIR | 0o777, m.OREAD))
    await talk.ask(m.Tcreate(await talk.walk("tmp/inner"), "a", 0o777, m.OWRITE))
    await talk.ask(m.Tcreate(await talk.walk("tmp/inner"), "b", st.DMDIR | 0o755, m.OREAD))
    await talk.ask(m.Tcreate(await talk.walk("tmp/inner"), "c", st.DMDIR | 0o755, m.OWRITE))
    await talk.stat("tmp/inner/a")
    await talk.stat("tmp/inner/b")
    await talk.ask(m.Tremove(await talk.walk("tmp/inner")))
    await talk.ask(m.Topen(await talk.walk("tmp/inner"), m.OWRITE))
    await talk.ask(m.Topen(await talk.walk("tmp/inner"), m.OREAD | m.ORCLOSE))
    await talk.ask(m.Tcreate(await talk.walk("tmp/inner/a"), "x", 0o644, m.OREAD))
    fid = await talk.walk("tmp/inner")
    await talk.ask(m.Topen(fid, m.OREAD))
    reply = await talk.raw.ask(m.Tread(fid, 0, 8000))
    talk.noted.append(sorted((entry.name, entry.mode, entry.uid) for entry in unpack_directory(bytes(reply.data))))
    await talk.ask(m.Twalk(0, talk.raw.fid(), ["tmp", "inner", "a", "x"]))
    await talk.ask(m.Twalk(0, talk.raw.fid(), ["tmp", "inner", "..", "inner", "b"]))
    closing = await talk.walk("tmp/inner")
    await talk.ask(m.Tcreate(closing, "short", 0o666, m.ORDWR | m.ORCLOSE))
    await talk.ask(m.Tclunk(closing))
    await talk.ask(m.Twalk(0, talk.raw.fid(), ["tmp", "inner", "short"]))


async def rights(talk: Talk) -> None:
    for path in ("dir", "adm"):
        await talk.ask(m.Topen(await talk.walk(path), m.OREAD))
    fid = await talk.walk("dir")
    await talk.ask(m.Tcreate(fid, f"of-{len(talk.noted)}", 0o664, m.OWRITE))
    await talk.ask(m.Tstat(fid))
    root = await talk.walk("")
    await talk.ask(m.Tcreate(root, "in-root", 0o664, m.OWRITE))
    mode = (await talk.raw.stat("dir")).mode
    await talk.ask(m.Twstat(await talk.walk("dir"), Stat(mode=mode ^ 4)))
    await talk.ask(m.Twstat(await talk.walk("dir"), Stat(gid="out")))
    await talk.ask(m.Twstat(await talk.walk("dir"), Stat(name="tmp")))
    await talk.ask(m.Twstat(await talk.walk("tmp"), Stat(uid="ken")))


async def special_files(talk: Talk) -> None:
    fid = await talk.walk("tmp")
    await talk.ask(m.Tcreate(fid, "log", st.DMAPPEND | 0o666, m.OWRITE))
    await talk.ask(m.Twrite(fid, 100, b"one"))
    await talk.ask(m.Twrite(fid, 0, b"two"))
    await talk.stat("tmp/log")
    await talk.ask(m.Topen(await talk.walk("tmp/log"), m.OWRITE | m.OTRUNC))
    await talk.stat("tmp/log")
    fid = await talk.walk("tmp")
    await talk.ask(m.Tcreate(fid, "lock", st.DMEXCL | 0o666, m.ORDWR))
    second = await talk.walk("tmp/lock")
    await talk.ask(m.Topen(second, m.OREAD))
    await talk.ask(m.Tclunk(fid))
    await talk.ask(m.Topen(second, m.OREAD))
    fid = await talk.walk("tmp")
    await talk.ask(m.Tcreate(fid, "temp", st.DMTMP | 0o666, m.ORDWR))
    await talk.stat("tmp/temp")


async def walks_in_place(talk: Talk) -> None:
    raw = talk.raw

    async def note(fid: int, names: list[str]) -> None:
        reply = await talk.ask(m.Twalk(fid, raw.fid(), names))
        talk.noted[-1] = names, [qid.type for qid in reply.wqids] if isinstance(reply, m.Rwalk) else str(reply)

    for path in (".", "./.", "tmp/.", "./tmp/./.", "tmp/./..", "./nosuch", "nosuch/.", "adm/users/."):
        await note(0, path.split("/"))
    await note(await raw.walk("adm", "users"), ["."])
    for aname in ("/", "main", "main/", "/active", "main/active", "//", "main//active", "/nosuch"):
        fid = raw.fid()
        reply = await talk.ask(m.Tattach(fid, m.NOFID, "glenda", aname))
        talk.noted[-1] = aname, str(reply) if isinstance(reply, FileError) else ""
        if not isinstance(reply, FileError):
            await note(fid, ["active"])


SAME = {
    "walks in place": (walks_in_place, "glenda", ""),
    "life of a file": (life_of_a_file, "rob", ""),
    "directories": (directories, "ken", ""),
    "rights of an owner": (rights, "rob", ""),
    "rights of a member": (rights, "ken", ""),
    "rights of others": (rights, "out", ""),
    "rights of none": (rights, "none", ""),
    "rights of a stranger": (rights, "stranger", ""),
    "special files": (special_files, "glenda", ""),
}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with theirs(tmp_path_factory.mktemp("theirs")) as one, ours(tmp_path_factory.mktemp("ours")) as two:
        yield one, two


@pytest.mark.parametrize("name", SAME)
async def test_they_answer_the_same(ports: tuple[str, str], name: str) -> None:
    talk, user, aname = SAME[name]
    noted = []
    for port in ports:
        async with client(port, user, aname) as raw:
            one = Talk(raw)
            await talk(one)
            noted.append(one.noted)
    differences = [pair for pair in zip(*noted, strict=True) if pair[0] != pair[1]]
    assert not differences


# Where ours means to differ. Each of these returns what can be compared.


async def version_after_a_cut(raw: Raw) -> int:
    fid = await raw.create("tmp", "cut", data=b"twelve bytes")
    before = (await raw.stat("tmp", "cut")).qid.version
    await raw.ask(m.Twstat(fid, Stat(length=3)))
    return int((await raw.stat("tmp", "cut")).qid.version) - before


async def directory_after_a_wstat(raw: Raw) -> bool:
    """Whether the time of a directory changes with the mode of a file in it."""
    await raw.made("tmp", "times", perm=st.DMDIR | 0o777)
    fid = await raw.create("tmp", "times", "file")
    await raw.ask(m.Twstat(await raw.walk("tmp", "times"), Stat(mtime=1000)))
    await raw.ask(m.Twstat(fid, Stat(mode=0o600)))
    return (await raw.stat("tmp", "times")).mtime != 1000


async def cut_by_a_writer(raw: Raw) -> str:
    """``raw`` is glenda; rob may write and does not own."""
    await raw.made("tmp", "writable", perm=0o666, data=b"text")
    await raw.ask(m.Tattach(900, m.NOFID, "out", ""))
    await raw.ask(m.Twalk(900, 901, ["tmp", "writable"]))
    return await outcome(raw, m.Twstat(901, Stat(length=1)))


async def wstat_that_names_what_is(raw: Raw) -> str:
    """By a user who may change nothing."""
    await raw.ask(m.Tattach(910, m.NOFID, "out", ""))
    await raw.ask(m.Twalk(910, 911, ["dir"]))
    mode = (await raw.ask(m.Tstat(911))).stat.mode
    return await outcome(raw, m.Twstat(911, Stat(mode=mode)))


async def cut_of_a_removed_file(raw: Raw) -> str:
    fid = await raw.create("tmp", "gone", data=b"text")
    await raw.ask(m.Tremove(await raw.walk("tmp", "gone")))
    return await outcome(raw, m.Twstat(fid, Stat(length=1)))


async def slash_in_a_name(raw: Raw) -> str:
    return await outcome(raw, m.Tcreate(await raw.walk("tmp"), "a/b", 0o644, m.OREAD))


async def length_of_a_large_file(raw: Raw) -> int:
    fid = await raw.create("tmp", "large")
    await raw.ask(m.Twrite(fid, 1 << 31, b"x"))
    length = int((await raw.stat("tmp", "large")).length)
    await raw.ask(m.Tremove(await raw.walk("tmp", "large")))
    return length


async def attach_below(raw: Raw) -> str:
    return await outcome(raw, m.Tattach(raw.fid(), m.NOFID, "glenda", "main/active/adm"))


async def fid_of_a_temporary_file(raw: Raw) -> int:
    fid = await raw.walk("tmp")
    return int((await raw.ask(m.Tcreate(fid, "scratch", st.DMTMP | 0o644, m.OREAD))).qid.type)


async def mode_of_the_root(raw: Raw) -> int:
    return int((await raw.stat()).mode) & 0o777


async def outcome(raw: Raw, request: m.Request) -> str:
    try:
        await raw.ask(request)
    except FileError as error:
        return str(error)
    return "done"


DIFFERENT = [
    (version_after_a_cut, 0, 1),
    (directory_after_a_wstat, True, False),
    (cut_by_a_writer, "wstat -- not owner or group leader", "done"),
    (wstat_that_names_what_is, "wstat -- not owner or group leader", "done"),
    (cut_of_a_removed_file, "file has been removed", "done"),
    (slash_in_a_name, "done", "illegal name"),
    (length_of_a_large_file, (1 << 64) - (1 << 31) + 1, (1 << 31) + 1),
    (attach_below, "file does not exist", "done"),
    (fid_of_a_temporary_file, 0, st.DMTMP >> 24),
    (mode_of_the_root, 0o555, 0o775),
]


@pytest.mark.parametrize(("ask", "original_says", "ours_says"), DIFFERENT, ids=[row[0].__name__ for row in DIFFERENT])
async def test_they_differ(ports: tuple[str, str], ask: Any, original_says: object, ours_says: object) -> None:
    found = []
    for port in ports:
        async with client(port, "glenda") as raw:
            found.append(await ask(raw))
    assert found == [original_says, ours_says]
