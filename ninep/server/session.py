"""The server side of one 9P connection: it checks each request, resolves its fids and answers it. Source: intro(5).

What a message asks is checked and reserved when it arrives. A file that answers at once costs no task; where it has
to wait, the rest of the request is a coroutine that holds its fid meanwhile. A later request on a fid that is held
waits for its turn, so that a client may send a walk, an open and a read in one go.

Which dialect is spoken is agreed for each connection: ``requests`` has what all share, ``requests_plan9``,
``requests_unix`` and ``requests_linux`` the rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.dialect import MSIZE, NinePDialect
from ninep.protocol.errors import FileError
from ninep.server.clunk import parting
from ninep.server.conversation import Conversation
from ninep.server.files import FileTree
from ninep.server.requests import Method, Requests
from ninep.server.requests_linux import LinuxRequests
from ninep.server.requests_plan9 import Plan9Requests
from ninep.server.requests_unix import UnixRequests
from ninep.tasks.nursery import open_nursery
from ninep.wire.dialect import Session

log = logging.getLogger(__name__)

LEAST_MSIZE = 256
"""A full Rwalk has 217 bytes."""
MOST_FIDS = 65536
CLUNKS = 64
"""Files that are given up at once when a connection ends."""


class NinePSession(Session[m.Request, m.Reply]):
    """Serves ``tree`` to one client."""

    def __init__(
        self,
        tree: FileTree,
        dialect: NinePDialect,
        *,
        max_msize: int = MSIZE,
        local: bool = False,
        max_fids: int = MOST_FIDS,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """``local`` tells the tree that the client is on this machine; ``max_fids`` bounds what it may hold.

        ``clock`` tells nanoseconds since 1970, for clients that leave the time to the server.
        """
        self._dialect = dialect
        self._max_msize = max_msize
        self._clock = clock
        self._talk = Conversation(tree, local=local, max_fids=max_fids)
        self.commit = tree.commit  # type: ignore[method-assign]  # a call less for each small request
        self.rest = tree.rest  # type: ignore[method-assign]  # the same
        self._unversioned: dict[type, Method] = {m.Tversion: self._version}
        self._methods = self._unversioned

    def begin(self, request: m.Request) -> m.Reply | Coroutine[Any, Any, m.Reply | None] | None:
        """Checks and reserves, then answers or returns the rest as a coroutine. Raises ``FileError``."""
        method = self._methods.get(type(request))
        if method is None:
            raise FileError("no version agreed: Tversion must come first")
        return method(request)

    def _version(self, request: m.Tversion) -> m.Reply:
        if request.msize < LEAST_MSIZE:
            raise FileError("version: message size too small")
        msize = min(request.msize, self._max_msize)
        base, _, suffix = request.version.partition(".")
        if base != m.VERSION:
            return m.Rversion(msize, "unknown")
        talk = self._talk
        shared = Requests(talk)
        own: dict[type, Method]
        if suffix == "L":
            version, own = lm.VERSION, LinuxRequests(talk, shared, self._clock).methods
        elif suffix == "u":
            version, own = m.VERSION_UNIX, UnixRequests(talk).methods
        else:
            version, own = m.VERSION, Plan9Requests(talk).methods
        talk.most = msize - m.IOHDRSZ
        talk.unix = version != m.VERSION
        talk.walks_open = version == lm.VERSION
        self._dialect.agree(version, msize)
        self._methods = self._unversioned | shared.methods | own
        return m.Rversion(msize, version)

    async def reset(self) -> None:
        """Gives up all fids, removing what was opened for that; one that fails keeps no other from it."""
        self._methods = self._unversioned
        fids = self._talk.fids.take_all()

        async def give_up() -> None:
            while fids:
                fid = fids.pop()
                try:
                    waiting = parting(fid)
                    if waiting is not None:
                        await waiting
                except FileError as error:
                    log.debug("giving up a fid: %s", error)
                except Exception:
                    log.exception("giving up a fid failed")

        async with open_nursery() as nursery:
            for _ in range(min(len(fids), CLUNKS)):
                nursery.start_soon(give_up)

    async def aclose(self) -> None:
        """The same, at the end of the connection."""
        try:
            await self.reset()
            waiting = self.commit()
            if waiting is not None:
                await waiting
        except FileError as error:
            log.info("what was given up at the end of a connection does not last: %s", error)
        except Exception:
            log.exception("closing a session failed")
        finally:
            # They refer to this object: with them its memory would be kept until the collector comes.
            self._methods = self._unversioned = {}
