"""Lists the versions of a file over time. Source: history(1) of Plan 9."""

from __future__ import annotations

from typing import NamedTuple

import trio

from fossil.metadata.node import Node
from fossil.past.difference import same_content, same_description
from fossil.past.views import Moment, Views

TURN = 50
"""Snapshots that are looked at until everybody else has a turn."""


class Version(NamedTuple):
    """A file as it was from one moment on.

    Attributes:
        moment: the first that shows it so.
        node: the file; None where there was none any more.
    """

    moment: Moment
    node: Node | None


async def versions(views: Views, names: list[str]) -> list[Version]:
    """The versions of the file of a path, the newest first; of those that are the same, the oldest moment.

    Raises:
        DamagedData, ArchiveAway, SnapshotDeleted: a directory cannot be looked at.
    """
    found: list[Version] = []
    last: Node | None = None
    for number, moment in enumerate([*views.past(), views.present()], 1):
        if number % TURN == 0:
            await trio.lowlevel.checkpoint()
        node = await views.find(moment, names)
        if node is None and last is None:
            continue
        if node is None or last is None or not (same_content(last, node) and same_description(last, node)):
            found.append(Version(moment, node))
        last = node
    return found[::-1]
