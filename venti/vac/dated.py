"""Archives with a directory a day, as ``vac -a`` makes: ``yyyy/mmdd``, then ``mmdd.1`` and so on. Source: vac(1)."""

from __future__ import annotations

import re
from typing import NamedTuple

from venti.vac import mode as modes
from venti.vac.direntry import DirEntry
from venti.vac.reader import VacFile
from venti.vac.writer import DirectoryTrees, Ready, VacWriter

_YEAR = re.compile(r"\d{4}")
_DAY = re.compile(r"(\d{4})(?:\.(\d+))?")


class NextRun(NamedTuple):
    """Where the next run goes.

    Attributes:
        year: name of the directory at the top.
        day: name of the directory in it.
        newest: the directory of the last run, to compare with; None the first time.
    """

    year: str
    day: str
    newest: VacFile | None


async def next_place(top: VacFile | None, today: tuple[int, ...]) -> NextRun:
    """Finds it; ``top`` is that of the archive so far, ``today`` year, month and day."""
    year, day = f"{today[0]:04}", f"{today[1]:02}{today[2]:02}"
    years = {} if top is None else {one.info.name: one for one in await top.files() if _is(one, _YEAR)}
    days: dict[str, VacFile] = {}
    if year in years:
        days = {one.info.name: one for one in await years[year].files()}
    name, count = day, 0
    while name in days:
        count += 1
        name = f"{day}.{count}"
    for _, latest in sorted(years.items(), reverse=True):
        runs = [one for one in await latest.files() if _is(one, _DAY)]
        if runs:
            return NextRun(year, name, max(runs, key=_order))
    return NextRun(year, name, None)


async def grown(writer: VacWriter, top: VacFile | None, place: NextRun, run: Ready, level: DirEntry) -> DirectoryTrees:
    """The top directory with everything it had and the run in its place.

    Args:
        writer: of the archive.
        top: of the archive so far.
        place: of the run.
        run: its directory, under the name ``place.day``.
        level: what a new directory of a year looks like; its name does not matter.
    """
    above = {} if top is None else {one.info.name: kept(one) for one in await top.files()}
    year = writer.directory()
    older = None if top is None else await top.step(place.year)
    await year.add_all([*([kept(one) for one in await older.files()] if older is not None else []), run])
    info = level._replace(name=place.year) if older is None else older.info._replace(mtime=level.mtime)
    above[place.year] = Ready(info, await year.finish())
    whole = writer.directory()
    await whole.add_all(above.values())
    return await whole.finish()


def kept(file: VacFile) -> Ready:
    """A file or directory as it stands in the same place of another archive.

    Raises:
        DamagedArchive: its entries are not there.
    """
    return Ready(file.info, DirectoryTrees(file.entry, file.meta) if file.info.directory else file.entry)


def _is(file: VacFile, pattern: re.Pattern[str]) -> bool:
    return bool(file.info.mode & modes.DIRECTORY and pattern.fullmatch(file.info.name))


def _order(run: VacFile) -> tuple[int, int]:
    found = _DAY.fullmatch(run.info.name)
    assert found is not None
    return int(found[1]), int(found[2] or 0)
