"""What clients of the original rely on, and where ours is better on purpose; against its recorded quirks."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import trio
import trio.testing

from venti.blocks.blocktype import BlockType
from venti.blocks.score import ZERO_SCORE, Score
from venti.protocol import messages as m
from venti.protocol.dialect import LONGEST_ERROR, VentiDialect
from venti.protocol.messages import LARGEST_BLOCK
from venti.server import serve_stream
from venti.stores.memory import MemoryStore

RECORDED = Path(__file__).parent.parent / "recorded" / "venti" / "protocol"
PATIENCE = 30.0


class Line(NamedTuple):
    """One line of a recording: ``C`` from the client, ``S`` from the server, ``#`` what was seen."""

    side: str
    data: bytes
    text: str


def sections(version: str) -> list[tuple[str, list[Line]]]:
    found: list[tuple[str, list[Line]]] = []
    for line in (RECORDED / f"session-v{version}-quirks.txt").read_text().splitlines():
        if line.startswith("# --- new connection: "):
            found.append((line[22:], []))
        elif found and line[:3] in ("C> ", "S> "):
            found[-1][1].append(Line(line[0], bytes.fromhex(line[3:]), ""))
        elif found and line.strip("# "):
            found[-1][1].append(Line("#", b"", line[2:]))
    return found


SECTIONS = [
    pytest.param(version, lines, id=f"{version}-{name[:40]}")
    for version in ("02", "04")
    for name, lines in sections(version)
]


@asynccontextmanager
async def connection() -> AsyncIterator[trio.testing.MemoryReceiveStream]:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, MemoryStore())
        with trio.fail_after(PATIENCE):
            yield near
        await near.aclose()


async def rest_of(stream: trio.abc.ReceiveStream) -> bytes:
    """Everything until the server closes."""
    data = b""
    with contextlib.suppress(trio.BrokenResourceError):
        while more := await stream.receive_some():
            data += more
    return data


async def exactly(stream: trio.abc.ReceiveStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = await stream.receive_some(size - len(data))
        assert more, f"the server closed after {data!r}"
        data += more
    return data


async def version_line(stream: trio.abc.ReceiveStream) -> None:
    line = b""
    while not line.endswith(b"\n"):
        line += await exactly(stream, 1)
    assert line == b"venti-04:02-ninegrid\n"


@pytest.mark.parametrize(("version", "lines"), SECTIONS)
async def test_recorded_quirks(version: str, lines: list[Line]) -> None:
    """The same answers and the same closed doors, but for what the original leaves without any answer."""
    unanswered = [at for at, line in enumerate(lines) if line.text.startswith("NO REPLY")]
    hello = next((at for at, line in enumerate(lines) if line.side == "C" and at > 1), len(lines))
    for bad in unanswered:
        # Ours says so or hangs up, so each of these has a connection of its own.
        async with connection() as stream:
            for line in (lines[0], lines[hello]):
                await stream.send_all(line.data)
            await version_line(stream)
            answer = next(line.data for line in lines[hello:] if line.side == "S")
            assert await exactly(stream, len(answer)) == answer
            request = lines[bad - 1].data
            await stream.send_all(request)
            if len(request) > int(version) + 1 and request[int(version)] in (8, 40):
                reply = await exactly(stream, int(version) + 4 + len(b"unknown request"))
                assert reply[int(version) :] == bytes((1, request[int(version) + 1], 0, 15)) + b"unknown request"
            else:
                assert await rest_of(stream) == b""
    skipped = {bad - 1 for bad in unanswered}
    async with connection() as stream:
        for at, line in enumerate(lines):
            if line.side == "C" and at not in skipped:
                with contextlib.suppress(trio.BrokenResourceError):
                    await stream.send_all(line.data)
            elif line.side == "S" and line.data.startswith(b"venti-"):
                await version_line(stream)
            elif line.side == "S":
                assert await exactly(stream, len(line.data)) == line.data
            elif line.text.startswith("server closed"):
                assert await rest_of(stream) == b""


# Better on purpose


class Talk:
    """Requests and replies on one connection of version 04."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.dialect = VentiDialect("04")

    def packed(self, tag: int, request: m.Request) -> bytes:
        pieces: list[bytes] = []
        self.dialect.encode(tag, request, pieces)
        return b"".join(pieces)

    async def begin(self) -> None:
        await self.stream.send_all(b"venti-04-test\n" + self.packed(0, m.Thello("04", "x")))
        await version_line(self.stream)
        assert isinstance(await self.reply(), m.Rhello)

    async def reply(self) -> m.Reply:
        size = int.from_bytes(await exactly(self.stream, 4), "big")
        return self.dialect.decode_reply(memoryview(await exactly(self.stream, size)))[1]

    async def raw(self, body: bytes) -> m.Reply:
        await self.stream.send_all(len(body).to_bytes(4, "big") + body)
        return await self.reply()

    async def ask(self, request: m.Request) -> m.Reply:
        await self.stream.send_all(self.packed(1, request))
        return await self.reply()


@asynccontextmanager
async def talking() -> AsyncIterator[Talk]:
    async with connection() as stream:
        talk = Talk(stream)
        await talk.begin()
        yield talk


async def test_ping_is_answered() -> None:
    async with talking() as talk:
        assert await talk.ask(m.Tping()) == m.Rping()


@pytest.mark.parametrize("score", [ZERO_SCORE, Score(bytes(20))], ids=["of nothing", "zeros"])
async def test_the_empty_block_is_there_for_every_type(score: Score) -> None:
    async with talking() as talk:
        for kind in BlockType:
            assert await talk.ask(m.Tread(score, kind, 0)) == m.Rread(b"")
        assert await talk.ask(m.Twrite(BlockType.DATA, b"")) == m.Rwrite(ZERO_SCORE)


@pytest.mark.parametrize("number", [0, 10, 11, 12, 14, 100, 255])
async def test_block_types_without_meaning_are_refused_before_they_are_lost(number: int) -> None:
    async with talking() as talk:
        assert await talk.raw(bytes((14, 7, number, 0, 0, 0)) + b"block") == m.Rerror("unknown block type")
        score = Score.of(b"block")
        assert await talk.raw(bytes((12, 7)) + score + bytes((number, 0, 1, 0))) == m.Rerror("unknown block type")
        assert await talk.ask(m.Twrite(BlockType.DATA, b"block")) == m.Rwrite(score)


@pytest.mark.parametrize("how", ["goodbye", "half close"])
async def test_answers_are_not_lost_when_the_client_leaves(how: str) -> None:
    """Of fifty writes and a goodbye in one go the original answers some, of a half close hardly any."""
    async with talking() as talk:
        writes = b"".join(talk.packed(n, m.Twrite(BlockType.DATA, b"%d" % n * 1000)) for n in range(50))
        end = talk.packed(99, m.Tgoodbye()) if how == "goodbye" else b""
        await talk.stream.send_all(writes + end)
        if how == "half close":
            await talk.stream.send_eof()
        for n in range(50):
            assert await talk.reply() == m.Rwrite(Score.of(b"%d" % n * 1000))
        assert await rest_of(talk.stream) == b""


async def test_sizes_and_probes() -> None:
    """A read with count 0 is how some programs ask whether a block is there."""
    async with talking() as talk:
        block = b"x" * LARGEST_BLOCK
        assert await talk.ask(m.Twrite(BlockType.DATA, block)) == m.Rwrite(Score.of(block))
        reply = await talk.ask(m.Tread(Score.of(block), BlockType.DATA, 0))
        assert reply == m.Rerror(f"read too small: asked for 0 need at least {LARGEST_BLOCK}")
        assert await talk.ask(m.Tread(Score.of(block), BlockType.DATA, 65536)) == m.Rread(block)
        assert await talk.ask(m.Twrite(BlockType.DATA, block + b"x")) == m.Rerror("lump too large")
        missing = Score.of(block + b"x")
        for kind in BlockType:
            shown = 8 + kind if 0 < kind < 8 else kind
            reply = await talk.ask(m.Tread(missing, kind, 65536))
            assert isinstance(reply, m.Rerror)
            assert reply.error in (
                f"no block with score {missing}/{int(kind)} exists",
                f"no block with score {missing}/{int(shown)} exists",
            )


async def test_zeros_are_kept_as_they_came() -> None:
    """Cutting zeros off is the business of clients."""
    async with talking() as talk:
        block = bytes(8192)
        assert await talk.ask(m.Twrite(BlockType.DATA, block)) == m.Rwrite(Score.of(block))
        assert await talk.ask(m.Tread(Score.of(block), BlockType.DATA, 8192)) == m.Rread(block)


def test_errors_fit_into_the_original_clients() -> None:
    from venti.blocks.errors import Refusal

    reply = VentiDialect("04").failure(Refusal("é" * 200))
    assert isinstance(reply, m.Rerror)
    assert len(reply.error.encode()) <= LONGEST_ERROR
