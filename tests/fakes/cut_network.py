"""A tree that lasts, on a network whose connections the test cuts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from ninep.client.connection import connected
from ninep.client.lasting import LastingTree, lasting_by
from ninep.client.tree import RemoteTree
from ninep.net.errors import Unreachable
from ninep.protocol import messages as m
from ninep.ram.tree import RamTree
from ninep.server.serve import serve_stream

OWNER = "glenda"


class Network:
    """Ways to a server that can be cut, and can be down."""

    def __init__(self, version: str = m.VERSION) -> None:
        self.version = version
        self.tree = RamTree(OWNER)
        self.ways: list[trio.abc.Stream] = []
        self.down = False
        self.nursery: trio.Nursery

    @asynccontextmanager
    async def make(self) -> AsyncIterator[RemoteTree]:
        if self.down:
            raise Unreachable("the network is down")
        near, far = trio.testing.memory_stream_pair()
        self.ways.append(far)
        self.nursery.start_soon(serve_stream, far, self.tree)
        async with connected(near, msize=8192, version=self.version) as connection:
            yield RemoteTree(await connection.attach(OWNER))

    async def cut(self) -> None:
        await trio.aclose_forcefully(self.ways[-1])
        await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def network(patience: float = 60, version: str = m.VERSION) -> AsyncIterator[tuple[Network, LastingTree]]:
    network = Network(version)
    async with trio.open_nursery() as network.nursery:
        async with lasting_by(network.make, patience=patience) as tree:
            yield network, tree
        network.nursery.cancel_scope.cancel()
