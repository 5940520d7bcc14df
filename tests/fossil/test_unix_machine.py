"""Links, moves between directories and replacements in any order, with snapshots and restarts, against plain objects.

At the end nothing is wrong with the rows of the database either.
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

import trio
from hypothesis import given, settings
from hypothesis import strategies as some

from contracts.served_file import OWNER
from fakes.flaky_venti import FlakyVenti
from fossil.past.history import SNAPSHOT
from fossil.server.check import Check
from fossil.server.service import Fossil, open_fossil
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError, IsDirectory
from ninep.protocol.qid import QTSYMLINK
from ninep.wire.maybe import arrived

Tree: TypeAlias = "dict[str, Tree | str]"
"""Directories are dictionaries, links and files are what they hold."""

NAMES = some.sampled_from(["a", "b", "c"])
PLACES = some.sampled_from([(), (), ("a",), ("a",), ("b",), ("b",), ("a", "b"), ("b", "a"), ("c",)])
BEGUN: list[tuple[Any, ...]] = [("mkdir", (), "a"), ("mkdir", (), "b"), ("mkdir", ("a",), "b"), ("write", (), "c")]
STEPS = some.lists(
    some.one_of(
        some.tuples(some.just("mkdir"), PLACES, NAMES),
        some.tuples(some.just("symlink"), PLACES, NAMES),
        some.tuples(some.just("write"), PLACES, NAMES),
        some.tuples(some.just("unlink"), PLACES, NAMES, some.booleans()),
        some.tuples(some.just("move"), PLACES, NAMES, PLACES, NAMES),
        some.tuples(some.just("move"), PLACES, NAMES, PLACES, NAMES),
        some.tuples(some.sampled_from(["snapshot", "restart"])),
    ),
    max_size=30,
)


class Refused(Exception):
    """What the model says instead of doing it."""


def folder(tree: Tree, place: tuple[str, ...]) -> Tree:
    at: Any = tree
    for name in place:
        at = at.get(name) if isinstance(at, dict) else None
    if not isinstance(at, dict):
        raise Refused
    return at


def within(inner: Any, outer: Any) -> bool:
    """Whether ``inner`` is ``outer`` or somewhere in it."""
    return inner is outer or (isinstance(outer, dict) and any(within(inner, each) for each in outer.values()))


def apply(tree: Tree, step: tuple[Any, ...], number: int) -> None:
    what, place, name, *rest = step
    at = folder(tree, place)
    if what in ("mkdir", "symlink"):
        if name in at:
            raise Refused
        at[name] = {} if what == "mkdir" else f"-> {number}"
    elif what == "write":
        if isinstance(at.get(name), dict) or str(at.get(name, "")).startswith("->"):
            raise Refused
        at[name] = f"content {number}"
    elif what == "unlink":
        if name not in at or isinstance(at[name], dict) is not rest[0] or (rest[0] and at[name]):
            raise Refused
        del at[name]
    else:
        target, newname = folder(tree, rest[0]), rest[1]
        if name not in at or within(target, at[name]):
            raise Refused
        moved, there = at[name], target.get(newname)
        if there is moved and newname in target:
            return
        if newname in target and (isinstance(there, dict) is not isinstance(moved, dict)):
            raise Refused
        if isinstance(there, dict) and there:
            raise Refused
        del at[name]
        target[newname] = moved


async def walk(root: Any, place: tuple[str, ...]) -> Any:
    file = await arrived(root.clone())
    for name in place:
        file = await arrived(file.step(name))
    return file


async def do(root: Any, step: tuple[Any, ...], number: int) -> None:
    what, place, name, *rest = step
    at = await walk(root, place)
    if what == "mkdir":
        await arrived(at.mkdir(name, 0o755, None))
    elif what == "symlink":
        await arrived(at.symlink(name, f"{number}", None))
    elif what == "write":
        try:
            made = await arrived(at.lcreate(name, 0o644, m.OWRITE, None))
        except FileError:
            made = await walk(at, (name,))
            if made.qid.is_directory:
                # The session sees to that.
                raise IsDirectory from None
            await arrived(made.open(m.OWRITE | m.OTRUNC))
        await arrived(made.write(0, f"content {number}".encode()))
        await arrived(made.clunk())
    elif what == "unlink":
        await arrived(at.unlinkat(name, rest[0]))
    else:
        await arrived(at.renameat(name, await walk(root, rest[0]), rest[1]))


async def found(file: Any) -> Any:
    """What is there, as the model has it."""
    if file.qid.type & QTSYMLINK:
        return f"-> {await arrived(file.readlink())}"
    view = await arrived(file.clone())
    await arrived(view.open(m.OREAD))
    try:
        if not file.qid.is_directory:
            return bytes(await arrived(view.read(0, 100))).decode()
        names = []
        rewind = True
        while entries := await arrived(view.list(rewind)):
            names += [entry.name for entry in entries]
            rewind = False
        return {name: await found(await walk(file, (name,))) for name in names if name != "adm"}
    finally:
        await arrived(view.clunk())


async def converse(path: Path, steps: list[tuple[Any, ...]]) -> None:
    venti = FlakyVenti()
    tree: Tree = {}
    past: dict[str, Tree] = {}
    left = list(enumerate(steps))
    while True:
        async with open_fossil(path, owner=OWNER, open_store=venti.connect) as fossil:
            await session(fossil, tree, past, left)
            if not left:
                problems: list[Any] = []
                await Check(fossil, problems.append).run()
                assert list(map(str, problems)) == []
                return


async def session(fossil: Fossil, tree: Tree, past: dict[str, Tree], left: list[tuple[int, tuple[Any, ...]]]) -> None:
    """Until the next restart."""
    root = await arrived(fossil.tree.attach(OWNER, ""))
    assert await found(root) == tree
    while left:
        number, step = left.pop(0)
        if step[0] == "restart":
            break
        if step[0] == "snapshot":
            past[fossil.history.take(SNAPSHOT).name] = copy.deepcopy(tree)
            continue
        try:
            await do(root, step, number)
        except FileError as error:
            refusal: FileError | None = error
        else:
            refusal = None
        await arrived(fossil.tree.commit())
        try:
            apply(tree, step, number)
        except Refused:
            assert refusal is not None, step
        else:
            assert refusal is None, (step, refusal)
    assert await found(root) == tree
    for name, was in past.items():
        assert await found(await arrived(fossil.tree.attach(OWNER, f"main/snapshot/{name}"))) == was


@given(STEPS)
@settings(max_examples=30)
def test_links_and_moves(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as path:
        trio.run(converse, Path(path), BEGUN + steps)
