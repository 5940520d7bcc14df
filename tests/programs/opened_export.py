"""A local directory, served and attached to, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
import trio.testing

from ninep.client.tree import RemoteTree, connected, local_user
from ninep.export.accounts import Accounts
from ninep.export.tree import ExportTree
from ninep.protocol import messages as m
from ninep.server.serve import serve_stream


@asynccontextmanager
async def exported(folder: Path, version: str = m.VERSION) -> AsyncIterator[RemoteTree]:
    """The directory as its owner sees it through 9P."""
    tree = ExportTree(folder, accounts=Accounts.parse([], switch=False))
    near, far = trio.testing.memory_stream_pair()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(serve_stream, far, tree, local=True))
            async with connected(near, version=version) as connection:
                yield RemoteTree(await connection.attach(local_user()))
            nursery.cancel_scope.cancel()
    finally:
        tree.close()
