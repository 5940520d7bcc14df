"""Which names are one file to the kernel, in a tree that says whatever the test wants."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pyfuse3", reason="pyfuse3 is not installed: pip install 'ninegrid[mount]'")

from ninep.mount.nodes import ROOT, KernelNode, Nodes
from ninep.protocol.attributes import Attributes
from ninep.protocol.errors import FileNotFound, FileRemoved
from ninep.protocol.qid import QTDIR, Qid


class Connection:
    lost = None


class Told:
    """A fid of which a server says these attributes."""

    connection = Connection()

    def __init__(self, path: int, *, kind: int = 0, nlink: int = 1, size: int = 0) -> None:
        self.qid = Qid(kind, 7, path)
        self.attributes = Attributes(self.qid, 0o100644, 0, 0, nlink, size=size)
        self.left = False
        self.below: dict[str, Told] = {}
        self.walked: list[list[str]] = []

    async def getattr(self) -> Attributes:
        return self.attributes

    async def leave(self) -> None:
        self.left = True

    async def walk(self, names: list[str]) -> Told:
        self.walked.append(names)
        try:
            return self.below["/".join(names)]
        except KeyError:
            raise FileNotFound from None


async def found(nodes: Nodes, parent: KernelNode, name: str, file: Told) -> KernelNode:
    any_file: Any = file
    return await nodes.found(parent, name, any_file, file.attributes)


def made(most_fids: int = 100) -> Nodes:
    root: Any = Told(2, kind=QTDIR)
    return Nodes(root, most_fids)


async def test_a_place_is_one_node() -> None:
    nodes = made()
    first, second = Told(17), Told(17)
    one = await found(nodes, nodes.root, "a", first)
    assert await found(nodes, nodes.root, "a", second) is one
    assert (one.inode, one.lookups, first.left, second.left) == (17, 2, False, True)


async def test_two_places_with_one_qid_path_are_two() -> None:
    nodes = made()
    now = await found(nodes, nodes.root, "now", Told(3, kind=QTDIR))
    then = await found(nodes, nodes.root, "then", Told(3, kind=QTDIR))
    one, other = [await found(nodes, above, "file", Told(17)) for above in (now, then)]
    assert len({now.inode, then.inode, one.inode, other.inode}) == 4
    assert (one.inode, one.place, other.place) == (17, (now, "file"), (then, "file"))
    assert nodes[other.inode] is other
    again = await found(nodes, then, "file", Told(17))
    assert again is other


async def test_numbers_come_back_when_they_are_free() -> None:
    nodes = made()
    one, other = [await found(nodes, nodes.root, name, Told(17)) for name in "ab"]
    await nodes.forget(one.inode, 1)
    assert nodes.child(nodes.root, "a") is None
    assert (await found(nodes, nodes.root, "c", Told(17))).inode == 17
    assert nodes.child(nodes.root, "b") is other


@pytest.mark.parametrize("path", [0, ROOT, 2, (1 << 64) - 1])
async def test_numbers_that_fuse_has_for_itself(path: int) -> None:
    """A directory with the qid of the root is not the root: it would be below itself."""
    nodes = made()
    node = await found(nodes, nodes.root, "dir", Told(path, kind=QTDIR))
    assert node is not nodes.root
    assert node.inode not in (0, ROOT)
    assert 0 < node.inode < 1 << 64


async def test_names_of_one_file_are_one_node() -> None:
    nodes = made()
    one, other = [await found(nodes, nodes.root, name, Told(17, nlink=2)) for name in "ab"]
    assert one is other
    assert (one.lookups, one.inode) == (2, 17)
    assert nodes.child(nodes.root, "a") is nodes.child(nodes.root, "b") is one
    await nodes.forget(17, 2)
    assert not nodes.root.children
    assert await found(nodes, nodes.root, "a", Told(17, nlink=2)) is not one


async def test_what_was_linked_just_now_is_looked_at_again() -> None:
    nodes = made()
    first = Told(17)
    one = await found(nodes, nodes.root, "a", first)
    first.attributes = first.attributes._replace(nlink=2)
    assert await found(nodes, nodes.root, "b", Told(17, nlink=2)) is one


async def test_links_that_are_not_alike_are_two_files() -> None:
    """Of a server that goes by inodes and has several disks."""
    nodes = made()
    one = await found(nodes, nodes.root, "a", Told(17, nlink=2, size=1))
    assert await found(nodes, nodes.root, "b", Told(17, nlink=2, size=2)) is not one


async def test_directories_are_never_linked() -> None:
    nodes = made()
    one = await found(nodes, nodes.root, "a", Told(17, kind=QTDIR, nlink=3))
    assert await found(nodes, nodes.root, "b", Told(17, kind=QTDIR, nlink=3)) is not one


async def test_another_kind_of_file_is_another_node() -> None:
    nodes = made()
    one = await found(nodes, nodes.root, "a", Told(17))
    other = await found(nodes, nodes.root, "a", Told(17, kind=QTDIR))
    assert other is not one
    assert nodes.child(nodes.root, "a") is other


async def test_renaming_takes_the_node_along() -> None:
    nodes = made()
    folder = await found(nodes, nodes.root, "dir", Told(3, kind=QTDIR))
    one = await found(nodes, nodes.root, "a", Told(17))
    await nodes.moved(nodes.root, "a", folder, "b")
    assert nodes.child(nodes.root, "a") is None
    assert nodes.child(folder, "b") is one
    assert one.place == (folder, "b")
    assert (await found(nodes, nodes.root, "a", Told(18))).inode == 18


async def test_fids_that_nobody_uses_are_given_up_and_walked_to_again_in_one_go() -> None:
    nodes = made(most_fids=2)
    above: Any = nodes.root.file
    folder = await found(nodes, nodes.root, "dir", Told(3, kind=QTDIR))
    first = Told(17)
    one = await found(nodes, folder, "a", first)
    for number in range(3):
        await found(nodes, nodes.root, f"other {number}", Told(20 + number))
    assert (nodes.fids, first.left, folder.file, one.file) == (2, True, None, None)
    above.below["dir/a"] = Told(17)
    async with nodes.use(one) as file:
        assert file is above.below["dir/a"]
    assert (above.walked, folder.file) == ([["dir", "a"]], None)


async def test_a_fid_in_use_is_left_when_its_user_has_ended() -> None:
    nodes = made(most_fids=2)
    first = Told(17)
    one = await found(nodes, nodes.root, "a", first)
    async with nodes.use(one), nodes.use(one):
        assert not await nodes.shed()
        for number in range(5):
            await found(nodes, nodes.root, f"other {number}", Told(20 + number))
        await nodes.moved(nodes.root, "a", nodes.root, "b")
        assert not first.left
    assert (first.left, one.file) == (True, None)


async def test_what_is_open_keeps_its_fid() -> None:
    nodes = made()
    one = await found(nodes, nodes.root, "a", Told(17))
    other = await found(nodes, nodes.root, "b", Told(18))
    one.opens("somebody")
    assert await nodes.shed()
    assert one.file is not None
    assert other.file is None


@pytest.mark.parametrize("there", [None, Told(99)])
async def test_what_went_away_or_was_replaced_is_stale(there: Told | None) -> None:
    """And not "does not exist": Linux looks names up again when it hears that a file is stale."""
    nodes = made()
    above: Any = nodes.root.file
    one = await found(nodes, nodes.root, "a", Told(17))
    await nodes.shed()
    if there is not None:
        above.below["a"] = there
    with pytest.raises(FileRemoved):
        await nodes.file(one)


async def test_a_file_is_walked_to_by_the_name_that_it_still_has() -> None:
    nodes = made()
    above: Any = nodes.root.file
    for name in "ab":
        one = await found(nodes, nodes.root, name, Told(17, nlink=2))
    await nodes.removed(nodes.root, "b")
    assert one.file is None
    above.below["a"] = Told(17)
    assert await nodes.file(one) is above.below["a"]
    await nodes.removed(nodes.root, "a")
    assert one.file is above.below["a"]


async def test_what_nobody_could_walk_to_is_told_all_the_same() -> None:
    nodes = made()
    one = nodes.listed(nodes.root, "a", Qid(0, 1, 17))
    assert (one.inode, one.lookups, one.file) == (17, 1, None)
    assert await found(nodes, nodes.root, "a", Told(17)) is one
    await nodes.forget(17, 2)
    assert nodes.child(nodes.root, "a") is None
