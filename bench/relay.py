"""A slow link: a relay before a server that keeps every byte back for a while, in both directions.

``python -m bench.relay PORT TARGET SECONDS`` listens on a port of 127.0.0.1 and relays to another. ``SECONDS`` is the
round trip time that it adds. Bandwidth is not limited.
"""

from __future__ import annotations

import sys

import trio

CHUNK = 256 * 1024
"""Most bytes taken at once."""
WINDOW = 4096
"""Most chunks on their way in one direction."""


async def pump(source: trio.abc.Stream, target: trio.abc.Stream, delay: float) -> None:
    """Hands on all bytes, each ``delay`` seconds after it came, then closes ``target``."""
    late, due = trio.open_memory_channel[tuple[float, bytes]](WINDOW)

    async def deliver() -> None:
        async for moment, data in due:
            await trio.sleep_until(moment)
            await target.send_all(data)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deliver)
            async with late:
                while data := bytes(await source.receive_some(CHUNK)):
                    await late.send((trio.current_time() + delay, data))
    except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        pass
    finally:
        await trio.aclose_forcefully(target)


async def relay(port: int, target: int, round_trip: float) -> None:
    """Serves until cancelled."""

    async def converse(near: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream("127.0.0.1", target)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump, near, far, round_trip / 2)
            nursery.start_soon(pump, far, near, round_trip / 2)

    await trio.serve_tcp(converse, port, host="127.0.0.1")


if __name__ == "__main__":
    trio.run(relay, int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
