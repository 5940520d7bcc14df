"""Prefetches whole files and directories of trees that cannot change, in one round trip each.

All messages that it takes leave together: walk, open, stat, reads, clunk. That works because servers begin the requests
of a connection in the order of arrival. With one that does not, nothing is fetched early any more.
"""

from __future__ import annotations

from typing import Any

from cfs.disk.layout import Version
from cfs.files.cache import Cache
from cfs.files.unixside import is_told
from cfs.known.knowledge import MOST_ENTRIES, Knowledge, Names
from ninep.client.connection import Connection
from ninep.client.remote import RemoteFile
from ninep.protocol import messages as m
from ninep.protocol.errors import FileNotFound, InputOutput, UnknownFid
from ninep.protocol.messages import OREAD
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat, unpack_directory
from ninep.wire.client import Call, Client

LARGEST = 4 * 1024 * 1024
"""Bytes of a file that is fetched as a whole; of a larger one only the first piece."""
PIECE = 256 * 1024

_TOO_EARLY = (UnknownFid, FileNotFound, InputOutput)
"""What servers say of a fid that is not there yet."""


class Early:
    """For one user of one attach, in one conversation. What it learns is his."""

    def __init__(self, cache: Cache, knowledge: Knowledge) -> None:
        self._cache = cache
        self._knowledge = knowledge

    async def read(self, directory: RemoteFile, names: Names, entry: Stat) -> None:
        """Fetches a plain file, ``entry`` of the directory in which it is.

        Raises:
            FileError: it may not be had.
            NinepError, WireError: the link broke, or what came makes no sense.
        """
        connection = directory.connection
        if not connection.in_order:
            return
        cache, knowledge = self._cache, self._knowledge
        era = knowledge.era
        tree = knowledge.tree(names)
        if tree is None:
            return
        version = Version(entry.qid.version, entry.mtime, entry.length)
        held = cache.store.file(tree, entry.qid.path, version, pin=cache.pins.of(knowledge.aname, names))
        client, fid = connection.client, connection.take_fid()
        whole = entry.length if entry.length <= LARGEST else PIECE
        cache.under_way += whole
        try:
            walk = client.begin(m.Twalk(directory.fid, fid, [names[-1]]))
            opening, asking = client.begin(m.Topen(fid, OREAD)), client.begin(m.Tstat(fid))
            reads: list[tuple[int, Call[Any]]] = []
            most = min(PIECE, connection.iounit)
            for gap in held.present.gaps(0, whole):
                reads += [
                    (at, client.begin(m.Tread(fid, at, min(most, gap.end - at))))
                    for at in range(gap.start, gap.end, most)
                ]
            connection.discard(fid)
            self._count("Twalk", "Topen", "Tstat", "Tclunk", *["Tread"] * len(reads))
            qids = (await client.wait(walk)).wqids
            qid = await _answer(client, opening, connection)
            stat: Stat = (await client.wait(asking)).stat
            if stat != entry or qid != entry.qid:
                return
            knowledge.saw_walk(names[:-1], directory.qid, names[-1:], qids, era)
            knowledge.saw_open(names, qid, era)
            knowledge.saw_stat(names, stat, era)
            values = cache.counts.values
            for at, call in reads:
                data = (await client.wait(call)).data
                values["nfetch"] += 1
                values["bytesfromserver"] += len(data)
                cache.store.add(held, at, data)
        finally:
            cache.under_way -= whole
            cache.store.release(held)

    async def list(self, directory: RemoteFile, names: Names, entry: Stat) -> None:
        """Fetches the contents of a directory that is in another. Raises as ``read`` does."""
        connection = directory.connection
        if not connection.in_order:
            return
        knowledge = self._knowledge
        era = knowledge.era
        client, fid = connection.client, connection.take_fid()
        found: list[Stat] = []
        at = 0
        try:
            walk, opening = client.begin(m.Twalk(directory.fid, fid, [names[-1]])), client.begin(m.Topen(fid, OREAD))
            call = client.begin(m.Tread(fid, 0, connection.iounit))
            self._count("Twalk", "Topen", "Tread")
            qids = (await client.wait(walk)).wqids
            qid = await _answer(client, opening, connection)
            while data := (await client.wait(call)).data:
                at += len(data)
                if at > MOST_ENTRIES:
                    return
                call = client.begin(m.Tread(fid, at, connection.iounit))
                self._count("Tread")
                found += unpack_directory(data)
        finally:
            connection.discard(fid)
        values = self._cache.counts.values
        values["bytesfromdirs"] += at
        if qid == entry.qid and all(map(is_told, found)):
            knowledge.saw_walk(names[:-1], directory.qid, names[-1:], qids, era)
            knowledge.saw_open(names, qid, era)
            knowledge.saw_entries(names, qid, found, era)

    def _count(self, *kinds: str) -> None:
        for kind in kinds:
            self._cache.counts.sent[kind] += 1


async def _answer(client: Client[Any, Any], opening: Call[Any], connection: Connection) -> Qid:
    """The answer to an open that was sent together with the walk before it, which has succeeded."""
    try:
        qid: Qid = (await client.wait(opening)).qid
    except _TOO_EARLY:
        connection.in_order = False
        raise
    return qid
