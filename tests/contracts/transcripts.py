"""Plays conversations with a 9P server that are written down in ``tests/transcripts``, message by message.

A file holds conversations. ``= title`` starts one; ``#`` starts a comment line. Its lines are::

    -> 5 Topen(fid=1, mode=OREAD|OTRUNC)        the client sends this under tag 5
    <- 5 Ropen(qid=file("a"), iounit=...)       the server answers
    -> hex 09 00 00 00 6c 01 00 02 00           the client sends these bytes
    <- hex 07 00 00 00 6d 01 00                 the server sends exactly these
    <- closed                                   the server hangs up
    <- nothing                                  the server says nothing and waits
    ! let read 0                                a file that waits is told to go on

Requests that follow each other without an answer between them leave in one piece. In replies only what is written is
compared, and ``...`` is anything. ``Rerror("...")`` and the like may leave out the names of fields. A qid is
``file("a")``, ``dir("a")``, ``append("a")``, ``excl("a")``: the kind, and a name for its path, which stays the same
throughout a conversation. ``file("a", 2)`` also names the version: another number is another version. ``entries("x",
"y")`` is data that holds these directory entries and no others, in any order. Of ``Stat``, ``Attributes`` and
``Statfs`` in a reply only the fields that are written are compared.

``= title (bare)`` starts without a version and an attach; otherwise fid 0 is the root, attached as ``glenda``, and
the message size is 8192. ``(unix)`` and ``(linux)`` speak 9P2000.u and 9P2000.L. ``= title (slow)`` is played on
``SlowTree``, ``(secret)`` on a ``SecretTree`` where the secret of ``glenda`` is ``rabbit`` and fid 0 is attached as
``none``, everything else on any empty writable tree. Words can be put together: ``(slow linux)``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import trio
import trio.testing

from fakes.secret_tree import GUEST
from fakes.slow_tree import SlowTree
from ninep.protocol import attributes, qid, stat
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.codec_linux import unpack_entries
from ninep.protocol.dialect import NinePDialect
from ninep.protocol.stat import Stat, unpack_directory
from ninep.server.files import FileTree
from ninep.server.serve import serve_stream
from ninep.wire.frames import FrameBuffer

FOLDER = Path(__file__).parent.parent / "transcripts"
KINDS = {"file": 0, "dir": qid.QTDIR, "append": qid.QTAPPEND, "excl": qid.QTEXCL, "tmp": qid.QTTMP}
KINDS |= {"symlink": qid.QTSYMLINK, "auth": qid.QTAUTH}
CONSTANTS: dict[str, Any] = {
    name: value
    for module in (m, lm, stat, attributes)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, int)
}
TYPES: dict[str, Any] = {kind.__name__: kind for kind in m.NUMBERS | lm.NUMBERS}
VERSIONS = {"unix": m.VERSION_UNIX, "linux": lm.VERSION}


class Line(NamedTuple):
    """One line of a conversation: where it stands, its arrow, its tag if it has one, and the rest."""

    place: str
    arrow: str
    tag: int | None
    text: str


class Conversation(NamedTuple):
    title: str
    kind: tuple[str, ...]
    lines: list[Line]


class Named(NamedTuple):
    """A qid by its kind and the names of its path and version."""

    kind: str
    path: str
    version: int | None = None


class Part(NamedTuple):
    """Some fields of a value."""

    fields: dict[str, Any]


class Entries(frozenset[str]):
    """Names in a directory."""


def conversations(folder: Path = FOLDER) -> Iterator[Conversation]:
    """All that is written down."""
    for path in sorted(folder.glob("*.txt")):
        conversation: Conversation | None = None
        for number, raw in enumerate(path.read_text().splitlines(), 1):
            line, place = raw.strip(), f"{path.name}:{number}"
            if not line or line.startswith("#"):
                continue
            if found := re.fullmatch(r"= (.+?)(?: \(((?:bare|slow|secret|unix|linux| )+)\))?", line):
                if conversation is not None:
                    yield conversation
                conversation = Conversation(f"{path.stem}: {found[1]}", tuple((found[2] or "").split()), [])
            elif found := re.fullmatch(r"(->|<-|!) (?:(\w+) (?=[TR][a-z]+\())?(.+)", line):
                assert conversation is not None, f"{place}: no title yet"
                tag = None if found[2] is None else CONSTANTS[found[2]] if found[2] in CONSTANTS else int(found[2], 0)
                conversation.lines.append(Line(place, found[1], tag, found[3]))
            else:
                raise ValueError(f"{place}: {line}")
        if conversation is not None:
            yield conversation


async def play(conversation: Conversation, tree: FileTree) -> None:
    """Holds the conversation with a server of ``tree``; an AssertionError names the line that went differently."""
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, tree)
        player = _Player(near, tree)
        if "bare" not in conversation.kind:
            version = next((VERSIONS[word] for word in conversation.kind if word in VERSIONS), m.VERSION)
            await player.greet(version, GUEST if "secret" in conversation.kind else "glenda")
        for line in conversation.lines:
            try:
                await player.take(line)
            except AssertionError as error:
                raise AssertionError(f"{line.place}: {line.arrow} {line.text}: {error}") from None
        await player.leave()


class _Player:
    def __init__(self, stream: trio.StapledStream[Any, Any], tree: FileTree) -> None:
        self.stream = stream
        self.tree = tree
        self.outgoing = b""
        self.buffer = FrameBuffer(NinePDialect.format, 1 << 20)
        self.frames: list[memoryview] = []
        self.paths: dict[str, int] = {}
        self.versions: dict[tuple[str, int], int] = {}
        self.closed = False
        self.dialect = NinePDialect()

    async def greet(self, version: str, uname: str) -> None:
        self.send(m.NOTAG, m.Tversion(8192, version))
        assert (await self.reply())[1] == m.Rversion(8192, version)
        self.send(0, m.Tattach(0, m.NOFID, uname, ""))
        assert type((await self.reply())[1]) is m.Rattach

    def send(self, tag: int, request: m.Request) -> None:
        pieces: list[Any] = []
        self.dialect.encode(tag, request, pieces)
        self.outgoing += b"".join(pieces)

    async def take(self, line: Line) -> None:
        if line.arrow == "->":
            if line.text.startswith("hex "):
                self.outgoing += bytes.fromhex(line.text[4:])
            else:
                assert line.tag is not None, "a request needs a tag"
                kind, fields = parsed(line.text)
                self.send(line.tag, kind(**fields))
            return
        await self.push()
        if line.arrow == "!":
            assert isinstance(self.tree, SlowTree)
            await trio.testing.wait_all_tasks_blocked()
            assert line.text.startswith("let ")
            self.tree.let(line.text[4:])
        elif line.text == "closed":
            frame = await self.frame()
            assert frame is None, f"it said {self.dialect.decode_reply(frame)}"
            self.closed = True
        elif line.text == "nothing":
            await self.quiet()
        elif line.text.startswith("hex "):
            frame = await self.frame()
            assert frame is not None, "it hung up"
            whole = (len(frame) + 4).to_bytes(4, "little") + frame
            assert whole == bytes.fromhex(line.text[4:]), f"it said {whole.hex(' ')}"
        else:
            tag, reply = await self.reply()
            kind, fields = parsed(line.text)
            assert (tag, type(reply)) == (line.tag, kind), f"it said {tag} {reply}"
            for name, expected in fields.items():
                value = getattr(reply, name)
                assert self.matches(expected, value), f"{name} is {value}"

    async def push(self) -> None:
        if self.outgoing:
            data, self.outgoing = self.outgoing, b""
            await self.stream.send_all(data)

    async def frame(self) -> memoryview | None:
        while not self.frames:
            with trio.fail_after(30):
                data = await self.stream.receive_some()
            if not data:
                return None
            self.buffer.feed(bytes(data))
            self.frames += self.buffer.frames()
        return self.frames.pop(0)

    async def reply(self) -> tuple[int, Any]:
        await self.push()
        frame = await self.frame()
        assert frame is not None, "it hung up"
        tag, reply = self.dialect.decode_reply(frame)
        if type(reply) is m.Rversion and reply.version != "unknown":
            self.dialect.agree(reply.version, 1 << 20)
        return tag, reply

    async def quiet(self) -> None:
        await trio.testing.wait_all_tasks_blocked()
        assert not self.frames, f"it said {self.dialect.decode_reply(self.frames[0])}"
        with trio.move_on_after(0) as scope:
            data = await self.stream.receive_some()
        assert scope.cancelled_caught, f"it said {bytes(data)!r}"

    async def leave(self) -> None:
        """After the last line nothing more may come."""
        await self.push()
        if not self.closed:
            await self.quiet()
            if isinstance(self.tree, SlowTree):
                self.tree.let("clunk", "remove")
        await self.stream.aclose()

    def matches(self, expected: Any, value: Any) -> bool:
        if expected is ...:
            return True
        if isinstance(expected, Named):
            path = self.paths.setdefault(expected.path, value.path)
            if (value.type, value.path) != (KINDS[expected.kind], path):
                return False
            if any(other == value.path and name != expected.path for name, other in self.paths.items()):
                return False
            if expected.version is None:
                return True
            known = self.versions.setdefault((expected.path, expected.version), value.version)
            others = [v for (path, n), v in self.versions.items() if path == expected.path and n != expected.version]
            return bool(known == value.version) and value.version not in others
        if isinstance(expected, Entries):
            if self.dialect.version == lm.VERSION:
                found = [name for _, _, _, name in unpack_entries(value)]
            else:
                unix = self.dialect.version == m.VERSION_UNIX
                found = [entry.name for entry in unpack_directory(value, Stat.unpack_unix if unix else Stat.unpack)]
            return len(found) == len(expected) and set(found) == expected
        if isinstance(expected, Stat):
            told = [(a, b) for a, b, default in zip(expected, value, Stat(), strict=True) if a != default]
            return all(self.matches(a, b) for a, b in told)
        if isinstance(expected, Part):
            return all(self.matches(part, getattr(value, name)) for name, part in expected.fields.items())
        if isinstance(expected, list):
            return len(expected) == len(value) and all(map(self.matches, expected, value))
        return bool(expected == value)


def parsed(text: str) -> tuple[Any, dict[str, Any]]:
    """The message type and the fields that are written."""
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    kind = TYPES[call.func.id]
    fields = dict(zip(kind._fields, map(_value, call.args), strict=False))
    fields |= {keyword.arg: _value(keyword.value) for keyword in call.keywords}
    return kind, fields


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            return CONSTANTS[name]
        case ast.BinOp(left, ast.BitOr(), right):
            return _value(left) | _value(right)
        case ast.BinOp(left, ast.Add(), right):
            return _value(left) + _value(right)
        case ast.BinOp(left, ast.Mult(), right):
            return _value(left) * _value(right)
        case ast.List(items):
            return [_value(item) for item in items]
        case ast.Call(ast.Name("Stat"), [], keywords):
            return Stat(**{str(keyword.arg): _value(keyword.value) for keyword in keywords})
        case ast.Call(ast.Name("Attributes" | "Statfs"), [], keywords):
            return Part({str(keyword.arg): _value(keyword.value) for keyword in keywords})
        case ast.Call(ast.Name("entries"), items):
            return Entries(map(_value, items))
        case ast.Call(ast.Name(kind), items) if kind in KINDS:
            return Named(kind, *map(_value, items))
    raise ValueError(ast.unparse(node))
