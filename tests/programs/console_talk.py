"""A file server in this process that is told things at its console, and clients that come by its services."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from fakes.ninep_client import Raw, talking
from fossil.commands.interpreter import Interpreter
from fossil.errors import ConsoleRefused
from fossil.server.fileserver import FileServer, Surroundings, open_file_server
from ninep.net.listen import Listener, listen
from ninep.protocol import messages as m
from venti.stores.interface import BlockStore
from venti.stores.memory import MemoryStore


@asynccontextmanager
async def served(folder: Path, *, venti: str | None = None) -> AsyncIterator[FileServer]:
    """A server without file systems. Archives go to a store in memory; the address ``nowhere`` does not answer."""
    store = MemoryStore()

    @asynccontextmanager
    async def dial(address: str) -> AsyncIterator[BlockStore]:
        if address == "nowhere":
            raise OSError("nowhere: connection refused")
        yield store

    async def listening(address: str) -> Sequence[Listener]:
        return await listen(address, service="9fs")

    around = Surroundings(folder, folder / "srv", "glenda", listening, dial, venti=venti or "memory")
    with trio.fail_after(60):
        async with open_file_server(around, Interpreter) as server:
            yield server


async def say(interpreter: Interpreter, text: str) -> str:
    """What is printed for each line; a refusal is a line of its own, as at a prompt."""
    printed = ""
    for line in text.splitlines():
        try:
            printed += await interpreter.execute(line.strip())
        except ConsoleRefused as error:
            printed += f"{error}\n"
    return printed


OPEN = "fsys main config *\nfsys main open\nfsys main\n"


async def transcript(interpreter: Interpreter, text: str) -> None:
    """Says what stands behind ``>`` and expects what stands between; ``...`` there is anything."""
    blocks = re.split(r"^ *> ", text, flags=re.MULTILINE)
    assert not blocks[0].strip()
    for block in blocks[1:]:
        line, _, expected = block.partition("\n")
        wanted = [part.strip() for part in expected.strip().splitlines()]
        printed = [" ".join(part.split()) for part in (await say(interpreter, line)).splitlines()]
        assert len(printed) == len(wanted), (line, printed)
        for found, pattern in zip(printed, wanted, strict=True):
            assert re.fullmatch(re.escape(pattern).replace(r"\.\.\.", ".*"), found), (line, found, pattern)


@asynccontextmanager
async def through(path: Path, user: str = "glenda", aname: str = "") -> AsyncIterator[Raw]:
    """A client that came by a service's socket."""
    async with await trio.open_unix_socket(path) as stream, talking(stream) as raw:
        await raw.ask(m.Tattach(0, m.NOFID, user, aname))
        yield raw
