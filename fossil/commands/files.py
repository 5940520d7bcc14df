"""Console commands about single files, named by paths from the root above ``active`` and ``archive``.

The console has all rights; ids stand where 9P has names.
"""

from __future__ import annotations

from typing import NamedTuple

from fossil.commands.registry import ANY, FSYS, Speaker, fsys_command
from fossil.console import modetext
from fossil.console.words import Given, number, quoted
from fossil.errors import ConsoleRefused, FossilError
from fossil.live.filesystem import LARGEST_FILE, ROOT, FileSystem
from fossil.live.hardlinks import place_of
from fossil.live.naming import LONGEST_NAME, check_empty, check_free, describe, show_change
from fossil.metadata.node import Node
from fossil.past.history import ARCHIVE, SNAPSHOT
from fossil.past.past import Past
from fossil.past.shelf import Shelf
from fossil.server.fsys import Fsys
from ninep.protocol.errors import FileNotFound, NinepError, NotDirectory
from ninep.protocol.stat import DMDIR

ACTIVE = "active"
KEEP = "-"


class Place(NamedTuple):
    """What a path leads to.

    Attributes:
        name: its last element.
        node: the file or directory, if it is one that is stored.
        view: the tree that it is in.
        top: whether it is the top of that tree.
    """

    name: str
    node: Node | None = None
    view: FileSystem | Past | None = None
    top: bool = False


def look(fsys: Fsys, path: str) -> Place:
    """Follows a path such as ``/active/adm/users``. Raises ``FileNotFound``, ``NotDirectory``."""
    fossil = fsys.open
    names = [name for name in path.split("/") if name]
    if names[:1] == [ACTIVE]:
        return _inside(fossil.system, names[0], names[1:])
    shelf = fsys.tree(fsys.rules).shelf(())
    for depth, name in enumerate(names):
        found = shelf.names.get(name)
        if found is None:
            raise FileNotFound
        if not isinstance(found, Shelf):
            return _inside(fossil.history.past(found), name, names[depth + 1 :])
        shelf = found
    return Place(names[-1] if names else "/")


def _inside(view: FileSystem | Past, top: str, names: list[str]) -> Place:
    node = view.node(view.top)
    for name in names:
        if not node.mode & DMDIR:
            raise NotDirectory
        child = view.child(node, name)
        if child is None:
            raise FileNotFound
        node = child
    return Place(names[-1] if names else top, node, view, not names)


def _described(path: str, place: Place) -> str:
    node = place.node
    if node is None:
        return f"stat {quoted(path)} {quoted(place.name)} adm adm d555 0"
    mode = modetext.text(node.mode, snapshot=place.top and isinstance(place.view, Past))
    return f"stat {quoted(path)} {quoted(place.name)} {quoted(node.uid)} {quoted(node.gid)} {mode} {node.length}"


def _live(fsys: Fsys, path: str) -> Node:
    """A file that can be changed."""
    system = fsys.open.system
    place = look(fsys, path)
    if place.node is None or place.view is not system:
        raise ConsoleRefused("file is read only")
    if fsys.rules.read_only:
        raise ConsoleRefused("read only file system")
    system.check()
    return place.node


@fsys_command("stat files...", least=1, most=ANY, halted=True)
async def stat(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Prints path, name, owner, group, mode and length of files."""
    lines = []
    for path in given.words:
        try:
            lines.append(f"\t{_described(path, look(fsys, path))}\n")
        except (NinepError, FossilError) as error:
            lines.append(f"{path}: {error}\n")
    return "".join(lines)


@fsys_command("create path uid gid perm", least=4, most=4)
async def create(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Makes a file, or with d in the mode a directory, in the live tree."""
    path, uid, gid, perm = given.words
    mode = _mode(perm, "create")
    if uid == "noworld":
        raise ConsoleRefused("permission denied")
    above, _, name = path.rstrip("/").rpartition("/")
    try:
        parent = _live(fsys, above)
        if not parent.mode & DMDIR:
            raise NotDirectory
        _check_name(name)
        system = fsys.open.system
        check_free(system, parent, name)
    except (NinepError, FossilError) as error:
        raise ConsoleRefused(f"create {above}/{name}: {error}") from error
    system.create(parent, name, mode, uid, gid)
    system.commit()
    return ""


def _mode(perm: str, command: str) -> int:
    try:
        return modetext.parse(perm)
    except ValueError as error:
        raise ConsoleRefused(f"{command}: {error}") from error


def _place(fsys: Fsys, node: Node, path: str) -> tuple[int, str]:
    """By which of its names a path leads to a file of the live tree."""
    if not node.links:
        return node.parent, node.name
    above, _, name = path.rstrip("/").rpartition("/")
    return place_of(node, (_live(fsys, above).path, name))


def _check_name(name: str) -> None:
    if name in ("", ".", "..") or "\0" in name or "/" in name or len(name.encode()) > LONGEST_NAME:
        raise ConsoleRefused(f"'{name}' cannot be the name of a file")


@fsys_command("remove path ...", least=1, most=ANY)
async def remove(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Removes files and empty directories of the live tree."""
    lines = []
    system = fsys.open.system
    for path in given.words:
        try:
            node = _live(fsys, path)
            if node.path == ROOT:
                raise ConsoleRefused("cannot remove root")
            check_empty(system, node)
            system.remove(node, "adm", _place(fsys, node, path))
        except (NinepError, FossilError) as error:
            lines.append(f"{path}: {error}\n")
    system.commit()
    return "".join(lines)


@fsys_command("clri path ...", least=1, most=ANY)
async def clri(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Drops snapshots, by their paths, at once and not only when they are old; also archives that have not been written
    to venti yet. Those that have stay.
    """
    lines = []
    history = fsys.open.history
    for path in given.words:
        kind, _, name = path.strip("/").partition("/")
        found = history.find(kind, name) if kind in (SNAPSHOT, ARCHIVE) else None
        if found is not None and found.score is None:
            history.forget([found.epoch])
        elif found is not None:
            lines.append(f"clri {path}: archives stay for ever\n")
        elif kind == ACTIVE:
            lines.append(f"clri {path}: names always lead to files here: use remove\n")
        else:
            lines.append(f"clri {path}: file does not exist\n")
    return "".join(lines)


@fsys_command("wstat file elem uid gid mode length", least=6, most=6)
async def wstat(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Changes name, owner, group, mode and length of a file in the live tree, all or none; - keeps what is there."""
    path, name, uid, gid, perm, length = given.words
    try:
        node = _live(fsys, path)
    except (NinepError, FossilError) as error:
        raise ConsoleRefused(f"console wstat - walk - {error}") from error
    system = fsys.open.system
    before = _described(path, look(fsys, path))
    size = node.length if length == KEEP else number(length, FSYS["wstat"].usage)
    mode = node.mode if perm == KEEP else _mode(perm, "console wstat") & ~DMDIR | node.mode & DMDIR
    place = _place(fsys, node, path)
    rename = name not in (KEEP, place[1])
    try:
        if rename:
            _check_name(name)
            if node.path == ROOT:
                raise ConsoleRefused("the root has no other name")
            check_free(system, system.node(place[0]), name)
        if size != node.length and (node.mode & DMDIR or size > LARGEST_FILE):
            raise ConsoleRefused("bad length")
    except (NinepError, FossilError) as error:
        raise ConsoleRefused(f"console wstat - {error}") from error
    if size != node.length:
        system.truncate(node, size, "adm", counts=True)
    if rename:
        system.rename(node, name, "adm", place=place)
        path = f"{path.rstrip('/').rpartition('/')[0]}/{name}"
    describe(system, node, mode=mode, uid="" if uid == KEEP else uid, gid="" if gid == KEEP else gid)
    if not rename:
        show_change(system, node)
    system.commit()
    return f"\told: w{before}\n\tnew: w{_described(path, look(fsys, path))}\n"
