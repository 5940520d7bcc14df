"""What cannot be made lasting is refused to whom it was promised, and to nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.ninep_client import Raw, connected
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.attributes import BASIC
from ninep.protocol.errors import FileSystemFull
from ninep.protocol.stat import Stat
from ninep.ram.tree import RamTree

OWNER = "glenda"
VERSIONS = (m.VERSION, m.VERSION_UNIX, lm.VERSION)


class Full(RamTree):
    """A tree in memory whose changes last as long as ``full`` is not set."""

    full = False

    def commit(self) -> None:
        if self.full:
            raise FileSystemFull


class FullLater(Full):
    """The same; that it is full turns out after a while."""

    def commit(self) -> Any:
        return self._commit()

    async def _commit(self) -> None:
        super().commit()


TREES = pytest.mark.parametrize("tree_type", [Full, FullLater])


async def set_up(raw: Raw, tree: Full, version: str) -> None:
    """Fid 1 is an open file, 2 the same one unopened, 3 the root."""
    tree.full = False
    await raw.ask(m.Twalk(0, 1, []))
    if version == lm.VERSION:
        await raw.ask(lm.Tlcreate(1, "file", lm.L_RDWR, 0o644, 0))
    else:
        await raw.ask(m.Tcreate(1, "file", 0o644, m.ORDWR))
    await raw.ask(m.Twrite(1, 0, b"what is there"))
    await raw.ask(m.Twalk(0, 2, ["file"]))
    await raw.ask(m.Twalk(0, 3, []))
    tree.full = True


ASKING = [m.Tread(1, 0, 100), m.Twalk(3, 9, ["file"]), m.Tclunk(1), m.Tclunk(2)]
PROMISING = [m.Twrite(1, 0, b"what is not"), m.Tremove(2)]
BY_VERSION: dict[str, tuple[list[Any], list[Any]]] = {
    m.VERSION: (
        [m.Tstat(2), m.Topen(2, m.OREAD), m.Topen(3, m.OREAD)],
        [m.Topen(2, m.OWRITE | m.OTRUNC), m.Tcreate(3, "new", 0o644, m.OREAD), m.Twstat(2, Stat(name="other"))],
    ),
    lm.VERSION: (
        [
            lm.Tgetattr(2, BASIC),
            lm.Tlopen(2, lm.L_RDONLY),
            lm.Tlopen(3, lm.L_RDONLY),
            lm.Tstatfs(3),
            lm.Txattrwalk(2, 9, ""),
            lm.Txattrcreate(2, "user.name", 3, 0),
            lm.Tlock(1, 1, 0, 0, 0, 1, "here"),
        ],
        [
            lm.Tlopen(2, lm.L_WRONLY | lm.L_TRUNC),
            lm.Tlcreate(3, "new", lm.L_RDONLY, 0o644, 0),
            lm.Tmkdir(3, "new", 0o755, 0),
            lm.Tsymlink(3, "new", "file", 0),
            lm.Tlink(3, 2, "new"),
            lm.Trenameat(3, "file", 3, "new"),
            lm.Tunlinkat(3, "file", 0),
            lm.Tfsync(1, 0),
        ],
    ),
}
BY_VERSION[m.VERSION_UNIX] = BY_VERSION[m.VERSION]


def cases(which: int) -> list[Any]:
    return [
        pytest.param(version, request, id=f"{version} {type(request).__name__} {number}")
        for version in VERSIONS
        for number, request in enumerate((ASKING, PROMISING)[which] + BY_VERSION[version][which])
    ]


@TREES
@pytest.mark.parametrize(("version", "request_"), cases(0))
async def test_who_only_asks_is_answered(tree_type: type[Full], version: str, request_: Any) -> None:
    tree = tree_type(OWNER)
    async with connected(tree, OWNER, version=version) as raw:
        await set_up(raw, tree, version)
        await raw.ask(request_)


@TREES
@pytest.mark.parametrize(("version", "request_"), cases(1))
async def test_who_changes_something_is_refused(tree_type: type[Full], version: str, request_: Any) -> None:
    tree = tree_type(OWNER)
    async with connected(tree, OWNER, version=version) as raw:
        await set_up(raw, tree, version)
        with pytest.raises(FileSystemFull):
            await raw.ask(request_)


@TREES
@pytest.mark.parametrize("version", [m.VERSION, m.VERSION_UNIX])
async def test_a_removal_on_close_is_promised_by_the_clunk(tree_type: type[Full], version: str) -> None:
    tree = tree_type(OWNER)
    async with connected(tree, OWNER, version=version) as raw:
        await set_up(raw, tree, version)
        await raw.ask(m.Topen(2, m.OREAD | m.ORCLOSE))
        with pytest.raises(FileSystemFull):
            await raw.ask(m.Tclunk(2))


@TREES
async def test_an_attribute_is_promised_by_the_clunk(tree_type: type[Full]) -> None:
    tree = tree_type(OWNER)
    async with connected(tree, OWNER, version=lm.VERSION) as raw:
        await set_up(raw, tree, lm.VERSION)
        await raw.ask(lm.Txattrcreate(2, "user.name", 3, 0))
        tree.full = False
        await raw.ask(m.Twrite(2, 0, b"abc"))
        tree.full = True
        with pytest.raises(FileSystemFull):
            await raw.ask(m.Tclunk(2))


@TREES
async def test_together_each_gets_his_own_answer(tree_type: type[Full]) -> None:
    tree = tree_type(OWNER)
    async with connected(tree, OWNER) as raw:
        await set_up(raw, tree, m.VERSION)
        calls = [
            raw.client.begin(request)
            for request in (m.Tread(1, 0, 4), m.Twrite(1, 5, b"is not"), m.Tstat(2), m.Tflush(77), m.Tremove(2))
        ]
        replies = []
        for call in calls:
            try:
                replies.append(type(await raw.client.wait(call)))
            except FileSystemFull as error:
                replies.append(type(error))
        assert replies == [m.Rread, FileSystemFull, m.Rstat, m.Rflush, FileSystemFull]
