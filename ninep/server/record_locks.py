"""Answers the record lock requests of 9P2000.L. Sources: Linux's 9P client, diod's ``protocol.md``, ``fcntl(2)``."""

from __future__ import annotations

from collections.abc import Coroutine
from types import CoroutineType
from typing import Any

import trio

from ninep.protocol import messages_linux as lm
from ninep.protocol.errors import BadFidUse, InvalidArgument
from ninep.protocol.locks import END, LockTable, Range
from ninep.server.conversation import Conversation, standing
from ninep.server.fids import Fid
from ninep.server.files import File
from ninep.server.requests import Method
from ninep.wire.dialect import Maybe

PATIENCE = 10.0
"""Seconds that a client who wants to wait for a lock waits here; then it is told to ask again. Linux does, after 30."""


class RecordLocks:
    """Answers them, for one connection. Locks are advice: nobody's reads and writes are refused."""

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk
        self._fids = talk.fids

    @property
    def methods(self) -> dict[type, Method]:
        """What answers which request. Made anew each time: kept here it would refer to this object, and so for ever."""
        return {lm.Tlock: self._lock, lm.Tgetlock: self._getlock}

    def _range(self, fid: Fid, request: lm.Tlock | lm.Tgetlock) -> Range:
        if request.type not in (lm.LOCK_READ, lm.LOCK_WRITE, lm.LOCK_UNLOCK):
            raise InvalidArgument
        end = request.start + request.length if request.length else END
        owner = (id(self), request.client_id, request.proc_id)
        return Range(request.start, min(end, END), request.type != lm.LOCK_READ, owner, fid)

    def _locks(self, file: File) -> LockTable:
        return self._talk.tree.locks if file.locks is None else file.locks

    def _lock(self, request: lm.Tlock) -> Maybe[Any]:
        fid = self._fids[request.fid]
        if fid.held:
            return fid.run_queued(self._do_lock, fid, request, alone=False)
        result = self._do_lock(fid, request)
        return fid.run_shared(result) if isinstance(result, CoroutineType) else result

    def _do_lock(self, fid: Fid, request: lm.Tlock) -> Maybe[Any]:
        file = standing(fid)
        locks, key = self._locks(file), file.qid.path
        if not fid.opened:
            raise BadFidUse
        wanted = self._range(fid, request)
        if request.type == lm.LOCK_UNLOCK:
            locks.unlock(key, wanted)
            return lm.Rlock(lm.LOCK_SUCCESS)
        if locks.lock(key, wanted):
            fid.locks = locks
            return lm.Rlock(lm.LOCK_SUCCESS)
        return self._wait(fid, locks, key, wanted) if request.flags & lm.LOCK_WAIT else lm.Rlock(lm.LOCK_BLOCKED)

    def _wait(self, fid: Fid, locks: LockTable, key: int, wanted: Range) -> Coroutine[Any, Any, Any]:
        freed = trio.Event()
        stop = locks.watch(key, lambda: freed.set())

        async def wait() -> Any:
            nonlocal freed
            try:
                with trio.move_on_after(PATIENCE):
                    while True:
                        await freed.wait()
                        freed = trio.Event()
                        if locks.lock(key, wanted):
                            fid.locks = locks
                            return lm.Rlock(lm.LOCK_SUCCESS)
                return lm.Rlock(lm.LOCK_BLOCKED)
            finally:
                stop()

        return wait()

    def _getlock(self, request: lm.Tgetlock) -> Maybe[Any]:
        fid = self._fids[request.fid]
        if fid.held:
            return fid.run_queued(self._do_getlock, fid, request, alone=False)
        return self._do_getlock(fid, request)

    def _do_getlock(self, fid: Fid, request: lm.Tgetlock) -> Any:
        # Linux asks for the type "unlock" whatever its program wants to know: whoever has a lock is in the way of that.
        wanted = self._range(fid, request)
        file = standing(fid)
        found = self._locks(file).conflict(file.qid.path, wanted)
        if found is None:
            return lm.Rgetlock(lm.LOCK_UNLOCK, request.start, request.length, request.proc_id, request.client_id)
        kind = lm.LOCK_WRITE if found.exclusive else lm.LOCK_READ
        owner: Any = found.owner
        length = 0 if found.end == END else found.end - found.start
        return lm.Rgetlock(kind, found.start, length, owner[2], owner[1])
