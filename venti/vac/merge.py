"""Merges archives: the top of an archive becomes part of a new one, by reference to its scores.

Source: vac(1), option -m.
"""

from __future__ import annotations

from typing import Final

from venti.blocks.score import Score
from venti.stores.interface import BlockStore
from venti.vac import label
from venti.vac.dated import kept
from venti.vac.direntry import QidSpace
from venti.vac.reader import ID, VacFile, open_archive
from venti.vac.writer import Ready

SUFFIX: Final = ".vac"

LARGEST: Final = 100
"""Bytes of a file that may hold a score and nothing else."""


def holds_archive(name: str, data: bytes | None) -> Score | None:
    """The score in a file that ``vac -f`` wrote, None if it is no such file."""
    if not name.endswith(SUFFIX) or data is None or len(data) > LARGEST:
        return None
    text = data.decode("ascii", "replace")
    if not text.startswith(label.LABEL):
        return None
    try:
        return label.parse(text)
    except ValueError:
        return None


async def merged(store: BlockStore, score: Score, first_qid: int) -> tuple[list[Ready], int]:
    """Everything at the top of an archive, for a directory of another, and the next free qid there.

    Qids are moved up so that they stay unique: ``first_qid`` is the lowest that they get.

    Raises:
        BlockNotFound, DamagedArchive: there is no such archive.
    """
    top = (await open_archive(store, score)).top
    limit = await qid_limit(top)
    ready = []
    for file in await top.files():
        info, trees = kept(file)
        shift = file.qid - info.qid + first_qid & ID
        inner = info.qid_space
        space = QidSpace(shift, min((inner.limit if inner is not None else limit) + first_qid, ID))
        ready.append(Ready(info._replace(qid_space=space), trees))
    return ready, first_qid + limit


async def qid_limit(top: VacFile) -> int:
    """The lowest number that no qid of an archive reaches. Where the archive does not say, or not in
    earnest, every file is looked at.
    """
    if top.info.qid_space is not None and top.info.qid_space.limit < ID // 2:
        return top.info.qid_space.limit
    highest = 0
    waiting = await top.files()
    while waiting:
        file = waiting.pop()
        highest = max(highest, file.qid)
        if file.info.directory:
            waiting += await file.files()
    return highest + 1
