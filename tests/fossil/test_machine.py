"""Random requests of two users with several fids each, snapshots, restarts and crashes, against plain objects.

``HYPOTHESIS_PROFILE=soak`` runs thousands of steps; a failure prints what reproduces it.
"""

from __future__ import annotations

import copy
import random
import shutil
import tempfile
from pathlib import Path
from types import CoroutineType
from typing import Any

import trio
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from contracts.modelled_tree import GROUPS, Handle, Node, Refused, told
from fossil.live.users import Users, first_table
from fossil.past.history import ARCHIVE, SNAPSHOT
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.dialect import NinePDialect
from ninep.protocol.errors import FileError
from ninep.protocol.stat import DMDIR, NO32, NO64, Stat, unpack_directory
from ninep.server.session import NinePSession
from programs.opened_fossil import Opened

USERS = ("glenda", "rob")
TABLE = first_table("glenda") + "rob:rob::\ndev:dev::glenda,rob\n"

NAMES = ["a", "b", "c"]
MODES = [m.OREAD, m.OWRITE, m.ORDWR, m.ORDWR, m.OREAD | m.OTRUNC, m.OWRITE | m.OTRUNC, m.OEXEC]
PERMS = [0o777, 0o777, 0o775, 0o755, 0o700, 0o664, 0o640, 0o007, 0o000]
OFFSETS = [0, 1, 100, 4096, 65_000, 70_000]
SIZES = [0, 1, 10, 5000, 66_000]


async def awaited(work: Any) -> Any:
    return await work


class Life(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.room = tempfile.TemporaryDirectory()
        self.folder = Path(self.room.name) / "0"
        self.folder.mkdir()
        self.root = Node("/", None, DMDIR | 0o777, "glenda", "dev")
        self.past: dict[tuple[str, str], Node] = {}
        self.paths: dict[int, Node] = {}
        self.copies = 0
        self.open(fresh=True)

    def open(self, *, fresh: bool = False) -> None:
        self.opened = Opened(self.folder)
        system = self.opened.system
        system.users = Users.parse(TABLE)
        if fresh:
            root = system.node(2)
            adm = system.child(root, "adm")
            assert adm is not None
            users = system.child(adm, "users")
            assert users is not None
            system.remove(users, "adm")
            system.remove(adm, "adm")
            root.mode, root.gid = self.root.mode, "dev"
            system.touch(root)
            system.commit()
        self.sessions = {}
        self.fids: dict[tuple[str, int], Handle] = {}
        for user in USERS:
            session = self.sessions[user] = self.session()
            assert not isinstance(self.ask(session, m.Tattach(0, m.NOFID, user, "")), str)
            self.fids[user, 0] = Handle(self.root)

    def session(self) -> NinePSession:
        session = NinePSession(self.opened.tree, NinePDialect())
        session.begin(m.Tversion(100_000, "9P2000"))
        return session

    def ask(self, session: NinePSession, request: m.Request) -> Any:
        try:
            reply = session.begin(request)
            if isinstance(reply, CoroutineType):
                reply = trio.run(awaited, reply)
            assert session.commit() is None
        except FileError as error:
            return error.text
        return reply

    def handle(self, user: str, fid: int) -> Handle:
        if (user, fid) not in self.fids:
            raise Refused("fid unknown or out of range")
        return self.fids[user, fid]

    def unopened(self, user: str, fid: int) -> Handle:
        handle = self.handle(user, fid)
        if handle.mode is not None:
            raise Refused("bad use of fid")
        return handle

    def pick(self, user: str, number: int, *, opened: bool | None = None, folder: bool | None = None) -> int:
        """A fid of the user, if possible one that is or is not open, and a directory or not; sometimes any number."""
        if number >= 72:
            return number % 6
        fitting = [
            fid
            for (who, fid), handle in self.fids.items()
            if who == user
            and fid
            and (opened is None or opened == (handle.mode is not None))
            and (folder is None or folder == handle.node.folder)
        ]
        return fitting[number % len(fitting)] if fitting else number % 6

    # Requests

    @rule(seed=some.integers(0, 1 << 32), count=some.integers(1, 100))
    def requests(self, seed: int, count: int) -> None:
        """So many of them, which the seed says all about."""
        source = random.Random(seed)
        pick = source.choice
        for _ in range(count):
            user, number = pick(USERS), source.randrange(80)
            match source.choices(range(9), (20, 20, 15, 10, 15, 12, 4, 6, 3))[0]:
                case 0:
                    names = [pick(["a", "b", "c", "a", "b", ".."]) for _ in range(source.randrange(4))]
                    self.walk(user, number, source.randrange(10), names)
                case 1:
                    kind = pick([0, 0, DMDIR, DMDIR, st.DMAPPEND])
                    mode = m.OREAD if kind == DMDIR and number % 8 else pick(MODES)
                    self.create(user, number, pick(NAMES), pick(PERMS), kind, mode)
                case 2:
                    self.open_(user, number, pick(MODES))
                case 3:
                    self.read(user, number, pick(OFFSETS), pick(SIZES))
                case 4:
                    self.write(user, number, pick(OFFSETS), pick(SIZES), source.randrange(1, 256))
                case 5:
                    gid = pick(["", "", "", "dev", "rob", "nosuch"])
                    mode, length = pick([None, None, pick(PERMS)]), pick([None, None, pick(OFFSETS)])
                    self.wstat(user, number, pick(["", "", *NAMES]), mode, length, gid)
                case 6:
                    self.remove(user, number)
                case 7:
                    self.clunk(user, number)
                case 8:
                    self.stat(user, number)

    def walk(self, user: str, number: int, again: int, names: list[str]) -> None:
        """From the root as often as from elsewhere, to an unused fid as often as not."""
        fid = 0 if number % 2 else self.pick(user, number, opened=False)
        unused = [new for new in range(1, 6) if (user, new) not in self.fids]
        new = unused[0] if unused and again < 7 else again % 6 or 1
        if not unused:
            self.clunk(user, number)
        reply = self.ask(self.sessions[user], m.Twalk(fid, new, names))
        with told(reply):
            handle = self.handle(user, fid)
            if new != fid and (user, new) in self.fids:
                raise Refused("fid already in use")
            self.unopened(user, fid)
            node = handle.node
            passed = 0
            for name in names:
                try:
                    if not node.folder:
                        raise Refused("not a directory")
                    if name != "..":
                        node.need(user, 1)
                        if node.gone:
                            raise Refused("file has been removed")
                        if name not in node.below:
                            raise Refused("file does not exist")
                    node = node.above if name == ".." else node.below[name]
                except Refused:
                    if not passed:
                        raise
                    break
                passed += 1
            assert len(reply.wqids) == passed
            if passed == len(names):
                self.fids[user, new] = Handle(node)
            if passed and passed == len(names):
                assert self.paths.setdefault(reply.wqids[-1].path, node) is node

    def create(self, user: str, number: int, name: str, perm: int, kind: int, mode: int) -> None:
        fid = self.pick(user, number, opened=False, folder=True)
        reply = self.ask(self.sessions[user], m.Tcreate(fid, name, perm | kind, mode))
        with told(reply):
            handle = self.unopened(user, fid)
            above = handle.node
            if not above.folder:
                raise Refused("not a directory")
            if kind == DMDIR and mode != m.OREAD:
                raise Refused("illegal mode")
            if above.gone:
                raise Refused("file has been removed")
            above.need(user, 2)
            if name in above.below:
                raise Refused("file already exists")
            mask = 0o777 if kind == DMDIR else 0o666
            node = above.below[name] = Node(name, above, kind | perm & (~mask | above.mode & mask), user, above.gid)
            handle.node, handle.mode = node, mode
            assert self.paths.setdefault(reply.qid.path, node) is node
            assert reply.qid.version == 0

    def open_(self, user: str, number: int, mode: int) -> None:
        fid = self.pick(user, number, opened=False)
        reply = self.ask(self.sessions[user], m.Topen(fid, mode))
        with told(reply):
            handle = self.unopened(user, fid)
            node = handle.node
            if node.folder and mode != m.OREAD:
                raise Refused("Is a directory")
            if node.gone:
                raise Refused("file has been removed")
            node.need(user, (4, 2, 6, 1)[mode & 3] | (2 if mode & m.OTRUNC else 0))
            if mode & m.OTRUNC and not node.mode & st.DMAPPEND:
                node.cut(0, user)
            handle.mode = mode
            if not node.folder:
                assert reply.qid.version == node.version

    def read(self, user: str, number: int, offset: int, size: int) -> None:
        fid = self.pick(user, number, opened=True)
        if self.is_folder(user, fid):
            offset, size = 0, 9000
        reply = self.ask(self.sessions[user], m.Tread(fid, offset, size))
        with told(reply):
            handle = self.handle(user, fid)
            if handle.mode is None or (handle.mode & 3 == m.OWRITE and not handle.node.folder):
                raise Refused("bad use of fid")
            if handle.node.folder:
                entries = unpack_directory(bytes(reply.data))
                assert {entry.name for entry in entries} == (set() if handle.node.gone else set(handle.node.below))
            else:
                assert reply.data == handle.node.data[offset : offset + size]

    def is_folder(self, user: str, fid: int) -> bool:
        return (user, fid) in self.fids and self.fids[user, fid].node.folder

    def write(self, user: str, number: int, offset: int, size: int, letter: int) -> None:
        fid = self.pick(user, number, opened=True, folder=False)
        data = bytes((letter,)) * size
        reply = self.ask(self.sessions[user], m.Twrite(fid, offset, data))
        with told(reply):
            handle = self.handle(user, fid)
            if handle.mode is None or handle.mode & 3 not in (m.OWRITE, m.ORDWR):
                raise Refused("bad use of fid")
            assert reply.count == size
            if not size:
                return
            node = handle.node
            if node.mode & st.DMAPPEND:
                offset = len(node.data)
            if len(node.data) < offset + size:
                node.data += bytes(offset + size - len(node.data))
            node.data[offset : offset + size] = data
            node.written(user)

    def wstat(self, user: str, number: int, name: str, mode: int | None, length: int | None, gid: str) -> None:
        fid = self.pick(user, number)
        node = self.fids[user, fid].node if (user, fid) in self.fids else None
        kind = node.mode & ~0o777 if node else 0
        changes = Stat(
            name=name,
            mode=NO32 if mode is None else kind | mode,
            length=NO64 if length is None else length,
            gid=gid,
        )
        reply = self.ask(self.sessions[user], m.Twstat(fid, changes))
        with told(reply):
            node = self.handle(user, fid).node
            if not name and mode is None and length is None and not gid:
                return
            name = "" if name == node.name else name
            new_mode = None if mode is None or kind | mode == node.mode else kind | mode
            gid = "" if gid == node.gid else gid
            length = None if length == (0 if node.folder else len(node.data)) else length
            if length is not None and node.folder:
                raise Refused("wstat prohibited")
            if not name and new_mode is None and length is None and not gid:
                return
            if name:
                if node.gone:
                    raise Refused("file has been removed")
                if node is self.root:
                    raise Refused("wstat prohibited")
                node.above.need(user, 2)
                if name in node.above.below:
                    raise Refused("file already exists")
            if length is not None:
                if node.mode & st.DMAPPEND:
                    raise Refused("an append-only file cannot be cut")
                node.need(user, 2)
            leads = node.gid in GROUPS[user]
            if new_mode is not None and not (user == node.uid or leads):
                raise Refused("not owner")
            if gid == "nosuch":
                raise Refused("unknown group")
            if gid and not ((user == node.uid or leads) and gid in GROUPS[user]):
                raise Refused("not owner")
            if length is not None:
                node.cut(length, user)
            if name:
                del node.above.below[node.name]
                node.above.below[name] = node
                node.name = name
            if new_mode is not None:
                node.mode = new_mode
            node.gid = gid or node.gid

    def remove(self, user: str, number: int) -> None:
        fid = self.pick(user, number)
        reply = self.ask(self.sessions[user], m.Tremove(fid))
        with told(reply):
            node = self.handle(user, fid).node
            del self.fids[user, fid]
            if fid == 0:
                assert not isinstance(self.ask(self.sessions[user], m.Tattach(0, m.NOFID, user, "")), str)
                self.fids[user, 0] = Handle(self.root)
            if node is self.root:
                raise Refused("cannot remove root")
            if node.gone:
                raise Refused("file has been removed")
            node.above.need(user, 2)
            if node.below:
                raise Refused("directory is not empty")
            del node.above.below[node.name]
            node.gone = True

    def clunk(self, user: str, number: int) -> None:
        fid = self.pick(user, number)
        reply = self.ask(self.sessions[user], m.Tclunk(fid))
        with told(reply):
            self.handle(user, fid)
            del self.fids[user, fid]
            if fid == 0:
                assert not isinstance(self.ask(self.sessions[user], m.Tattach(0, m.NOFID, user, "")), str)
                self.fids[user, 0] = Handle(self.root)

    def stat(self, user: str, number: int) -> None:
        fid = self.pick(user, number)
        reply = self.ask(self.sessions[user], m.Tstat(fid))
        with told(reply):
            node = self.handle(user, fid).node
            stat = reply.stat
            assert (stat.name, stat.mode, stat.uid, stat.gid) == (node.name, node.mode, node.uid, node.gid)
            if not node.folder:
                assert (stat.length, stat.qid.version, stat.muid) == (len(node.data), node.version, node.muid)

    # The file system itself

    @rule(kind=some.sampled_from([SNAPSHOT, SNAPSHOT, ARCHIVE]))
    def snapshot(self, kind: str) -> None:
        taken = self.opened.history.take(kind)
        self.past[kind, taken.name] = copy.deepcopy(self.root)

    @rule(number=some.integers(0, 5), inner=some.integers(0, 5))
    def snapshot_of_a_snapshot(self, number: int, inner: int) -> None:
        history = self.opened.history
        snapshots = history.all(SNAPSHOT)
        if snapshots:
            source = snapshots[number % len(snapshots)]
            past, shown = history.past(source.epoch), self.past[SNAPSHOT, source.name]
            top = past.root
            folders = sorted(name for name, node in shown.below.items() if node.folder)
            if folders and inner:
                name = folders[inner % len(folders)]
                child = past.child(top, name)
                assert child is not None
                top, shown = child, shown.below[name]
            taken = history.take(SNAPSHOT, of=past, top=top.path)
            self.past[SNAPSHOT, taken.name] = copy.deepcopy(shown)

    @rule(number=some.integers(0, 5))
    def forget(self, number: int) -> None:
        history = self.opened.history
        snapshots = history.all(SNAPSHOT)
        if snapshots:
            gone = snapshots[number % len(snapshots)]
            history.forget([gone.epoch])
            del self.past[SNAPSHOT, gone.name]
        while history.sweep():
            pass

    @rule()
    def room_is_given_back(self) -> None:
        system = self.opened.system
        system.sync_point.write(system.sync_point.mark())
        system.freed.settle()
        system.freed.release()

    @rule(crash=some.booleans())
    def restart(self, crash: bool) -> None:
        """With ``crash`` on what a kill would have left: all that was answered."""
        if crash:
            self.copies += 1
            after = Path(self.room.name) / str(self.copies)
            shutil.copytree(self.folder, after)
            self.opened.system.close()
            shutil.rmtree(self.folder)
            self.folder = after
        else:
            self.opened.system.close()
        self.open()

    @rule()
    def compare(self) -> None:
        """All of it: the live tree, and every snapshot."""
        session = self.session()
        session_root = 0
        self.opened.tree.rules = self.opened.tree.rules._replace(permissions=False)
        try:
            assert not isinstance(self.ask(session, m.Tattach(session_root, m.NOFID, "none", "main")), str)
            assert self.look(session, ["active"]) == self.root.shown()
            for (kind, name), node in self.past.items():
                assert self.look(session, [kind, *name.split("/")]) == node.shown(), (kind, name)
        finally:
            self.opened.tree.rules = self.opened.tree.rules._replace(permissions=True)

    def look(self, session: NinePSession, names: list[str]) -> tuple[Any, ...]:
        def ask(request: m.Request) -> Any:
            reply = self.ask(session, request)
            assert not isinstance(reply, str), (names, request, reply)
            return reply

        fid = 1
        ask(m.Twalk(0, fid, names))
        stat = ask(m.Tstat(fid)).stat
        folder = bool(stat.mode & DMDIR)
        ask(m.Topen(fid, m.OREAD))
        whole = b""
        while data := bytes(ask(m.Tread(fid, len(whole), 90_000)).data):
            whole += data
        ask(m.Tclunk(fid))
        inner = {}
        if folder:
            for entry in unpack_directory(whole):
                inner[entry.name] = self.look(session, [*names, entry.name])
        muid, version = (None, None) if folder else (stat.muid, stat.qid.version)
        return stat.mode, stat.uid, stat.gid, muid, version, None if folder else whole, inner

    def teardown(self) -> None:
        if hasattr(self, "opened"):
            self.compare()
            self.opened.system.close()
            self.room.cleanup()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=max(10, settings().max_examples // 5), stateful_step_count=20)
