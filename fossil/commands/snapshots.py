"""Console commands about snapshots and archives, and how long they are kept."""

from __future__ import annotations

import re
import time

from fossil.archive.archive import write_root
from fossil.commands.files import look
from fossil.commands.registry import FSYS, Speaker, fsys_command
from fossil.console.words import Given, number
from fossil.errors import ConsoleRefused
from fossil.live.naming import LONGEST_NAME
from fossil.past.history import ARCHIVE, SNAPSHOT
from fossil.past.past import Past
from fossil.past.schedule import parse_clock, parse_minutes
from fossil.past.shelf import Shelf
from fossil.server.condition import look_at_venti
from fossil.server.fsys import Fsys
from ninep.protocol.errors import NinepError, NotDirectory
from ninep.protocol.stat import DMDIR

SHELVES = {SNAPSHOT: re.compile(r"\d{4}(/\d{4})?"), ARCHIVE: re.compile(r"\d{4}")}
"""Names of the directories that what is named by the time is in."""


def _may_take(fsys: Fsys) -> None:
    if fsys.rules.read_only:
        raise ConsoleRefused(f"file system {fsys.name} is open read-only: open it without -r to take snapshots")


@fsys_command("snap [-ap] [-s /active] [-d /archive/yyyy/mmmm]", flags="ap", valued="sd")
async def snap(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Takes a snapshot of the live tree, or with -s of any directory of it or of another snapshot; with -a one that is
    archived. It is named by the time, or with -d as one says, below /snapshot, with -a below /archive. -p prints its
    path.
    """
    options = given.options
    _may_take(fsys)
    kind = ARCHIVE if "a" in options else SNAPSHOT
    if kind == ARCHIVE and not fsys.archiving:
        raise ConsoleRefused("file system was opened with -V")
    of, top = _source(fsys, options.get("s", "/active"))
    name = _destination(fsys, kind, options["d"]) if "d" in options else ""
    taken = fsys.open.history.take(kind, name, of=of, top=top)
    if kind == ARCHIVE:
        fsys.open.archiver.wake()
    return f"/{kind}/{taken.name}\n" if "p" in options else ""


def _source(fsys: Fsys, path: str) -> tuple[Past | None, int]:
    """What ``History.take`` takes a snapshot of: a tree of the past or None for the live one, and a directory in it."""
    try:
        place = look(fsys, path)
        if place.node is not None and not place.node.mode & DMDIR:
            raise NotDirectory
    except NinepError as error:
        raise ConsoleRefused(f"snap: {path}: {error}") from error
    if place.node is None:
        raise ConsoleRefused(f"snap: {path}: only what is in /active, or in one snapshot or archive, can be snapshot")
    return place.view if isinstance(place.view, Past) else None, place.node.path


def _destination(fsys: Fsys, kind: str, path: str) -> str:
    """The name of a snapshot that shall be found at a path."""
    above, _, name = path.strip("/").partition("/")
    if above != kind or not name:
        if above == ARCHIVE and name:
            raise ConsoleRefused(f"snap: {path}: what is there stays for ever, in venti: say so with -a")
        raise ConsoleRefused(f"snap: {path}: a name must be below /{kind}, such as /{kind}/before-upgrade")
    shelf: Shelf | int | None = fsys.tree(fsys.rules).shelf((kind,))
    names = name.split("/")
    if any(one in ("", ".", "..") or "\0" in one or len(one.encode()) > LONGEST_NAME for one in names):
        raise ConsoleRefused(f"snap: {path} cannot be the name of a snapshot")
    if SHELVES[kind].fullmatch(name):
        raise ConsoleRefused(f"snap: {path}: {kind}s of that time will be below it: choose another name")
    for one in names:
        if isinstance(shelf, int):
            break
        shelf = shelf.names.get(one) if shelf else None
    if shelf is not None:
        raise ConsoleRefused(f"snap: {path}: file already exists")
    return name


@fsys_command("last [-w]", flags="w", halted=True)
async def last(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Prints the score of the newest archive; with -w waits until all are written. The original has a program."""
    fossil = fsys.open
    # It may have become another one since it was used.
    await look_at_venti(fossil)
    if "w" in given.options:
        await fossil.archiver.idle()
    _check_whole(fsys, "last")
    return f"{fossil.history.last().score}\n"


def _check_whole(fsys: Fsys, command: str) -> None:
    """Nothing is said of archives that venti may not have."""
    if (lacking := fsys.open.trust.lacking) is not None:
        raise ConsoleRefused(
            f"{command}: venti{fsys.open.trust.name()} does not have everything that was archived: {lacking}; what is "
            "missing is being written again: see 'status', or wait with 'last -w'"
        )


@fsys_command("snapshots", halted=True)
async def snapshots(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Prints every snapshot: its path, its time, and the score of an archive. The original has no such command."""
    lines = []
    for kind in (SNAPSHOT, ARCHIVE):
        for taken in fsys.open.history.all(kind):
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(taken.time))
            score = taken.score or ("waiting" if kind == ARCHIVE else "")
            if taken.score and fsys.open.trust.lacking is not None:
                score += " (perhaps not whole in venti now)"
            lines.append(f"/{kind}/{taken.name} {when} {score}".rstrip() + "\n")
    return "".join(lines)


@fsys_command("snaptime [-a hhmm] [-s snapminutes] [-t maxminutes]", valued="ast")
async def snaptime(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Sets when each day an archive is made (-a), every how many minutes a snapshot is taken (-s), and after how many
    minutes one is dropped (-t); none is never. It is remembered. Alone: prints that.
    """
    schedule, options = fsys.open.schedule, given.options
    if not options:
        return f"\tsnaptime {schedule.when.text()}\n"
    _may_take(fsys)
    when = schedule.when
    try:
        if "a" in options:
            when = when._replace(archive=parse_clock(options["a"]))
        if "s" in options:
            when = when._replace(snapshot=parse_minutes(options["s"]))
        if "t" in options:
            when = when._replace(life=parse_minutes(options["t"]))
    except ValueError as error:
        raise ConsoleRefused(f"snaptime: {error}") from error
    schedule.set(when)
    return ""


@fsys_command("snaplife [maxminutes]", most=1)
async def snaplife(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Sets after how many minutes a snapshot is dropped, as snaptime -t does; alone prints that."""
    schedule = fsys.open.schedule
    if not given.words:
        return f"\tsnaplife {schedule.when.life or 'none'}\n"
    _may_take(fsys)
    try:
        schedule.set(schedule.when._replace(life=parse_minutes(given.words[0])))
    except ValueError as error:
        raise ConsoleRefused(f"snaplife: {error}") from error
    return ""


@fsys_command("snapclean [maxminutes]", most=1)
async def snapclean(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Drops snapshots that are older than so many minutes, or than snaptime -t says."""
    _may_take(fsys)
    fossil = fsys.open
    life = number(given.words[0], FSYS["snapclean"].usage) if given.words else fossil.schedule.when.life
    if life is not None:
        fossil.history.expire(fossil.system.now() - 60 * life)
    return ""


@fsys_command("expire minutes", least=1, most=1)
async def expire(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Drops snapshots that are older than so many minutes and says how many. The original has snapclean."""
    minutes = number(given.words[0], FSYS["expire"].usage)
    _may_take(fsys)
    count = fsys.open.history.expire(fsys.open.system.now() - 60 * minutes)
    return f"{count} snapshots forgotten\n"


@fsys_command("epoch [[-ry] low]", flags="ry", most=1)
async def epoch(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Prints the epochs of the oldest snapshot and of the live tree. With a number lists the snapshots before it, and
    with -y drops them; archives stay. Dropped names go at once, as with the original's -r.
    """
    fossil = fsys.open
    high = fossil.system.epoch
    everything = [*fossil.history.all(SNAPSHOT), *fossil.history.all(ARCHIVE)]

    def lowest() -> int:
        return min((one.epoch for one in fossil.history.all(SNAPSHOT)), default=high)

    before = lowest()
    lines = [f"low {before} hi {high}"]
    if given.words:
        low = number(given.words[0], FSYS["epoch"].usage)
        if not low:
            raise ConsoleRefused("low epoch cannot be zero")
        older = [one for one in fossil.history.all(SNAPSHOT) if one.epoch < low]
        lines += [f"{one.epoch}\tclri /{one.kind}/{one.name}" for one in older]
        lines.append(f"{len(older)} snapshot{'' if len(older) == 1 else 's'} found with epoch < {low}")
        force = "y" in given.options
        if older and not force:
            lines.append("not setting low epoch")
        elif low > high:
            lines.append(f"fsEpochLow: bad low epoch (must be <= {high})")
        else:
            fossil.history.forget([one.epoch for one in older])
            name = "epoch -y" if force else "epoch"
            lines += [f"old: {name} {before}", f"new: {name} {max(low, lowest()) if not everything else lowest()}"]
    return "".join(f"\t{line}\n" for line in lines)


@fsys_command("vac path", least=1, most=1, halted=True)
async def vac(speaker: Speaker, fsys: Fsys, given: Given) -> str:
    """Prints the score of a directory in an archive, as one that vac would have made of it alone."""
    fossil = fsys.open
    place = look(fsys, given.words[0])
    node = place.node
    if node is None or not isinstance(place.view, Past) or not node.mode & DMDIR:
        raise ConsoleRefused("can only vac paths already stored on venti")
    known = fossil.history.archived(node.path, node.changed)
    if known is None:
        raise ConsoleRefused("can only vac paths already stored on venti")
    async with fossil.vault.use() as store:
        _check_whole(fsys, "vac")
        return await write_root(store, node, place.name, known, fossil.system.next_path) + "\n"
