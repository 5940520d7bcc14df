"""Servers of other Python packages, to be measured: ``python -m bench.python_peers NAME PORT``."""

from __future__ import annotations

import asyncio
import logging
import sys


async def aio9p(port: int) -> None:
    """Its example of a tree in memory."""
    from aio9p.example.simple import Simple9P2000
    from aio9p.protocol import Py9PServer

    quiet = logging.getLogger("quiet")
    quiet.setLevel(logging.CRITICAL)
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Py9PServer(Simple9P2000(65535, logger=quiet), logger=quiet), "127.0.0.1", port)
    await asyncio.Event().wait()


async def pyroute2(port: int) -> None:
    """Its file system in memory, where clients make nothing: the files that the workloads use are there."""
    from pyroute2 import Plan9ServerSocket

    server = Plan9ServerSocket(address=("127.0.0.1", port))
    server.filesystem.create("random", data="x" * (4 << 20))
    await server.async_run()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run({"aio9p": aio9p, "pyroute2": pyroute2}[sys.argv[1]](int(sys.argv[2])))
