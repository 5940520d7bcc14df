"""The condition of a file system: what ``status`` prints, and whether anything is wrong."""

from __future__ import annotations

from typing import NamedTuple

import trio

from fossil.archive.vault import Distant
from fossil.data.room import UNCHECKED
from fossil.errors import ArchiveAway, FossilError
from fossil.server.service import Fossil
from ninep.protocol.errors import FileSystemFull
from venti.blocks.errors import VentiError

ANSWER = 5.0
"""Seconds that venti has to answer."""
LONG = 3600
"""Seconds after which an archive has waited too long, whatever the reason."""


class Condition(NamedTuple):
    """A line of it.

    Attributes:
        text: what is so.
        wrong: whether somebody should do something about it.
    """

    text: str
    wrong: bool = True


async def conditions(fossil: Fossil) -> list[Condition]:
    """Everything that there is to say. Venti is asked whether it is there."""
    system = fossil.system
    found = []
    if system.stopped:
        found.append(Condition(f"writes stopped: {system.stopped}"))
    try:
        system.check_room(UNCHECKED)
    except FileSystemFull as error:
        found.append(Condition(f"{error}: remove files or old snapshots, or make room on the disk"))
    if system.halted:
        found.append(Condition("halted"))
    if system.content.damage:
        found.append(Condition(f"damage was met: {system.content.damage}; 'check' looks for all of it"))
    if fossil.check is not None:
        found.append(Condition(f"checking: {fossil.check} so far", wrong=False))
    venti = await look_at_venti(fossil)
    if venti is not None and not venti.wrong:
        # What it was before says nothing of how it is now.
        with trio.move_on_after(ANSWER):
            await fossil.archiver.retry()
    return found + _archives(fossil) + ([] if venti is None else [venti]) + [_last(fossil)]


def _archives(fossil: Fossil) -> list[Condition]:
    archiver, found = fossil.archiver, []
    if waiting := fossil.history.waiting():
        since = max(0, fossil.system.now() - waiting[0].time)
        late = since > LONG and archiver.progress is None
        text = f"{len(waiting)} archives wait to be written"
        found.append(Condition(text + f", the oldest since {since // 60} minutes" * late, late))
    if (progress := archiver.progress) is not None:
        text = f"archiving {progress.name}: {progress.files} files, {progress.size} bytes so far"
        found.append(Condition(text, wrong=False))
    if archiver.refilled is not None:
        found.append(Condition(f"writing again what venti lacks: {archiver.refilled} so far"))
    if archiver.trouble and not archiver.away:
        found.append(Condition(f"archiver: {archiver.trouble}"))
    return found


async def look_at_venti(fossil: Fossil, patience: float = ANSWER) -> Condition | None:
    """Whether venti is there, and has everything; None if there is nothing that it should have."""
    trust = fossil.trust
    if not trust.used():
        return None
    with trio.move_on_after(patience) as waiting:
        try:
            await _ask(fossil)
        except (ArchiveAway, VentiError) as error:
            return Condition(f"venti{trust.name()} is away: {error}; archives wait until it is back")
    if waiting.cancelled_caught:
        return Condition(f"venti{trust.name()} has not answered for {patience:.0f} seconds")
    if trust.lacking is not None:
        return Condition(f"venti{trust.name()} does not have everything that was archived: {trust.lacking}")
    has = ", and has what was archived" if trust.expects() else ""
    return Condition(f"venti{trust.name()} answers{has}", wrong=False)


async def _ask(fossil: Fossil) -> None:
    """Returns when venti has answered. Raises ``ArchiveAway``, and what the store itself says."""
    if fossil.vault.trouble is not None:
        # Not how it was at the last attempt, which may be half a minute ago.
        fossil.vault.redial()
    for attempt in range(2):
        try:
            async with fossil.vault.use() as store:
                if isinstance(store, Distant):
                    await store.ping()
            return
        except ArchiveAway:
            # A connection of before may have broken; a new one says how it is.
            if attempt:
                raise


def _last(fossil: Fossil) -> Condition:
    try:
        score = fossil.history.last().score
    except FossilError as error:
        return Condition(str(error), wrong=False)
    doubt = ", perhaps not whole" if fossil.trust.lacking is not None else ""
    return Condition(f"last archive {score}{doubt}", wrong=False)
