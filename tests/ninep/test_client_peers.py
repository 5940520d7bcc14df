"""The client against servers that are odd, wrong, slow, or gone."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from fakes.ninep_peer import ROOT, Peer, scripted
from ninep.client.connection import PATIENCE, connected
from ninep.client.remote import RemoteFile
from ninep.net.errors import ConnectionLost, Malformed, Unreachable
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError, FileNotFound, NinepError, PermissionDenied
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat

FILE = Qid(0, 1, 2)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (m.Rversion(8192, "unknown"), "does not speak 9P2000"),
        (m.Rversion(8192, "9P2000.L"), "does not speak 9P2000"),
        (m.Rerror("9P protocol botch"), "9P protocol botch"),
        (m.Rversion(100, "9P2000"), "100 bytes"),
        (m.Rversion(1 << 30, "9P2000"), "were offered"),
    ],
)
async def test_no_agreement(reply: m.Reply, text: str) -> None:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Peer(far).expect, m.Tversion, reply)
        with pytest.raises(NinepError, match=text):
            async with connected(near):
                raise AssertionError("agreed on nothing")


async def test_no_answer(autojump_clock: MockClock) -> None:
    near, _ = trio.testing.memory_stream_pair()
    start = trio.current_time()
    with pytest.raises(Unreachable, match="does it speak 9P"):
        async with connected(near):
            raise AssertionError("agreed with nobody")
    assert trio.current_time() - start < 2 * PATIENCE


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9.2p1\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_another_protocol(said: bytes) -> None:
    near, far = trio.testing.memory_stream_pair()
    if said:
        await far.send_all(said)
    await far.send_eof()
    with pytest.raises(ConnectionLost):
        async with connected(near):
            raise AssertionError("agreed with something else")


async def test_the_smaller_size_is_used() -> None:
    async with scripted(msize=8216) as (root, peer):
        assert root.connection.msize == 8216
        async with trio.open_nursery() as nursery:
            nursery.start_soon(root.read, 0, 1 << 20)
            assert (await peer.expect(m.Tread, m.Rread(b""))).count == 8192


@pytest.mark.parametrize(("offered", "used"), [(0, 8192), (100, 100), (1 << 20, 8192)])
async def test_iounit(offered: int, used: int) -> None:
    async with scripted(msize=8216) as (root, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(root.open)
            await peer.expect(m.Topen, m.Ropen(FILE, offered))
        assert (root.iounit, root.qid, root.mode) == (used, FILE, m.OREAD)


async def answers(peer: Peer, data: bytes, most: int, asked: list[tuple[int, int]]) -> None:
    """Serves reads of a file and never gives more than ``most`` bytes."""
    while True:
        tag, request = await peer.take()
        asked.append((request.offset, request.count))
        await peer.answer(tag, m.Rread(data[request.offset :][: min(request.count, most)]))


@pytest.mark.parametrize("most", [1, 7, 4096, 8191, 8192])
@pytest.mark.parametrize("length", [0, 20_000, 30_000])
async def test_short_reads_are_read_on(most: int, length: int) -> None:
    data = bytes(range(250)) * 80 if most > 7 else bytes(range(100))
    asked: list[tuple[int, int]] = []
    async with scripted() as (root, peer), trio.open_nursery() as nursery:
        nursery.start_soon(answers, peer, data, most, asked)
        assert await root.read_all(length=length) == data
        assert await root.read_range(10, 50) == data[10:60]
        nursery.cancel_scope.cancel()


async def test_a_known_length_is_asked_for_at_once() -> None:
    """One round trip for a small file: its bytes, and whether there are more."""
    asked: list[tuple[int, int]] = []
    async with scripted() as (root, peer), trio.open_nursery() as nursery:
        nursery.start_soon(answers, peer, b"content", 8192, asked)
        assert await root.read_all(length=7) == b"content"
        assert asked == [(0, 7), (7, 8192)]
        nursery.cancel_scope.cancel()


async def test_an_unknown_file_is_asked_for_one_message_at_a_time() -> None:
    """What is no plain file may hang in a read, or give each message once."""
    async with scripted() as (root, peer):
        reading = root.reading()
        for piece in (b"first", b"second"):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer.expect, m.Tread, m.Rread(piece))
                assert await anext(reading) == piece
            assert root.connection.client.in_flight == 0


@pytest.mark.parametrize(
    ("ask", "kind", "reply"),
    [
        (lambda root: root.read(0, 4), m.Tread, m.Rread(b"12345")),
        (lambda root: root.read_range(0, 4), m.Tread, m.Rread(b"12345")),
        (lambda root: root.write(0, b"1234"), m.Twrite, m.Rwrite(5)),
        (lambda root: root.write_range(0, b"1234"), m.Twrite, m.Rwrite(5)),
        (lambda root: root.walk(["a"]), m.Twalk, m.Rwalk([FILE, FILE])),
        (lambda root: root.list(), m.Tread, m.Rread(b"no entries at all")),
    ],
)
async def test_more_than_was_asked(ask: Any, kind: type, reply: m.Reply) -> None:
    async with scripted() as (root, peer), trio.open_nursery() as nursery:
        nursery.start_soon(peer.expect, kind, reply)
        with pytest.raises(Malformed):
            await ask(root)


async def test_short_writes_are_written_on() -> None:
    content = bytearray(20_000)

    async def takes_some(peer: Peer) -> None:
        while True:
            tag, request = await peer.take()
            taken = bytes(request.data[:3000])
            content[request.offset : request.offset + len(taken)] = taken
            await peer.answer(tag, m.Rwrite(len(taken)))

    data = bytes(range(200)) * 100
    async with scripted() as (root, peer), trio.open_nursery() as nursery:
        nursery.start_soon(takes_some, peer)
        await root.write_range(0, data)
        assert content == data
        nursery.cancel_scope.cancel()


async def test_a_server_that_takes_nothing() -> None:
    async def takes_nothing(peer: Peer) -> None:
        while True:
            tag, _ = await peer.take()
            await peer.answer(tag, m.Rwrite(0))

    async with scripted() as (root, peer), trio.open_nursery() as nursery:
        nursery.start_soon(takes_nothing, peer)
        with pytest.raises(FileError, match="short write"):
            await root.write_range(0, b"data")
        nursery.cancel_scope.cancel()


async def test_the_first_refused_write_ends_the_rest() -> None:
    async with scripted() as (root, peer):

        async def full_after_two() -> None:
            for _ in range(2):
                tag, request = await peer.take()
                await peer.answer(tag, m.Rwrite(len(request.data)))
            while True:
                tag, _ = await peer.take()
                await peer.answer(tag, m.Rerror("file system is full"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(full_after_two)
            with pytest.raises(FileError, match="file system is full"):
                await root.write_range(0, bytes(100_000))
            nursery.cancel_scope.cancel()


async def test_link_lost_in_the_middle() -> None:
    async with scripted() as (root, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.hang_up)
            with pytest.raises(ConnectionLost):
                await root.read_all()
        with pytest.raises(ConnectionLost):
            await root.stat()
        with pytest.raises(ConnectionLost):
            await root.walk(["a"])
        assert root.connection.lost is not None
        await root.clunk()


async def test_cancelled_walk_that_was_made_is_clunked() -> None:
    """The answer came before the flush was heard of: the fid is real."""
    async with scripted() as (root, peer):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def serve() -> None:
                    walk, request = await peer.take()
                    scope.cancel()
                    with trio.CancelScope(shield=True):
                        flush, _ = await peer.take()
                        await peer.answer(walk, m.Rwalk([FILE]))
                        await peer.answer(flush, m.Rflush())
                        clunk = await peer.expect(m.Tclunk, m.Rclunk())
                        assert clunk.fid == request.newfid

                nursery.start_soon(serve)
                await root.walk(["a"])
        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert root.connection.client.in_flight == 0


async def test_cancelled_walk_of_unknown_fate_keeps_its_number() -> None:
    async with scripted() as (root, peer):
        numbers: list[int] = []
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def serve() -> None:
                    _, request = await peer.take()
                    numbers.append(request.newfid)
                    scope.cancel()
                    with trio.CancelScope(shield=True):
                        flush, _ = await peer.take()
                        await peer.answer(flush, m.Rflush())
                        await peer.expect(m.Tclunk, m.Rerror("unknown fid"))

                nursery.start_soon(serve)
                await root.walk(["a"])
        await trio.testing.wait_all_tasks_blocked()
        assert root.connection.take_fid() not in numbers


async def test_fid_of_a_file_that_cannot_be_removed_is_given_up() -> None:
    async with scripted() as (root, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.expect, m.Twalk, m.Rwalk([FILE]))
            file = await root.walk(["a"])
        async with trio.open_nursery() as nursery:
            number = file.fid

            async def serve() -> None:
                await peer.expect(m.Tremove, m.Rerror("permission denied"))
                assert (await peer.expect(m.Tclunk, m.Rerror("unknown fid"))).fid == number

            nursery.start_soon(serve)
            with pytest.raises(PermissionDenied):
                await file.remove()
        await trio.testing.wait_all_tasks_blocked()
        assert root.connection.take_fid() == number


async def test_number_is_used_again_only_after_the_answer() -> None:
    async with scripted() as (root, peer):
        connection = root.connection
        fid = connection.take_fid()
        connection.discard(fid)
        assert connection.take_fid() != fid
        await peer.expect(m.Tclunk, m.Rclunk())
        await trio.testing.wait_all_tasks_blocked()
        assert connection.take_fid() == fid


async def test_reasons_of_other_servers() -> None:
    async with scripted() as (root, peer):
        for text, kind in (
            ("directory entry not found", FileNotFound),
            ("'/x/y' file does not exist", FileNotFound),
            ("something else", FileError),
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer.expect, m.Tstat, m.Rerror(text))
                with pytest.raises(kind, match=text):
                    await root.stat()


async def test_sync_that_is_refused() -> None:
    async with scripted() as (root, peer), trio.open_nursery() as nursery:
        nursery.start_soon(peer.expect, m.Twstat, m.Rerror("wstat prohibited"))
        assert not await root.safe()


async def test_entries_as_they_are() -> None:
    entry = Stat(0, 0, FILE, 0o644, 1, 2, 3, "na\udcffme", "u", "g", "m")
    async with scripted() as (root, peer):
        async with trio.open_nursery() as nursery:

            async def serve() -> None:
                await peer.expect(m.Tread, m.Rread(entry.pack() * 2))
                await peer.expect(m.Tread, m.Rread(b""))

            nursery.start_soon(serve)
            assert await root.list() == [entry, entry]
        assert isinstance(root, RemoteFile)
        assert ROOT.is_directory
