"""Console commands that look into the past and bring files back. The original leaves that to history(1)."""

from __future__ import annotations

import json
import time
from typing import Any

from fossil.commands.registry import Speaker, fsys_command
from fossil.console import modetext
from fossil.console.words import Given
from fossil.errors import ConsoleRefused, NoSnapshot
from fossil.live.filesystem import ROOT
from fossil.metadata.node import Node
from fossil.past.difference import Difference, differences
from fossil.past.history import SNAPSHOT
from fossil.past.retrieval import bring_back
from fossil.past.versions import Version, versions
from fossil.past.views import Views, names_of
from fossil.server.fsys import Fsys
from ninep.protocol.stat import SECOND, seconds

SHOWN = "%Y-%m-%d %H:%M:%S"


def _views(fsys: Fsys) -> Views:
    return Views(fsys.open.system, fsys.open.history)


@fsys_command("history [-j] path", flags="j", least=1, most=1, halted=True)
async def history(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Prints the versions of a file, the newest first: when it was written, the oldest place where it is so, its
    length, and who wrote it. -j prints an object a line.
    """
    names = names_of(given.words[0])
    found = await versions(_views(fsys), names)
    if not found:
        raise NoSnapshot(f"{given.words[0]}: file does not exist, now or in any snapshot")
    users = fsys.open.system.users.names
    lines = []
    for version in found:
        place = "/".join([version.moment.name, *names])
        node = version.node
        if "j" in given.options:
            lines.append(json.dumps(_version(version, place)))
        elif node is None:
            lines.append(f"{_taken(version)} {place} removed")
        else:
            when = time.strftime(SHOWN, time.localtime(seconds(node.mtime)))
            lines.append(f"{when} {place} {node.length} [{users[node.muid]}]")
    return "".join(f"{line}\n" for line in lines)


def _taken(version: Version) -> str:
    snapshot = version.moment.snapshot
    return time.strftime(SHOWN, time.localtime(snapshot.time)) if snapshot else "now"


def _version(version: Version, place: str) -> dict[str, Any]:
    snapshot = version.moment.snapshot
    return {"path": place, "taken": snapshot.time if snapshot else None, "file": _file(version.node)}


def _file(node: Node | None) -> dict[str, Any] | None:
    if node is None:
        return None
    return {
        "qid": node.path,
        "version": node.version,
        "mode": modetext.text(node.mode),
        "length": node.length,
        "mtime": node.mtime // SECOND,
        "uid": node.uid,
        "gid": node.gid,
        "muid": node.muid,
    }


@fsys_command("diff [-j] snap1 snap2 [path]", flags="j", least=2, most=3, halted=True)
async def diff(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Prints what is different between two snapshots, or one and 'active': + new, - gone, M another content, m only
    another mode, owner, group or time, R renamed. -j prints an object a line.
    """
    views = _views(fsys)
    first, second = (views.named(word) for word in given.words[:2])
    if first.view.top != second.view.top:
        raise ConsoleRefused(f"diff: {first.name} and {second.name} are of different directories")
    names = names_of(given.words[2]) if len(given.words) > 2 else []
    if await views.find(first, names) is None and await views.find(second, names) is None:
        raise NoSnapshot(f"{given.words[2]}: file does not exist in {first.name} or in {second.name}")
    return "".join([_line(one, given) async for one in differences(views, first, second, names)])


def _line(one: Difference, given: Given) -> str:
    if "j" in given.options:
        record = {"change": one.kind, "path": one.path, "old": one.old or None}
        return json.dumps({**record, "before": _file(one.before), "after": _file(one.after)}) + "\n"
    if one.old:
        return f"{one.kind}\t/{one.path} (was {one.old})\n"
    return f"{one.kind}\t/{one.path}\n"


@fsys_command("restore [-dn] snap path", flags="dn", least=2, most=2)
async def restore(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Makes a file or directory of the live tree what it was in a snapshot, and prints what that does: + brought back,
    M content, m mode, owner, group or time, R name, - removed. What has been made since stays, or with -d is removed.
    The present is kept in a snapshot first, whose path is printed. -n only prints.
    """
    if fsys.rules.read_only:
        raise ConsoleRefused("read only file system")
    views = _views(fsys)
    moment = views.named(given.words[0])
    if moment.snapshot is None:
        raise ConsoleRefused("restore: /active is how things are: name a snapshot, 'snapshots' lists them")
    if moment.view.top != ROOT:
        raise ConsoleRefused(f"restore: {moment.name} is of one directory alone: copy from there what you want")
    names = names_of(given.words[1])
    dry = "n" in given.options
    delete = "d" in given.options
    planned = [_line(one, given) async for one in bring_back(views, moment, names, delete=delete, dry=True)]
    if dry or not planned:
        return "".join(planned)
    kept = fsys.open.history.take(SNAPSHOT)
    done = [_line(one, given) async for one in bring_back(views, moment, names, delete=delete, dry=False)]
    return "".join([f"before: /{SNAPSHOT}/{kept.name}\n", *done])
