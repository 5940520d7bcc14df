"""Any requests in any order, in every dialect, pipelined and given up: each gets one answer, and nothing is left over.

An exception that is no refusal would be logged as an error, which no test here may do.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fakes.waiting_tree import WaitingTree
from ninep.client.connection import DIALECTS
from ninep.export.accounts import Accounts
from ninep.export.tree import ExportTree
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.attributes import XATTR_CREATE, XATTR_REPLACE
from ninep.protocol.dialect import NinePDialect
from ninep.protocol.errors import FileError
from ninep.protocol.stat import DMAPPEND, DMDEVICE, DMDIR, DMEXCL, DMLINK, DMNAMEDPIPE, DMSETUID, DMSYMLINK, Stat
from ninep.ram.node import NameOfNode
from ninep.ram.tree import RamTree
from ninep.server.files import FileTree
from ninep.server.serve import serve_stream
from ninep.wire.client import Client

OWNER = "glenda"
MSIZE = 4096
CAPACITY = 1 << 20

fids = some.sampled_from([0, 0, 1, 1, 2, 3, 4, m.NOFID])
names = some.sampled_from(["a", "b", "c", "a", "b", "..", ".", "", "a/b", "é", "tab\t", "x" * 256])
texts = some.sampled_from(["a", "../b", "", "x" * 3000, "1", "2\n", "b 8 1", "c 1 x", "user.a", "user.b", "trusted.x"])
unames = some.sampled_from([OWNER, OWNER, "none", "", "x" * 300])
numbers = some.sampled_from([0, 1, 2, 7, 100, 4000, (1 << 31) - 1, (1 << 32) - 1])
large = some.sampled_from([0, 1, 2, 3, 5, 100, 1 << 20, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
kinds = [0, 0, 0, DMDIR, DMDIR, DMAPPEND, DMEXCL, DMSYMLINK, DMLINK, DMDEVICE, DMNAMEDPIPE, DMSETUID]
perms = some.builds(int.__or__, some.sampled_from(kinds), some.sampled_from([0o777, 0o644, 0o000, 0o200]))
unix_modes = some.sampled_from(
    [0o100644, 0o40755, 0o10600, 0o20666, 0o60600, 0o120777, 0o140700, 0o4755, 0, 0xFFFFFFFF]
)
modes = some.sampled_from([0, 1, 2, 3, 0x10, 0x12, 0x40, 0x80, 0x81, 0x20, 0xFF])
flags = some.sampled_from([0, 1, 2, 3, lm.L_EXCL, lm.L_TRUNC, 0o1002, 0o2001, lm.L_DIRECTORY, 0x200, 0xFFFFFFFF])
stats = some.builds(
    Stat,
    mode=some.sampled_from([0xFFFFFFFF, 0xFFFFFFFF, 0o644, DMDIR | 0o700, DMSETUID | 0o700, DMAPPEND | 0o600]),
    length=some.sampled_from([(1 << 64) - 1, 0, 3, 1 << 40]),
    name=some.sampled_from(["", "", "a", "b", "/", ".."]),
    mtime=some.sampled_from([0xFFFFFFFF, 5]),
    atime=some.just(0xFFFFFFFF),
    uid=some.sampled_from(["", "", "mallory"]),
    gid=some.sampled_from(["", OWNER]),
    muid=some.sampled_from(["", OWNER]),
    type=some.just(0xFFFF),
    dev=some.just(0xFFFFFFFF),
    qid=some.just(Stat().qid),
    extension=some.just(""),
    n_uid=some.sampled_from([0xFFFFFFFF, 0, 5]),
    n_gid=some.sampled_from([0xFFFFFFFF, 0]),
    n_muid=some.just(0xFFFFFFFF),
)

BY_NAME: dict[str, some.SearchStrategy[Any]] = {
    **dict.fromkeys(("fid", "newfid", "dfid", "olddirfid", "newdirfid", "dirfid"), fids),
    **dict.fromkeys(("name", "oldname", "newname"), names),
    **dict.fromkeys(("target", "extension", "client_id"), texts),
    **dict.fromkeys(("offset", "start", "length", "size", "mask"), large),
    **dict.fromkeys(("atime_sec", "atime_nsec", "mtime_sec", "mtime_nsec"), large),
    "afid": some.sampled_from([m.NOFID, m.NOFID, 1]),
    "uname": unames,
    "aname": some.just(""),
    "n_uname": some.sampled_from([0xFFFFFFFF, 0xFFFFFFFF, 0, 65534]),
    "wnames": some.lists(names, max_size=4),
    "perm": perms,
    "data": some.binary(max_size=100),
    "stat": stats,
    "count": some.sampled_from([0, 1, 24, 60, 100, 3000, (1 << 32) - 1]),
    "valid": some.integers(0, 0x1FF),
    "type": some.sampled_from([0, 1, 2, 3]),
    "flags": flags,
}
"""What to draw for a field of this name; ``mode`` means different things in different messages."""


def requests(kinds: Sequence[Any]) -> some.SearchStrategy[Any]:
    made = []
    for kind in kinds:
        drawn = {}
        for name in get_type_hints(kind):
            mode = unix_modes if kind in lm.ANSWERS else modes
            drawn[name] = mode if name == "mode" else BY_NAME.get(name, numbers)
        if kind is lm.Txattrcreate:
            drawn |= {"name": texts, "size": some.sampled_from([0, 3, 100, 1 << 40])}
            drawn["flags"] = some.sampled_from([0, XATTR_CREATE, XATTR_REPLACE])
        if kind is lm.Txattrwalk:
            drawn["name"] = texts
        made.append(some.builds(kind, **drawn))
    return some.one_of(made)


SHARED = [m.Tauth, m.Tattach, m.Twalk, m.Twalk, m.Tread, m.Twrite, m.Tclunk, m.Tremove]
PLAN9 = [*SHARED, m.Topen, m.Tcreate, m.Tcreate, m.Tstat, m.Twstat]
ASKED = {m.VERSION: PLAN9, m.VERSION_UNIX: PLAN9, lm.VERSION: [*SHARED, *lm.ANSWERS, lm.Tlcreate, lm.Tlopen]}
BUNCHES = {
    version: some.lists(some.lists(some.tuples(requests(kinds), some.booleans()), max_size=8), max_size=12)
    for version, kinds in ASKED.items()
}
Bunches = list[list[tuple[Any, bool]]]


async def converse(tree: FileTree, version: str, bunches: Bunches) -> None:
    near, far = trio.testing.memory_stream_pair()
    dialect = NinePDialect()
    client: Client[Any, Any] = Client(near, dialect)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, tree)
        await nursery.start(client.run)
        assert (await client.call(m.Tversion(MSIZE, version), tag=m.NOTAG)).version == version
        dialect.agree(version, MSIZE)
        await client.call(m.Tattach(0, m.NOFID, OWNER, ""))
        for bunch in bunches:
            calls = []
            for request, given_up in bunch:
                try:
                    call = client.begin(request)
                except ValueError:
                    # It has a string that no message can carry.
                    continue
                # What is given up may never be answered; giving it up is.
                calls.append(client.begin(m.Tflush(call.tag)) if given_up else call)
            client.send()
            with trio.fail_after(30):
                for call in calls:
                    await answered(client, call)
        await near.aclose()


async def answered(client: Client[Any, Any], call: Any) -> None:
    """The answer has come, whatever it is."""
    try:
        await client.wait(call)
    except FileError:
        pass


def stored(place: NameOfNode) -> tuple[int, int]:
    """Bytes in the files at and below a place, and how many of them are open."""
    node = place.node
    found = [stored(below) for below in (node.children or {}).values()]
    return node.content.stored + sum(size for size, _ in found), node.openers + sum(opens for _, opens in found)


@pytest.mark.parametrize("version", DIALECTS)
@given(some.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_files_that_answer_at_once(version: str, data: some.DataObject) -> None:
    tree = RamTree(OWNER, capacity=CAPACITY)
    bunches = [[(request, False) for request, _ in bunch] for bunch in data.draw(BUNCHES[version])]
    trio.run(converse, tree, version, bunches)
    nothing_is_left(tree)


@pytest.mark.parametrize("version", DIALECTS)
@given(some.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_files_that_wait(version: str, data: some.DataObject) -> None:
    tree = RamTree(OWNER, capacity=CAPACITY)
    waiting = WaitingTree(tree)
    trio.run(converse, waiting, version, [[(request, False) for request, _ in b] for b in data.draw(BUNCHES[version])])
    nothing_is_left(tree)
    assert waiting.views == 0


@pytest.mark.parametrize("version", DIALECTS)
@given(some.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_requests_that_are_given_up(version: str, data: some.DataObject) -> None:
    tree = RamTree(OWNER, capacity=CAPACITY)
    waiting = WaitingTree(tree)
    trio.run(converse, waiting, version, data.draw(BUNCHES[version]))
    nothing_is_left(tree)
    assert waiting.views == 0


@pytest.mark.parametrize("version", DIALECTS)
@given(some.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_directory_of_this_machine(version: str, data: some.DataObject) -> None:
    """No descriptor is left, and nothing outside of the directory is touched."""
    bunches = data.draw(BUNCHES[version])
    with tempfile.TemporaryDirectory() as folder:
        served = Path(folder, "served")
        served.mkdir()
        Path(folder, "outside").write_text("secret")
        before = len(os.listdir("/proc/self/fd"))
        tree = ExportTree(served, accounts=Accounts(switch=False))
        trio.run(converse, tree, version, bunches)
        tree.close()
        assert len(os.listdir("/proc/self/fd")) == before
        assert sorted(os.listdir(folder)) == ["outside", "served"]
        assert Path(folder, "outside").read_text() == "secret"


def nothing_is_left(tree: RamTree) -> None:
    size, opens = stored(tree._root)
    assert opens == 0
    assert tree.free == CAPACITY - size
    assert len(tree.locks) == 0
