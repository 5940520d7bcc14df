"""What one more process on the way costs, whatever it does: the floor for a cache that has nothing yet.

``python -m bench.hop bytes PORT TARGET`` hands bytes on between a port of 127.0.0.1 and another, with blocking sockets
and a thread for each direction. ``python -m bench.hop messages PORT TARGET`` is the least that a 9P server in front of
a 9P server can do with our library: every request is decoded, asked again on another connection, and answered.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Coroutine
from typing import Any

import trio

from ninep.protocol.dialect import NinePDialect
from ninep.protocol.messages import NOTAG, Tversion
from ninep.wire.busypoll import instruments
from ninep.wire.client import Client
from ninep.wire.dialect import Session
from ninep.wire.server import serve_connection

CHUNK = 256 * 1024


def pump(source: socket.socket, target: socket.socket) -> None:
    """Hands on all bytes of one direction."""
    try:
        while data := source.recv(CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def hand_on_bytes(port: int, target: int) -> None:
    """Serves until killed."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", target))
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()


class Passing(Session[Any, Any]):
    """A session that asks another server everything, and knows nothing itself."""

    def __init__(self, client: Client[Any, Any], near: NinePDialect, far: NinePDialect) -> None:
        self._client = client
        self._near = near
        self._far = far

    def begin(self, request: Any) -> Coroutine[Any, Any, Any]:
        """Asks at once, in the order of arrival."""
        tag = NOTAG if type(request) is Tversion else None
        return self._answered(self._client.begin(request, tag=tag), tag)

    async def _answered(self, call: Any, tag: int | None) -> Any:
        reply = await self._client.wait(call)
        if tag is not None:
            self._near.agree(reply.version, reply.msize)
            self._far.agree(reply.version, reply.msize)
        return reply


async def hand_on_messages(port: int, target: int) -> None:
    """Serves until cancelled."""

    async def converse(stream: trio.SocketStream) -> None:
        near, far = NinePDialect(), NinePDialect()
        client: Client[Any, Any] = Client(await trio.open_tcp_stream("127.0.0.1", target), far)
        async with trio.open_nursery() as nursery:
            await nursery.start(client.run)
            await serve_connection(stream, near, Passing(client, near, far), taskless=True)
            nursery.cancel_scope.cancel()

    await trio.serve_tcp(converse, port, host="127.0.0.1")


if __name__ == "__main__":
    what, here, there = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if what == "bytes":
        hand_on_bytes(here, there)
    else:
        trio.run(hand_on_messages, here, there, instruments=instruments())
