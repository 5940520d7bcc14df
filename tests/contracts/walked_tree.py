"""Walks all of a tree: a qid path names one file of it, however one comes there."""

from __future__ import annotations

from fakes.ninep_client import Raw
from ninep.protocol import messages as m
from ninep.protocol.qid import QTDIR, Qid


async def all_of(raw: Raw, *top: str) -> dict[str, Qid]:
    """Path to qid of everything below a directory, itself included.

    Asserts that a listing, a walk and a stat tell the same qid of each place.
    """
    fid = await raw.walk(*top)
    found = {"/".join(top): (await raw.ask(m.Tstat(fid))).stat.qid}
    waiting = [top]
    while waiting:
        names = waiting.pop()
        for entry in await raw.list(*names):
            place = (*names, entry.name)
            fid = raw.fid()
            (walked,) = (await raw.ask(m.Twalk(await raw.walk(*names), fid, [entry.name]))).wqids
            stated = (await raw.ask(m.Tstat(fid))).stat.qid
            assert entry.qid.path == walked.path == stated.path, place
            found["/".join(place)] = walked
            if walked.type & QTDIR:
                waiting.append(place)
    return found


def check_unique(found: dict[str, Qid]) -> None:
    """Asserts that no two places have one qid path."""
    places: dict[int, str] = {}
    for place, qid in found.items():
        assert qid.path not in places, f"{place!r} has the qid path of {places[qid.path]!r}: {qid.path:#x}"
        places[qid.path] = place
