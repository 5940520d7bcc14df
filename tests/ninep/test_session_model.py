"""Any sequence of requests on a few fids goes as a plain model of a tree says.

The model knows nothing of files, fids and turns as the server has them: it is nodes and a dictionary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import trio
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ninep.protocol import messages as m
from ninep.protocol.dialect import NinePDialect
from ninep.protocol.errors import FileError
from ninep.protocol.qid import Qid
from ninep.protocol.stat import DMDIR, Stat, unpack_directory
from ninep.ram.tree import RamTree
from ninep.server.session import NinePSession

OWNER = "glenda"
FIDS = some.integers(0, 4)
NAMES = some.sampled_from(["a", "b", "c"])
STEPS = some.sampled_from(["a", "b", "c", "..", "..", ".", "", "a/b"])
MODES = some.sampled_from([m.OREAD, m.OWRITE, m.ORDWR, m.OREAD | m.OTRUNC, m.ORDWR | m.ORCLOSE, m.OWRITE | m.OTRUNC])


class Node:
    def __init__(self, name: str, above: Node | None, *, folder: bool) -> None:
        self.name = name
        self.above = above or self
        self.folder = folder
        self.below: dict[str, Node] = {}
        self.data = b""
        self.gone = False


class Handle:
    def __init__(self, node: Node) -> None:
        self.node = node
        self.mode: int | None = None


class Refused(Exception):
    """What the model says instead of an answer."""


@contextlib.contextmanager
def told(reply: object) -> Iterator[None]:
    """In it the model says ``Refused``, and that was the reply, or goes on to look at the answer."""
    try:
        yield
    except Refused as refused:
        if reply != str(refused):
            raise AssertionError(f"{reply} where the model says: {refused}") from None


class Conversation(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tree = RamTree(OWNER)
        self.session = NinePSession(self.tree, NinePDialect(), max_fids=4)
        self.session.begin(m.Tversion(8192, "9P2000"))
        self.root = Node("/", None, folder=True)
        self.fids: dict[int, Handle] = {}
        self.paths: dict[int, Node] = {}

    def ask(self, request: m.Request) -> Any:
        try:
            return self.session.begin(request)
        except FileError as error:
            return error.text

    def handle(self, fid: int) -> Handle:
        if fid not in self.fids:
            raise Refused("fid unknown or out of range")
        return self.fids[fid]

    def unopened(self, fid: int) -> Handle:
        handle = self.handle(fid)
        if handle.mode is not None:
            raise Refused("bad use of fid")
        return handle

    def fresh(self, fid: int) -> None:
        if fid in self.fids:
            raise Refused("fid already in use")
        if len(self.fids) == 4:
            raise Refused("too many fids: 4 are in use on this connection")

    def same(self, qid: Qid, node: Node) -> None:
        """One path, one node, for ever."""
        assert self.paths.setdefault(qid.path, node) is node
        assert qid.is_directory == node.folder

    def drop(self, node: Node) -> None:
        """What removing a node comes to."""
        if node is self.root:
            raise Refused("cannot remove root")
        if node.gone:
            raise Refused("file has been removed")
        if node.below:
            raise Refused("directory is not empty")
        del node.above.below[node.name]
        node.gone = True

    # The rules: what is asked, what the model says, what came.

    @rule(fid=FIDS)
    def attach(self, fid: int) -> None:
        reply = self.ask(m.Tattach(fid, m.NOFID, OWNER, ""))
        with told(reply):
            self.fresh(fid)
            self.same(reply.qid, self.root)
            self.fids[fid] = Handle(self.root)

    @rule(fid=FIDS, newfid=FIDS, names=some.lists(STEPS, max_size=4))
    def walk(self, fid: int, newfid: int, names: list[str]) -> None:
        reply = self.ask(m.Twalk(fid, newfid, names))
        with told(reply):
            source = self.handle(fid)
            if newfid != fid:
                self.fresh(newfid)
            node = self.unopened(fid).node
            if names and not node.folder:
                raise Refused("not a directory")
            if names and (not names[0] or "/" in names[0]):
                raise Refused("illegal name")
            passed = []
            for name in names:
                here = {".": node, "..": node.above} if node.folder else {}
                following = here.get(name) or node.below.get(name)
                if following is None:
                    break
                passed.append(node := following)
            if names and not passed:
                raise Refused("file does not exist")
            assert len(reply.wqids) == len(passed)
            for qid, passing in zip(reply.wqids, passed, strict=True):
                self.same(qid, passing)
            if len(passed) == len(names):
                if newfid == fid:
                    source.node = node
                else:
                    self.fids[newfid] = Handle(node)

    @rule(fid=FIDS, mode=MODES)
    def open(self, fid: int, mode: int) -> None:
        reply = self.ask(m.Topen(fid, mode))
        with told(reply):
            handle = self.unopened(fid)
            node = handle.node
            if node.folder and mode != m.OREAD:
                raise Refused("Is a directory")
            if node.gone:
                raise Refused("file has been removed")
            self.same(reply.qid, node)
            handle.mode = mode
            if mode & m.OTRUNC:
                node.data = b""

    @rule(fid=FIDS, name=NAMES, folder=some.booleans(), mode=MODES)
    def create(self, fid: int, name: str, folder: bool, mode: int) -> None:
        reply = self.ask(m.Tcreate(fid, name, DMDIR | 0o755 if folder else 0o644, mode))
        with told(reply):
            handle = self.unopened(fid)
            node = handle.node
            if not node.folder:
                raise Refused("not a directory")
            if folder and mode != m.OREAD:
                raise Refused("illegal mode")
            if node.gone:
                raise Refused("file has been removed")
            if name in node.below:
                raise Refused("file already exists")
            made = node.below[name] = Node(name, node, folder=folder)
            self.same(reply.qid, made)
            handle.node, handle.mode = made, mode

    @rule(fid=FIDS, offset=some.integers(0, 12), count=some.integers(0, 12))
    def read(self, fid: int, offset: int, count: int) -> None:
        if fid in self.fids and self.fids[fid].node.folder and self.fids[fid].mode is not None:
            return
        reply = self.ask(m.Tread(fid, offset, count))
        with told(reply):
            handle = self.handle(fid)
            if handle.mode is None or handle.mode & 3 == m.OWRITE:
                raise Refused("bad use of fid")
            assert bytes(reply.data) == handle.node.data[offset : offset + count]

    @rule(fid=FIDS)
    def read_directory(self, fid: int) -> None:
        if fid not in self.fids or not self.fids[fid].node.folder or self.fids[fid].mode is None:
            return
        names: list[str] = []
        offset = 0
        while data := self.ask(m.Tread(fid, offset, 150)).data:
            names += [entry.name for entry in unpack_directory(data)]
            offset += len(data)
        assert sorted(names) == sorted(self.fids[fid].node.below)

    @rule(fid=FIDS, offset=some.integers(0, 12), data=some.binary(max_size=6))
    def write(self, fid: int, offset: int, data: bytes) -> None:
        reply = self.ask(m.Twrite(fid, offset, data))
        with told(reply):
            handle = self.handle(fid)
            if handle.mode is None or handle.mode & 3 not in (m.OWRITE, m.ORDWR):
                raise Refused("bad use of fid")
            assert reply.count == len(data)
            if data:
                old = handle.node.data.ljust(offset, b"\0")
                handle.node.data = old[:offset] + data + old[offset + len(data) :]

    @rule(fid=FIDS)
    def clunk(self, fid: int) -> None:
        reply = self.ask(m.Tclunk(fid))
        with told(reply):
            handle = self.handle(fid)
            del self.fids[fid]
            if handle.mode is not None and handle.mode & m.ORCLOSE:
                self.drop(handle.node)
            assert reply == m.Rclunk()

    @rule(fid=FIDS)
    def remove(self, fid: int) -> None:
        reply = self.ask(m.Tremove(fid))
        with told(reply):
            handle = self.handle(fid)
            del self.fids[fid]
            self.drop(handle.node)
            assert reply == m.Rremove()

    @rule(fid=FIDS)
    def stat(self, fid: int) -> None:
        reply = self.ask(m.Tstat(fid))
        with told(reply):
            node = self.handle(fid).node
            self.same(reply.stat.qid, node)
            assert (reply.stat.name, reply.stat.length) == (node.name, len(node.data))

    @rule(fid=FIDS, name=NAMES)
    def rename(self, fid: int, name: str) -> None:
        reply = self.ask(m.Twstat(fid, Stat(name=name)))
        with told(reply):
            node = self.handle(fid).node
            if node.gone:
                raise Refused("file has been removed")
            if node is self.root:
                raise Refused("wstat prohibited")
            if name != node.name and name in node.above.below:
                raise Refused("file already exists")
            assert reply == m.Rwstat()
            del node.above.below[node.name]
            node.name = name
            node.above.below[name] = node

    @rule(fid=FIDS, length=some.integers(0, 12))
    def cut(self, fid: int, length: int) -> None:
        reply = self.ask(m.Twstat(fid, Stat(length=length)))
        with told(reply):
            node = self.handle(fid).node
            if node.gone:
                raise Refused("file has been removed")
            if node.folder and length:
                raise Refused("wstat prohibited")
            assert reply == m.Rwstat()
            if not node.folder:
                node.data = node.data[:length].ljust(length, b"\0")

    @invariant()
    def nobody_waits(self) -> None:
        """Every answer so far came at once, so every fid is free."""
        for fid in self.fids:
            assert type(self.ask(m.Tstat(fid))) is m.Rstat

    def teardown(self) -> None:
        """The end of the connection removes what was to go, and the tree is what the model says."""
        trio.run(self.session.aclose)
        for handle in list(self.fids.values()):
            if handle.mode is not None and handle.mode & m.ORCLOSE and not handle.node.gone:
                self.drop(handle.node)
        self.session = NinePSession(self.tree, NinePDialect())
        self.session.begin(m.Tversion(8192, "9P2000"))
        self.session.begin(m.Tattach(0, m.NOFID, OWNER, ""))
        self.compare(self.root, [])

    def compare(self, node: Node, names: list[str]) -> None:
        self.session.begin(m.Twalk(0, 1, names))
        opened: Any = self.session.begin(m.Topen(1, m.OREAD))
        self.same(opened.qid, node)
        data = self.ask(m.Tread(1, 0, 8000)).data
        self.session.begin(m.Tclunk(1))
        if not node.folder:
            assert bytes(data) == node.data
            return
        assert {entry.name for entry in unpack_directory(data)} == set(node.below)
        for name, below in node.below.items():
            self.compare(below, [*names, name])


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=150, stateful_step_count=40)
