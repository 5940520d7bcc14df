"""A file server that answers what nobody should: odd stats, qids, counts, names, directories and error numbers.

``python -m fakes.hostile_server PORT SEED`` serves, in every dialect, a small tree whose answers are made odd at
random. It never hangs up and never stays silent. What is below ``good`` is told as it is.
"""

from __future__ import annotations

import random
import sys
import zlib
from typing import Any

import trio

from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.attributes import Attributes, Statfs
from ninep.protocol.codec_linux import pack_entry
from ninep.protocol.dialect import NinePDialect
from ninep.protocol.qid import QTDIR, Qid
from ninep.protocol.stat import DMDIR, Stat
from ninep.wire.frames import FrameBuffer

_64 = (0, 1, 2, 511, 4096, (1 << 31) - 1, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_32 = tuple(number for number in _64 if number < 1 << 32)
_MODES = (0, 0o644, 0o40755, 0o100644, 0o120777, 0o160000, 0o20666, 0o104755, (1 << 32) - 1)
_NAMES = ("", ".", "..", "a/b", "nul\0", "x" * 255, "y" * 1025, "z" * 5000, "\udcff", "new\nline", "d", "f", "é")
_ERRORS = (
    0,
    1,
    2,
    4,
    5,
    11,
    13,
    20,
    23,
    24,
    28,
    38,
    40,
    43,
    61,
    95,
    116,
    122,
    512,
    516,
    4095,
    (1 << 31) - 1,
    (1 << 32) - 1,
)
ODD = 0.4
"""How many answers are odd."""


class Hostile:
    """One connection. Fids are remembered as paths; a name that starts with ``d`` is a directory."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.fids: dict[int, str] = {}

    def odd(self, path: str) -> bool:
        return not path.startswith("/good") and path != "/" and self.chance.random() < ODD

    def qid(self, path: str) -> Qid:
        name = path.rsplit("/", 1)[-1]
        kind = QTDIR if path == "/" or name[:1] in "dg" else 0
        if self.odd(path):
            return Qid(self.chance.choice((0, 0x80, 2, 0xFF)), self.chance.choice(_32), self.chance.choice(_64))
        return Qid(kind, 1, zlib.crc32(path.encode("utf-8", "surrogateescape")))

    def attributes(self, path: str) -> Attributes:
        qid = self.qid(path)
        if self.odd(path):
            pick = self.chance.choice
            small = [pick(_32) for _ in range(2)]
            large = [pick(_64) for _ in range(11)]
            return Attributes(qid, pick(_MODES), *small, *large, pick((0x7FF, 0, 1)))
        folder = bool(qid.type & QTDIR)
        return Attributes(qid, 0o40755 if folder else 0o100644, 0, 0, size=0 if folder else 5)

    def stat(self, path: str) -> Stat:
        qid, pick = self.qid(path), self.chance.choice
        name = path.rsplit("/", 1)[-1]
        if self.odd(path):
            name = pick(_NAMES)[:1000]
            return Stat(
                1,
                2,
                qid,
                pick(_32),
                pick(_32),
                pick(_32),
                pick(_64),
                name,
                "u" * 300,
                "",
                "\n",
                "b 1 x",
                *[pick(_32)] * 3,
            )
        mode = DMDIR | 0o755 if qid.type & QTDIR else 0o644
        return Stat(0, 0, qid, mode, 1, 1, 0 if qid.type & QTDIR else 5, name, "root", "root", "root", "", 0, 0, 0)

    def names(self, path: str) -> list[str]:
        plain = ["f", "d1", "f2", "d3"]
        return (
            ["good"] * (path == "/")
            + plain
            + ([self.chance.choice(_NAMES) for _ in range(5)] if self.odd(path + "/") else [])
        )

    def answer(self, request: Any, version: str) -> Any:
        number = getattr(request, "fid", getattr(request, "dfid", 0))
        path = self.fids.get(number, "/lost")
        if self.odd(path) and not isinstance(request, m.Tattach | m.Tclunk) and self.chance.random() < 0.3:
            code = self.chance.choice(_ERRORS)
            return lm.Rlerror(code) if version == lm.VERSION else m.Rerror(f"error {code}")
        match request:
            case m.Tattach():
                self.fids[request.fid] = "/"
                return m.Rattach(Qid(QTDIR, 0, 7))
            case m.Twalk():
                qids = []
                for name in request.wnames:
                    path = f"{path.rstrip('/')}/{name}"
                    qids.append(self.qid(path))
                self.fids[request.newfid] = path
                if self.odd(path):
                    qids = self.chance.choice((qids, [], qids * 2))
                return m.Rwalk(qids)
            case lm.Tgetattr():
                return lm.Rgetattr(self.attributes(path))
            case m.Tstat():
                return m.Rstat(self.stat(path))
            case m.Topen():
                return m.Ropen(self.qid(path), self.chance.choice(_32) if self.odd(path) else 0)
            case lm.Tlopen():
                return lm.Rlopen(self.qid(path), self.chance.choice(_32) if self.odd(path) else 0)
            case lm.Tlcreate():
                return lm.Rlcreate(self.qid(path), self.chance.choice(_32))
            case m.Tcreate():
                return m.Rcreate(self.qid(path), self.chance.choice(_32))
            case m.Tread() if self.qid(path).type & QTDIR:
                return m.Rread(self.plan9_directory(path, request))
            case m.Tread():
                data = b"text\n"[request.offset : request.offset + request.count]
                return m.Rread(
                    self.chance.choice((data, b"", b"x" * (request.count + 1), b"y" * request.count))
                    if self.odd(path)
                    else data
                )
            case m.Twrite():
                size = len(request.data)
                return m.Rwrite(self.chance.choice((0, size, size + 1, 0xFFFFFFFF)) if self.odd(path) else size)
            case lm.Treaddir():
                return lm.Rreaddir(self.linux_directory(path, request))
            case lm.Treadlink():
                return lm.Rreadlink(self.chance.choice(("target", "", "x" * 5000, "nul\0nul")))
            case lm.Tstatfs():
                return lm.Rstatfs(
                    Statfs(
                        *[self.chance.choice(_32) for _ in range(2)],
                        *[self.chance.choice(_64) for _ in range(6)],
                        self.chance.choice(_32),
                    )
                )
            case lm.Txattrwalk():
                self.fids[request.newfid] = path
                return lm.Rxattrwalk(self.chance.choice(_64))
        reply = {lm.Tmkdir: lm.Rmkdir, lm.Tsymlink: lm.Rsymlink, lm.Tmknod: lm.Rmknod}.get(type(request))
        if reply is not None:
            return reply(self.qid(path))
        name = "R" + type(request).__name__[1:]
        return (getattr(lm, name, None) and getattr(lm, name)()) or getattr(m, name)()

    def linux_directory(self, path: str, request: Any) -> bytes:
        if request.offset and not self.odd(path):
            return b""
        entries = []
        for at, name in enumerate(self.names(path), 1):
            cookie = self.chance.choice((at, at, 0, (1 << 64) - 1)) if self.odd(path) else at
            entries.append(pack_entry(self.qid(f"{path}/{name}"), cookie, self.chance.randrange(256), name))
        data = b"".join(entries)
        return data[: self.chance.randrange(len(data))] if self.odd(path) and self.chance.random() < 0.3 else data

    def plan9_directory(self, path: str, request: Any) -> bytes:
        if request.offset and not self.odd(path):
            return b""
        data = b"".join(self.stat(f"{path.rstrip('/')}/{name}").pack() for name in self.names(path))
        return data[: self.chance.randrange(len(data))] if self.odd(path) and self.chance.random() < 0.3 else data


async def converse(stream: trio.SocketStream, seed: int) -> None:
    hostile, dialect = Hostile(seed), NinePDialect()
    buffer = FrameBuffer(dialect.format, 1 << 21)
    version = m.VERSION
    async with stream:
        while data := await stream.receive_some(1 << 16):
            buffer.feed(data)
            for frame in buffer.frames():
                tag, request = dialect.decode_request(frame)
                if isinstance(request, m.Tversion):
                    version = request.version
                    reply: Any = m.Rversion(request.msize, version)
                elif isinstance(request, m.Tflush):
                    reply = m.Rflush()
                else:
                    try:
                        reply = hostile.answer(request, version)
                    except Exception as error:
                        reply = lm.Rlerror(5) if version == lm.VERSION else m.Rerror(repr(error))
                pieces: list[Any] = []
                try:
                    dialect.encode(tag, reply, pieces)
                except ValueError as error:
                    pieces = []
                    dialect.encode(tag, lm.Rlerror(5) if version == lm.VERSION else m.Rerror(str(error)[:100]), pieces)
                await stream.send_all(b"".join(pieces))
                if isinstance(request, m.Tversion):
                    dialect.agree(version, request.msize)


async def main(port: int, seed: int) -> None:
    async with trio.open_nursery() as nursery:

        async def one(stream: trio.SocketStream) -> None:
            try:
                await converse(stream, seed)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

        await nursery.start(trio.serve_tcp, one, port)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), int(sys.argv[2]))
