"""Brings files back from a snapshot into the live tree."""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio

from fossil.data.extents import covered
from fossil.errors import ConsoleRefused, DamagedData
from fossil.live.filesystem import FileSystem
from fossil.live.hardlinks import Place, places
from fossil.metadata.node import Node
from fossil.past.difference import ADDED, DESCRIBED, REMOVED, Difference, differences
from fossil.past.history import ARCHIVE
from fossil.past.views import Moment, Views, waited
from ninep.protocol.stat import DMDIR, DMTMP

USER = "adm"
"""Who is said to have changed it."""


async def bring_back(
    views: Views, moment: Moment, names: list[str], *, delete: bool, dry: bool
) -> AsyncIterator[Difference]:
    """Makes the file or directory of a path what it was, and yields what it does.

    Files of the same name get their content, mode, owner, group and time back and keep their qids, with new versions.
    What is there now and was not then stays, unless ``delete``. ``dry`` does nothing.

    Raises:
        ConsoleRefused: there was no such file, or something of another kind is in its place.
        DamagedData, ArchiveAway, FileSystemFull, WritesStopped: it cannot go on; what was yielded is done.
    """
    if await views.find(moment, names) is None:
        raise ConsoleRefused(f"{moment.name}/{'/'.join(names)} does not exist")
    live = views.present()
    above = await views.find(live, names[:-1])
    if names and (above is None or not above.mode & DMDIR):
        raise ConsoleRefused(f"/active/{'/'.join(names[:-1])} is no directory now: bring that back first")
    wanted = [one async for one in differences(views, live, moment, names)]
    kinds = {one.path for one in wanted if one.kind == REMOVED} & {one.path for one in wanted if one.kind == ADDED}
    if kinds:
        raise ConsoleRefused(f"/active/{min(kinds)} is of another kind now: remove it first")
    archived = moment.snapshot is not None and moment.snapshot.kind == ARCHIVE
    removed = [one for one in wanted if one.kind == REMOVED]
    for one in (one for one in wanted if one.kind != REMOVED):
        if not dry:
            await _do(views, moment, one)
        yield one
    kept: set[int] = set()
    for one in reversed(removed if delete else []):
        gone = one.before
        assert gone is not None
        above, place = await _place(views, one.path)
        if gone.path in kept or (archived and gone.mode & DMTMP):
            # Temporary files are in no archive, and so nothing is known of them.
            kept.add(above.path)
            continue
        if not dry:
            if not _is_at(views.system, gone, above, place) or (gone.mode & DMDIR and views.system.children(gone)):
                continue
            views.system.remove(gone, USER, place)
            views.system.commit()
        yield one


async def _place(views: Views, path: str) -> tuple[Node, Place]:
    """The directory of a path, and the name in it. Raises ``ConsoleRefused``: there is no such directory any more."""
    *names, last = path.split("/")
    above = await views.find(views.present(), names)
    if above is None or not above.mode & DMDIR:
        raise ConsoleRefused(f"/active/{'/'.join(names)} went away meanwhile")
    return above, (above.path, last)


def _is_at(system: FileSystem, node: Node, above: Node, place: Place) -> bool:
    """Whether a directory has a file under a name: a file may have others, and clients may have changed that."""
    found = system.children(above).get(place[1])
    return found is not None and found[0] == node.path


def _shares_bytes(now: Node, then: Node) -> bool:
    """Whether a file has names now that were other files then, which must not get the content of this one."""
    return bool(now.links) and not (now.path == then.path and set(places(now)) <= set(places(then)))


async def _do(views: Views, moment: Moment, one: Difference) -> None:
    system = views.system
    then, now = one.after, one.before
    assert then is not None
    names = one.path.split("/") if one.path else []
    if one.old:
        # The name it had then is free; what is different besides comes next.
        assert now is not None
        above, place = await _place(views, one.path)
        if not _is_at(system, now, above, (above.path, one.old)) or place[1] in system.children(above):
            raise ConsoleRefused(f"/active/{one.path} or {one.old} beside it was changed meanwhile")
        system.rename(now, names[-1], USER, place=(above.path, one.old))
        system.commit()
        return
    shares = now is not None and not then.mode & DMDIR and _shares_bytes(now, then)
    if then.mode & DMDIR or (one.kind == DESCRIBED and not shares):
        now = now or await _made(views, names, then)
        _describe(system, now, then)
        system.commit()
        return
    await _check(moment, then)
    if now is not None and shares:
        above, place = await _place(views, one.path)
        if _is_at(system, now, above, place):
            moment.view.check()
            system.remove(now, USER, place)
        now = None
    if now is None or now.removed:
        now = await _made(views, names, then)
    moment.view.check()
    system.writer.adopt(now, moment.view.extents(then), then.length, USER)
    _describe(system, now, then)
    system.commit()


async def _made(views: Views, names: list[str], then: Node) -> Node:
    above, (_, name) = await _place(views, "/".join(names))
    found = views.system.child(above, name)
    if found is not None:
        return found
    return views.system.create(above, name, then.mode, then.uid, then.gid)


def _describe(system: FileSystem, now: Node, then: Node) -> None:
    now.set_mode(then.mode)
    now.uid, now.gid = then.uid, then.gid
    if not now.mode & DMDIR:
        now.mtime, now.muid = then.mtime, then.muid
    now.ctime = system.time()
    system.touch(now)


async def _check(moment: Moment, node: Node) -> None:
    """Reads all of a file while clients are served: what is damaged must not take the place of what is there."""
    for start, count in covered(moment.view.extents(node), node.length):
        if len(await waited(moment.view.read(node, start, count))) != count:
            raise DamagedData(f"{node.name} ends before its length")
        await trio.lowlevel.checkpoint()
