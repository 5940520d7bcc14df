"""The protocol against recordings of the original server, and against every other sequence of bytes."""

from __future__ import annotations

import contextlib
import lzma
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as some

from ninep.net.errors import ConnectionLost, Malformed, UnknownMessage
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, DamagedBlock, ReadTooSmall, Refusal
from venti.blocks.score import Score
from venti.protocol import messages as m
from venti.protocol.dialect import VentiDialect
from venti.protocol.handshake import choose
from venti.server import serve_stream
from venti.stores.memory import MemoryStore
from venti.stores.remote import connected

RECORDED = Path(__file__).parent.parent / "recorded" / "venti" / "protocol"


def exchanges(name: str) -> Iterator[tuple[str, bytes]]:
    path = RECORDED / name
    text = lzma.decompress(path.read_bytes()).decode() if name.endswith(".xz") else path.read_text()
    for line in text.splitlines():
        if line.startswith(("C> ", "S> ")):
            yield line[0], bytes.fromhex(line[3:].split("#")[0].strip())


class Peer:
    """Raw bytes to a server on an in-memory stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._data = b""

    async def take(self, count: int) -> bytes:
        while len(self._data) < count:
            data = await self.stream.receive_some()
            if not data:
                raise EOFError
            self._data += data
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    async def line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            line += await self.take(1)
        return line

    async def frame(self, prefix: int) -> bytes:
        head = await self.take(prefix)
        return head + await self.take(int.from_bytes(head, "big"))


@pytest.mark.parametrize("version", ["02", "04"])
@pytest.mark.parametrize("kind", ["", "-56k"])
async def test_server_answers_as_recorded(version: str, kind: str) -> None:
    """Byte for byte, but for the answers to ping and to reads of the empty block, which ours gives and C does not."""
    prefix = int(version)
    lines = list(exchanges(f"session-v{version}{kind}.txt{'.xz' if kind else ''}"))
    assert len(lines) > 8
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, MemoryStore())
        peer = Peer(near)
        greeted = False
        asked: dict[int, bytes] = {}
        for side, data in lines:
            if side == "C":
                await near.send_all(data)
                if not data.startswith(b"venti-"):
                    asked[data[prefix + 1]] = data[prefix:]
            elif not greeted:
                assert (await peer.line()).startswith(b"venti-04:02-")
                greeted = True
            else:
                answer = await peer.frame(prefix)
                request = asked[data[prefix + 1]]
                if request[0] == 2:
                    assert answer[prefix:] == bytes((3, request[1]))
                elif request[0] == 12 and Score(request[2:22]) == Score.of(b""):
                    assert answer[prefix:] == bytes((13, request[1]))
                else:
                    assert answer == data
        await near.aclose()


@pytest.mark.parametrize("version", ["02", "04"])
def test_every_recorded_message_is_understood(version: str) -> None:
    """Also those of the original client programs; encoded again they are the same bytes."""
    prefix = int(version)
    seen = 0
    for name in (f"session-v{version}.txt", f"tools-v{version}.txt"):
        server, client = VentiDialect(version), VentiDialect(version)
        for side, data in exchanges(name):
            if data.startswith(b"venti-"):
                server = VentiDialect(version)
                assert choose(data[:-1]) == version if side == "C" and name.startswith("tools") else True
                continue
            decode = server.decode_request if side == "C" else client.decode_reply
            tag, message = decode(memoryview(data)[prefix:])
            if isinstance(message, m.Unsupported) or (isinstance(message, m.Tread) and len(data) == prefix + 28):
                continue
            pieces: list[bytes] = []
            size = client.encode(tag, message, pieces)
            assert b"".join(pieces) == data
            assert size == len(data)
            seen += 1
    assert seen > 40


@pytest.mark.parametrize(
    ("line", "version"),
    [
        (b"venti-04:02-libventi", "04"),
        (b"venti-02-libventi", "02"),
        (b"venti-02:04-x", "02"),
        (b"venti-04", "04"),
        (b"venti-99-04-x", "04"),
        (b"venti-99-x", None),
        (b"venti-", None),
    ],
)
def test_choice_of_version(line: bytes, version: str | None) -> None:
    assert choose(line) == version


@pytest.mark.parametrize("line", [b"", b"vent", b"GET / HTTP/1.1", b"venti-04\r", b"venti-\x00", b"venti-\x80"])
def test_what_is_no_version_line(line: bytes) -> None:
    with pytest.raises(Malformed):
        choose(line)


HELLO = bytes.fromhex("00000014 04 00 0002 3034 0009 616e6f6e796d6f7573 00 00 00")


@pytest.mark.parametrize(
    "data",
    [
        b"venti-04\r\n",
        b"x" * 2000,
        b"venti-04-x\n" + bytes.fromhex("00000002 1000"),
        b"venti-04-x\n" + HELLO.replace(b"\x04\x00\x00\x02", b"\x04\x01\x00\x02"),
        b"venti-04-x\n" + HELLO.replace(b"04\x00\x09", b"02\x00\x09"),
        b"venti-04-x\n" + HELLO[:3] + b"\x15" + HELLO[4:] + b"\0",
        b"venti-04-x\n" + HELLO + bytes.fromhex("00000001 10"),
        b"venti-04-x\n" + HELLO + bytes.fromhex("00000005 0c01 000000"),
        b"venti-04-x\n" + HELLO + bytes.fromhex("00000003 1001 00"),
        b"venti-04-x\n" + HELLO + bytes.fromhex("7fffffff 1001"),
    ],
)
async def test_malformed_ends_the_connection(data: bytes) -> None:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, MemoryStore())
        with contextlib.suppress(trio.BrokenResourceError):
            await near.send_all(data)
        with trio.fail_after(5):
            while await near.receive_some():
                pass


async def test_silent_client_is_hung_up_on(autojump_clock: trio.testing.MockClock) -> None:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, MemoryStore())
        await near.receive_some()
        assert await near.receive_some() == b""
    assert 29 < trio.current_time() < 60


@given(some.lists(some.binary(min_size=1, max_size=50), max_size=4), some.booleans())
def test_garbage_disturbs_nobody_else(chunks: list[bytes], framed: bool) -> None:
    async def scene() -> None:
        store = MemoryStore()
        bad, bad_far = trio.testing.memory_stream_pair()
        good, good_far = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_stream, bad_far, store)
            nursery.start_soon(serve_stream, good_far, store)
            async with connected(good) as client:
                with contextlib.suppress(trio.BrokenResourceError):
                    if framed:
                        await bad.send_all(b"venti-04-x\n" + HELLO)
                    for chunk in chunks:
                        await bad.send_all(len(chunk).to_bytes(4, "big") + chunk if framed else chunk)
                await bad.aclose()
                score = await client.write(BlockType.DATA, b"fine")
                assert await client.read(score, BlockType.DATA, 10) == b"fine"

    trio.run(scene)


@given(some.binary(max_size=60), some.booleans())
def test_any_body_is_a_message_or_malformed(data: bytes, greeted: bool) -> None:
    dialect = VentiDialect("04")
    if greeted:
        dialect.decode_request(memoryview(HELLO)[4:])
    for decode in (dialect.decode_request, dialect.decode_reply):
        with contextlib.suppress(Malformed, UnknownMessage):
            decode(memoryview(data))


class Liar(MemoryStore):
    """A server's store that gives other bytes than it should."""

    def read_nowait(self, score: Score, type: BlockType, limit: int) -> bytes:
        return b"lies"


async def test_client_believes_nothing() -> None:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, Liar())
        async with connected(near, "venti liar") as client:
            score = await client.write(BlockType.DATA, b"truth")
            with pytest.raises(DamagedBlock, match="venti liar"):
                await client.read(score, BlockType.DATA, 10)


async def test_refusals_keep_their_class() -> None:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, MemoryStore())
        async with connected(near) as client:
            with pytest.raises(BlockNotFound) as missing:
                await client.read(Score.of(b"x"), BlockType.ROOT, 10)
            assert missing.value.type == 16
            score = await client.write(BlockType.DATA, b"12345")
            with pytest.raises(ReadTooSmall) as small:
                await client.read(score, BlockType.DATA, 4)
            assert (small.value.asked, small.value.size) == (4, 5)
            with pytest.raises(Refusal, match="unknown request"):
                await client._client.call(m.Thello("04", "again"))


async def test_lost_link_fails_all_calls() -> None:
    near, far = trio.testing.memory_stream_pair()

    class Hanging:
        async def write(self, *_: object) -> Score:
            await far.aclose()
            await trio.sleep_forever()
            raise AssertionError

        read = sync = aclose = write

    failures = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, Hanging())
        async with connected(near) as client:

            async def write(n: int) -> None:
                try:
                    await client.write(BlockType.DATA, b"%d" % n)
                except ConnectionLost:
                    failures.append(n)

            async with trio.open_nursery() as writers:
                for n in range(300):
                    writers.start_soon(write, n)
    assert len(failures) == 300
