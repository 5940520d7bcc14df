"""Requests on one fid take turns, and giving one up or failing leaves nothing half done."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from fakes.ninep_client import connected
from fakes.slow_tree import SlowTree
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError
from ninep.protocol.stat import Stat
from ninep.ram.tree import RamTree
from ninep.server.files import File

OWNER = "glenda"


async def test_a_failed_walk_does_not_take_the_next_one_with_it(autojump_clock: MockClock) -> None:
    """While a walk waits, the client gives its newfid up and walks to the same number again."""
    tree = SlowTree("clunk", "stat")
    async with connected(tree) as raw:
        begin, wait = raw.client.begin, raw.client.wait
        first = begin(m.Twalk(0, 5, ["short", "x"]))
        clunk = begin(m.Tclunk(5))
        second = begin(m.Twalk(0, 5, ["there"]))
        raw.client.send()
        await trio.sleep(1)
        tree.let("walk")
        assert len((await wait(first)).wqids) == 1
        with pytest.raises(FileError, match="fid unknown"):
            await wait(clunk)
        assert len((await wait(second)).wqids) == 1
        assert (await raw.ask(m.Tstat(5))).stat.name == "there"


async def test_walks_from_one_place_take_no_turns(autojump_clock: MockClock) -> None:
    """A proxy's walk takes a round trip. What changes the fid waits for all of them, and what comes later for that."""
    tree = SlowTree("clunk", "stat")
    async with connected(tree) as raw:
        begin, wait = raw.client.begin, raw.client.wait
        walks = [begin(m.Twalk(0, fid, ["file"])) for fid in (5, 6)]
        opened = begin(m.Topen(0, m.OREAD))
        late = begin(m.Twalk(0, 7, ["file"]))
        raw.client.send()
        await trio.sleep(1)
        assert tree.log == ["walk", "walk"]
        tree.let("walk")
        for call in walks:
            assert len((await wait(call)).wqids) == 1
        await trio.sleep(1)
        assert tree.log[2:] == ["walk done", "walk done", "open"]
        tree.let("open")
        assert (await wait(opened)).qid.path == 1
        with pytest.raises(FileError, match="bad use of fid"):
            await wait(late)


async def test_calls_that_share_a_fid_begin_in_the_order_of_arrival(autojump_clock: MockClock) -> None:
    """Also where they had to wait for the open together: a proxy passes them on in this order."""
    tree = SlowTree("walk", "clunk")
    async with connected(tree) as raw:
        fid = await raw.walk("file")
        calls = [raw.client.begin(m.Topen(fid, m.ORDWR))]
        calls += [raw.client.begin(m.Tread(fid, offset, 1)) for offset in range(20)]
        raw.client.send()
        await trio.sleep(1)
        tree.let("open")
        await trio.sleep(1)
        tree.let(*(f"read {offset}" for offset in range(20)))
        for call in calls:
            await raw.client.wait(call)
        begun = [what for what in tree.log if what.startswith("read") and not what.endswith("done")]
        assert begun == [f"read {offset}" for offset in range(20)]


async def test_a_stat_waits_for_what_came_before_it(autojump_clock: MockClock) -> None:
    tree = SlowTree("clunk", "stat", "wstat")
    async with connected(tree) as raw:
        fid = await raw.walk()
        calls = [raw.client.begin(request) for request in (m.Tcreate(fid, "new", 0o644, m.ORDWR), m.Tstat(fid))]
        raw.client.send()
        await trio.sleep(1)
        tree.let("create")
        assert [type(await raw.client.wait(call)) for call in calls] == [m.Rcreate, m.Rstat]
        assert calls[1].reply.stat.name == "new"


async def test_a_walk_that_comes_nowhere_and_says_nothing_is_an_error() -> None:
    async with connected(SlowTree("walk", "clunk")) as raw:
        assert await raw.refused(m.Twalk(0, 5, ["nowhere"])) == "file does not exist"
        assert await raw.refused(m.Tclunk(5)) == "fid unknown or out of range"


async def test_a_clone_may_wait(autojump_clock: MockClock) -> None:
    tree = SlowTree("walk", "clunk", "stat")
    tree.shut("clone")
    async with connected(tree) as raw:
        begin, wait = raw.client.begin, raw.client.wait
        clone = begin(m.Twalk(0, 5, []))
        stat = begin(m.Tstat(5))
        flushed = begin(m.Twalk(0, 6, []))
        assert await wait(begin(m.Tflush(flushed.tag))) == m.Rflush()
        assert await raw.refused(m.Tstat(6)) == "fid unknown or out of range"
        tree.let("clone")
        assert await wait(clone) == m.Rwalk([])
        assert (await wait(stat)).stat.name == "/"


async def test_a_clunk_that_is_given_up_gets_bounded_time(autojump_clock: MockClock) -> None:
    tree = SlowTree("walk")
    async with connected(tree) as raw:
        fid = await raw.walk("file")
        start = trio.current_time()
        call = raw.client.begin(m.Tclunk(fid))
        raw.client.send()
        await trio.sleep(60)
        assert call.reply is None, "a client that waits may wait as long as the file takes"
        flush = raw.client.begin(m.Tflush(call.tag))
        await raw.client.wait(flush)
        with pytest.raises(FileError, match="timed out"):
            await raw.client.wait(call)
        assert 60 < trio.current_time() - start < 80
        assert tree.log[-1] == "clunk cancelled"
        assert await raw.refused(m.Tstat(fid)) == "fid unknown or out of range"
        tree.let("clunk")


async def test_a_clunk_that_is_given_up_and_done_is_answered(autojump_clock: MockClock) -> None:
    tree = SlowTree("walk")
    async with connected(tree) as raw:
        fid = await raw.walk("file")
        call = raw.client.begin(m.Tclunk(fid))
        flush = raw.client.begin(m.Tflush(call.tag))
        raw.client.send()
        await trio.sleep(1)
        assert tree.log[-1] == "clunk"
        tree.let("clunk")
        assert await raw.client.wait(call) == m.Rclunk()
        assert await raw.client.wait(flush) == m.Rflush()


async def test_a_view_left_behind_that_fails_is_nobodys_answer() -> None:
    """The directory of a create and the start of a walk onto itself are given up; an error there undoes nothing."""
    tree = SlowTree("walk", "create", "stat", "clunk", failing=["clunk"])
    async with connected(tree) as raw:
        fid = await raw.walk()
        assert type(await raw.ask(m.Tcreate(fid, "new", 0o644, m.ORDWR))) is m.Rcreate
        assert (await raw.ask(m.Tstat(fid))).stat.name == "new"
        fid = await raw.walk()
        assert len((await raw.ask(m.Twalk(fid, fid, ["there"]))).wqids) == 1
        assert (await raw.ask(m.Tstat(fid))).stat.name == "there"
        assert await raw.refused(m.Tclunk(fid)) == "clunk failed", "its own clunk tells the client"
        assert await raw.refused(m.Tclunk(fid)) == "fid unknown or out of range"
    assert tree.views == 0


async def test_a_flushed_request_that_waits_for_its_turn_loses_it(autojump_clock: MockClock) -> None:
    tree = SlowTree("walk", "open", "clunk", "write 2")
    async with connected(tree) as raw:
        fid = await raw.walk("file")
        begin, wait = raw.client.begin, raw.client.wait
        tree.shut("open")
        opening = begin(m.Topen(fid, m.ORDWR))
        reading = begin(m.Tread(fid, 1, 1))
        writing = begin(m.Twrite(fid, 2, b"xy"))
        assert await wait(begin(m.Tflush(reading.tag))) == m.Rflush()
        tree.let("open")
        assert type(await wait(opening)) is m.Ropen
        assert (await wait(writing)).count == 2
        assert reading.reply is None
        assert "read 1" not in tree.log


async def test_a_flushed_open_leaves_the_fid_unopened(autojump_clock: MockClock) -> None:
    tree = SlowTree("walk", "clunk")
    async with connected(tree) as raw:
        fid = await raw.walk("file")
        opening = raw.client.begin(m.Topen(fid, m.OREAD))
        assert await raw.client.wait(raw.client.begin(m.Tflush(opening.tag))) == m.Rflush()
        assert await raw.refused(m.Tread(fid, 0, 1)) == "bad use of fid"
        tree.let("open")
        assert type(await raw.ask(m.Topen(fid, m.OREAD))) is m.Ropen


async def test_a_flushed_attach_leaves_no_fid(autojump_clock: MockClock) -> None:
    tree = SlowTree("clunk")
    async with connected(tree) as raw:
        call = raw.client.begin(m.Tattach(7, m.NOFID, OWNER, "slow"))
        assert await raw.client.wait(raw.client.begin(m.Tflush(call.tag))) == m.Rflush()
        tree.let("attach")
        await raw.ask(m.Tattach(7, m.NOFID, OWNER, "slow"))


async def test_a_flushed_directory_read_loses_no_entry(autojump_clock: MockClock) -> None:
    tree = SlowTree("open", "clunk")
    async with connected(tree) as raw:
        fid = await raw.open()
        call = raw.client.begin(m.Tread(fid, 0, 8192))
        assert await raw.client.wait(raw.client.begin(m.Tflush(call.tag))) == m.Rflush()
        tree.let("list")
        first = await raw.read(fid)
        assert first
        assert await raw.read(fid, len(first)) == b""


async def test_a_flush_of_a_flush_and_of_itself(autojump_clock: MockClock) -> None:
    tree = SlowTree("walk", "open", "clunk")
    async with connected(tree) as raw:
        fid = await raw.open("file")
        begin, wait = raw.client.begin, raw.client.wait
        call = begin(m.Tread(fid, 0, 1))
        flush = begin(m.Tflush(call.tag))
        flush_of_flush = begin(m.Tflush(flush.tag))
        assert await wait(flush_of_flush) == m.Rflush()
        assert flush.reply == m.Rflush(), "answers keep their order"
        assert await raw.ask(m.Tflush(55), tag=55) == m.Rflush()


async def test_new_version_in_the_middle_of_everything(autojump_clock: MockClock) -> None:
    tree = SlowTree("walk", "open", "clunk")
    async with connected(tree) as raw:
        fid = await raw.open("file", mode=m.ORDWR)
        calls = [raw.client.begin(request) for request in (m.Tread(fid, 1, 1), m.Twrite(fid, 2, b""), m.Tclunk(fid))]
        assert (await raw.ask(m.Tversion(8192, "9P2000"), tag=m.NOTAG)).version == "9P2000"
        assert tree.views == 0
        assert [call.reply for call in calls] == [None, None, m.Rclunk()]
        await raw.ask(m.Tattach(0, m.NOFID, OWNER, ""))


@pytest.mark.expects_errors
async def test_what_cannot_be_given_up_keeps_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """At the end of a connection one file's fault leaves no other file held."""

    class Faulty(File):
        def __init__(self) -> None:
            self.qid = Stat().qid._replace(type=0x80)

        def clunk(self) -> None:
            raise KeyError("a fault")

    class Tree(RamTree):
        def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
            return Faulty() if aname == "faulty" else super().attach(uname, aname)

    tree = Tree(OWNER)
    async with connected(tree) as raw:
        await raw.ask(m.Tattach(100, m.NOFID, OWNER, "faulty"))
        await raw.create("lock", perm=0x20000000 | 0o644)
        await raw.ask(m.Tattach(101, m.NOFID, OWNER, "faulty"))
    assert len(caplog.records) == 2
    async with connected(tree) as raw:
        await raw.open("lock")


async def test_a_root_may_be_told_its_own_name_and_nothing_else_may() -> None:
    async with connected(RamTree(OWNER)) as raw:
        await raw.made("file")
        await raw.ask(m.Twstat(0, Stat(name="/", mode=0x80000000 | 0o755)))
        assert (await raw.stat()).mode == 0x80000000 | 0o755
        assert await raw.refused(m.Twstat(await raw.walk("file"), Stat(name="/"))) == "illegal name"
    async with connected(SlowTree("walk", "stat", "wstat", "clunk")) as raw:
        assert await raw.ask(m.Twstat(0, Stat(name="/", mtime=1))) == m.Rwstat()
        assert await raw.refused(m.Twstat(await raw.walk("file"), Stat(name="/"))) == "illegal name"


async def test_a_removed_on_close_directory_cannot_be_made() -> None:
    async with connected(RamTree(OWNER)) as raw:
        request = m.Tcreate(await raw.walk(), "dir", 0x80000000 | 0o755, m.OREAD | m.ORCLOSE)
        assert await raw.refused(request) == "illegal mode"
