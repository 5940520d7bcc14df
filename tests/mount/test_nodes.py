"""Which names are one file to the kernel, in a tree that says whatever the test wants."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pyfuse3", reason="pyfuse3 is not installed: pip install 'ninegrid[mount]'")

from ninep.attributes import Attributes
from ninep.mount.nodes import ROOT, Node, Nodes
from ninep.qid import QTDIR, Qid


class Connection:
    lost = None


class Told:
    """A fid of which a server says these attributes."""

    connection = Connection()

    def __init__(self, path: int, *, kind: int = 0, nlink: int = 1, size: int = 0) -> None:
        self.qid = Qid(kind, 7, path)
        self.attributes = Attributes(self.qid, 0o100644, 0, 0, nlink, size=size)
        self.left = False

    async def getattr(self) -> Attributes:
        return self.attributes

    async def leave(self) -> None:
        self.left = True


async def found(nodes: Nodes, parent: Node, name: str, file: Told) -> Node:
    any_file: Any = file
    return await nodes.found(parent, name, any_file, file.attributes)


def made() -> Nodes:
    root: Any = Told(2, kind=QTDIR)
    return Nodes(root)


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
    assert (one.inode, one.parent, other.parent) == (17, now, then)
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
    assert (one.parent, one.name) == (folder, "b")
    assert (await found(nodes, nodes.root, "a", Told(18))).inode == 18
