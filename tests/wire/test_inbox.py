from __future__ import annotations

import socket

import trio

from ninep.wire.inbox import SMALL, Inbox


async def test_asks_for_more_while_much_comes() -> None:
    here, there = socket.socketpair()
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * SMALL)
    here.setblocking(False)
    there.setblocking(False)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(there))
    inbox = Inbox(stream)
    sent = bytes(range(256)) * (SMALL // 64)
    with here:
        count = here.send(sent)
        first = await inbox.receive(1 << 20)
        assert len(first) == min(SMALL, count)
        got = first
        while len(got) < count:
            got += await inbox.receive(1 << 20)
        assert got == sent[:count]
        here.send(b"little")
        assert await inbox.receive(3) == b"lit"
        assert await inbox.receive(1 << 20) == b"tle"
    assert await inbox.receive(1) == b""
    await stream.aclose()
