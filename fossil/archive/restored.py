"""Makes a file system from an archive: tree and past; contents stay in venti until they are read.

Source: ``flfmt -v`` of fossil(4). Archives of the original and of ours have ``active`` and ``archive`` at the top; each
day of ``archive``, and whatever else was archived there, becomes an archive here. Any other vac tree becomes the live
tree alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fossil.archive.listing import columns
from fossil.errors import DataInUse
from fossil.live.filesystem import FIRST_PATH, ROOT
from fossil.metadata import head
from fossil.metadata.schema import open_database
from fossil.metadata.settings import EPOCH, NEXT_PATH, SAME_PATHS, SNAPSHOTS
from fossil.metadata.tables import ALIVE, ARCHIVED, NODE, SETTING, SNAPSHOT, UNLISTED
from fossil.past.history import ARCHIVE
from ninep.disk import make_folders, sync_folder
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, DamagedArchive
from venti.blocks.score import Score
from venti.stores.interface import BlockStore
from venti.trees.root import SIZE as ROOT_SIZE
from venti.trees.root import Root
from venti.vac import label, mode
from venti.vac.reader import VacFile, VacReader, open_archive

GAP = 1 << 24
"""Paths that are left out after those of the archive: files made after it had them, and somebody may remember those."""
MOST_PATHS = 1 << 48
"""No archive has had more files; where one says that it has, its files get numbers of their own."""
DEEPEST = 16
"""Directories between ``archive`` and what is in it that are looked into."""
_DAY = re.compile(r"(\d+)/(\d{4})(?:\.(\d+))?")


class _Day(NamedTuple):
    """An archive within the archive."""

    name: str
    file: VacFile


class Restored(NamedTuple):
    """What was found.

    Attributes:
        archives: how many days have a tree of their own.
        next_path: the path of the next file.
    """

    archives: int
    next_path: int


async def restore(folder: Path, store: BlockStore, score: Score) -> Restored:
    """Makes the file system in ``folder``, which has none, from an archive; reads some blocks, whatever its size.

    Raises:
        DataInUse: there is one already.
        VentiError: venti has no such archive, or it is damaged.
        sqlite3.Error, OSError: it cannot be written.
    """
    metadata = folder / "metadata"
    if metadata.exists():
        raise DataInUse(f"{folder} has a file system already: choose another --data, or remove it first")
    archive = await open_archive(store, score)
    active, days = await _parts(archive)
    scores = await _scores(store, archive, len(days))
    limit = archive.top.info.qid_space.limit if archive.top.info.qid_space else 0
    same_paths = active is not archive.top and 0 < limit <= MOST_PATHS
    next_path = max(limit, FIRST_PATH) + GAP if same_paths else FIRST_PATH
    make_folders(folder, 0o700)
    # Under its name there is never less than all of it.
    beginning = folder / "metadata.new"
    for suffix in ("", "-wal", "-shm"):
        beginning.with_name(beginning.name + suffix).unlink(missing_ok=True)
    database = open_database(beginning, durable=True)
    try:
        run, put = database.execute, database.put
        run("BEGIN IMMEDIATE")
        for name, value in (
            (EPOCH, len(days) + 1),
            (NEXT_PATH, next_path),
            (SAME_PATHS, int(same_paths)),
            (SNAPSHOTS, len(days)),
        ):
            put(SETTING, (name, value))
        for epoch, (day, found) in enumerate(zip(days, scores, strict=True), 1):
            when = day.file.info.ctime or day.file.info.mtime
            put(SNAPSHOT, (epoch, when, ARCHIVE, day.name, found, epoch, ROOT))
        for born, died, tree in _spans([*(day.file for day in days), active]):
            entries = tree.entry.pack() + tree.meta.pack()
            put(NODE, columns(tree.info, ROOT, born, ROOT, "/", 0), died)
            put(UNLISTED, (ROOT, born, entries), died)
            put(ARCHIVED, (ROOT, born, entries))
        run("COMMIT")
    finally:
        database.close()
    head.forget(metadata)
    beginning.replace(metadata)
    sync_folder(folder)
    return Restored(len(days), next_path)


async def _parts(archive: VacReader) -> tuple[VacFile, list[_Day]]:
    """The live tree, and the archives from the oldest to the newest."""
    top = {file.info.name: file for file in await archive.top.files()}
    active, past = top.get("active"), top.get("archive")
    if active is None or past is None or not active.info.directory or not past.info.directory:
        return archive.top, []
    days: list[_Day] = []
    shelves = [(past, "")]
    while shelves:
        shelf, above = shelves.pop()
        for file in await shelf.files():
            if not file.info.directory:
                continue
            name = f"{above}{file.info.name}"
            if file.info.mode & mode.SNAPSHOT or _DAY.fullmatch(name):
                days.append(_Day(name, file))
            elif name.count("/") < DEEPEST:
                shelves.append((file, f"{name}/"))
    return active, sorted(days, key=_age)


def _age(day: _Day) -> tuple[int, int, int, str]:
    """What sorts archives by when they were made; those that say the same by the days that they are named after."""
    found = _DAY.fullmatch(day.name)
    number = (int(found[1] + found[2]), int(found[3] or 0)) if found else (0, 0)
    return (day.file.info.ctime, *number, day.name)


async def _scores(store: BlockStore, archive: VacReader, count: int) -> list[str]:
    """The scores of so many archives up to this one, oldest first; empty where the chain of roots ends before."""
    scores = [label.text(archive.score)]
    root = archive.root
    while len(scores) < count and root.previous is not None:
        scores.append(label.text(root.previous))
        try:
            root = Root.unpack(await store.read(root.previous, BlockType.ROOT, ROOT_SIZE))
        except (BlockNotFound, DamagedArchive):
            scores.pop()
            break
    return [*[""] * (count - len(scores)), *reversed(scores)][-count:] if count else []


def _spans(trees: Sequence[VacFile]) -> list[tuple[int, int, VacFile]]:
    """The epochs from which and before which each tree is seen; equal ones that follow each other are one."""
    spans: list[tuple[int, int, VacFile]] = []
    for epoch, tree in enumerate(trees, 1):
        if spans:
            born, _, before = spans[-1]
            if (before.entry, before.meta) == (tree.entry, tree.meta):
                spans[-1] = (born, epoch + 1, tree)
                continue
        spans.append((epoch, epoch + 1, tree))
    born, _, tree = spans[-1]
    spans[-1] = (born, ALIVE, tree)
    return spans
