"""The proxy: what is asked of the file server, and that nothing it answers is ever stale."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import trio

from ninep.protocol import messages as m
from ninep.protocol.errors import FileNotFound, PermissionDenied
from ninep.protocol.stat import Stat
from programs.behind_cache import MIB
from programs.cached_file import DATA, setting, whole


@pytest.mark.parametrize("count", [4096, 100_000, MIB])
@pytest.mark.parametrize("max_msize", [8192 + 24, MIB + 24])
async def test_what_was_read_is_not_asked_again(tmp_path: Path, count: int, max_msize: int) -> None:
    async with setting(tmp_path, max_msize=max_msize) as (one, raw, _):
        assert await whole(raw, "f", count=count) == DATA
        assert one.sent["Tread"] * (max_msize - 24) >= len(DATA)
        one.forget_sent()
        assert await whole(raw, "f", count=count) == DATA
        assert one.sent == Counter(Twalk=1, Topen=1, Tstat=1, Tclunk=1)


async def test_another_user_shares_the_bytes_and_not_the_rights(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, raw, direct), one.client("mallory") as other:
        await direct.made("private", perm=0o600, data=b"secret")
        assert await whole(raw, "private") == b"secret"
        with pytest.raises(PermissionDenied):
            await other.open("private")
        assert await whole(raw, "f") == DATA
        one.forget_sent()
        assert await whole(other, "f") == DATA
        assert not one.sent["Tread"]


async def test_change_behind_the_back_is_seen_at_the_next_open(tmp_path: Path) -> None:
    async with setting(tmp_path) as (_, raw, direct):
        for turn in range(5):
            await whole(raw, "f")
            fid = await direct.open("f", mode=m.OWRITE)
            await direct.ask(m.Twrite(fid, turn * 1000, b"changed %d" % turn))
            await direct.ask(m.Tclunk(fid))
            assert await whole(raw, "f") == await direct.content("f")


async def test_open_file_sees_what_a_stat_has_told(tmp_path: Path) -> None:
    async with setting(tmp_path, data=b"one line\n") as (_, raw, direct):
        fid = await raw.open("f")
        assert await raw.read(fid) == b"one line\n"
        writer = await direct.open("f", mode=m.OWRITE)
        await direct.ask(m.Twrite(writer, 9, b"two lines\n"))
        assert (await raw.ask(m.Tstat(fid))).stat.length == 19
        assert await raw.read(fid, 9) == b"two lines\n"
        assert await raw.read(fid) == b"one line\ntwo lines\n"


async def test_length_changed_without_a_new_version(tmp_path: Path) -> None:
    """Some servers leave the version alone when a wstat cuts a file."""
    async with setting(tmp_path, data=b"0123456789") as (one, raw, _):
        assert await whole(raw, "f") == b"0123456789"
        node = one.tree._root.node.children["f"].node
        one.tree.resize(node, 4)
        assert await whole(raw, "f") == b"0123"


async def test_writes_go_through_and_are_seen_at_once(tmp_path: Path) -> None:
    async with setting(tmp_path) as (_, raw, direct):
        await whole(raw, "f")
        fid = await raw.open("f", mode=m.ORDWR)
        other = await raw.open("f")
        expected = bytearray(DATA)
        for at in (0, 70_000, len(DATA) - 5, len(DATA) + 1000):
            assert await raw.read(fid, at, 10) == expected[at : at + 10]
            expected[at : at + 10] = bytes(max(0, at - len(expected))) + b"0123456789"
            assert (await raw.ask(m.Twrite(fid, at, b"0123456789"))).count == 10
            for reader in (fid, other):
                assert await raw.read(reader, at, 10) == b"0123456789"
            assert await direct.content("f") == expected
        assert await whole(raw, "f") == expected


async def test_a_large_write_to_a_server_of_small_messages(tmp_path: Path) -> None:
    async with setting(tmp_path, max_msize=8192 + 24) as (_, raw, direct):
        fid = await raw.open("f", mode=m.ORDWR)
        assert (await raw.ask(m.Twrite(fid, 5, DATA[:500_000]))).count == 500_000
        assert (await direct.content("f"))[:500_005] == DATA[:5] + DATA[:500_000]
        assert await raw.read(fid, 5, 500_000) == DATA[:500_000]


async def test_a_write_while_the_file_is_being_read(tmp_path: Path) -> None:
    """What was on its way before the write is kept for nobody who opens after it."""
    async with setting(tmp_path) as (one, raw, direct):
        reader = await raw.open("f")
        writer = await raw.open("f", mode=m.OWRITE)
        one.gate.shut()
        read = raw.client.begin(m.Tread(reader, 0, 65536))
        write = raw.client.begin(m.Twrite(writer, 0, b"new"))
        raw.client.send()
        await trio.testing.wait_all_tasks_blocked()
        one.gate.open()
        await raw.client.wait(read)
        await raw.client.wait(write)
        assert await whole(raw, "f") == await direct.content("f") == b"new" + DATA[3:]


async def test_truncation_removal_and_rename(tmp_path: Path) -> None:
    async with setting(tmp_path) as (_, raw, direct):
        await whole(raw, "f")
        await raw.ask(m.Twstat(await raw.walk("f"), Stat(name="g")))
        assert await whole(raw, "g") == DATA
        await raw.ask(m.Twstat(await raw.walk("g"), Stat(length=7)))
        assert await whole(raw, "g") == DATA[:7]
        await raw.ask(m.Tclunk(await raw.open("g", mode=m.OWRITE | m.OTRUNC)))
        assert await whole(raw, "g") == b""
        await raw.ask(m.Tremove(await raw.walk("g")))
        with pytest.raises(FileNotFound):
            await raw.walk("g")
        assert await direct.list() == []
