"""9P messages at the console: how they are typed and shown, and a conversation."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from fossil.commands.interpreter import Interpreter
from fossil.console import messagetext
from ninep.protocol import messages as m
from ninep.protocol.stat import Stat
from programs.console_talk import OPEN, say, served, transcript

CONVERSATION = """
        > 9p Tversion 8192 9P2000
            -> Tversion tag 65535 msize 8192 version '9P2000'
            <- Rversion tag 65535 msize 8192 version '9P2000'
        > 9p Tattach 0 -1 glenda main/active
            -> Tattach tag 1 fid 0 afid -1 uname glenda aname main/active
            <- Rattach tag 1 qid (0000000000000002 1 d)
        > 9p nexttag 10
        > 9p Twalk 0 1 adm users
            -> Twalk tag 10 fid 0 newfid 1 nwname 2 0:adm 1:users
            <- Rwalk tag 10 nwqid 2 0:(0000000000000010 1 d) 1:(0000000000000011 1 )
        > 9p Twalk 0 2
            -> Twalk tag 11 fid 0 newfid 2 nwname 0
            <- Rwalk tag 11 nwqid 0
        > 9p Topen 1 0
            -> Topen tag 12 fid 1 mode 0
            <- Ropen tag 12 qid (0000000000000011 1 ) iounit 0
        > 9p Tread 1 0 11
            -> Tread tag 13 fid 1 offset 0 count 11
            <- Rread tag 13 count 11 'adm:adm:adm'
        > 9p Tstat 1
            -> Tstat tag 14 fid 1
            <- Rstat tag 14 stat 'users' 'adm' 'adm' 'adm' q (0000000000000011 1 ) m 0664 at ... mt ... l 84 t 0 d 0
        > 9p Tclunk 1
            -> Tclunk tag 15 fid 1
            <- Rclunk tag 15
        > 9p Tcreate 2 new 644 1
            -> Tcreate tag 16 fid 2 name new perm --rw-r--r-- mode 1
            <- Rcreate tag 16 qid (0000000000000012 0 ) iounit 0
        > 9p Twrite 2 0 'some text'
            -> Twrite tag 17 fid 2 offset 0 count 9 'some text'
            <- Rwrite tag 17 count 9
        > 9p Twstat 2 other '' '' ~0 ~0 4
            -> Twstat tag 18 fid 2 stat 'other' '' '' '' q (...) m 037777777777 at -1 mt -1 l 4 ...
            <- Rwstat tag 18
        > stat /active/other
            stat /active/other other glenda glenda 644 4
        > who
            console glenda
        > 9p Tremove 2
            -> Tremove tag 19 fid 2
            <- Rremove tag 19
        > 9p Tremove 2
            -> Tremove tag 20 fid 2
            <- Rerror tag 20 ename fid unknown or out of range
        > 9p Tauth 5 glenda main
            -> Tauth tag 21 afid 5 uname glenda aname main
            <- Rerror tag 21 ename ...
        > 9p Tflush 3
            -> Tflush tag 22 oldtag 3
            <- Rflush tag 22
        > 9p Tversion 10000000 9P2000
            msize too big: at most 65536 here
        > 9p Tversion 8192 9P1
            -> Tversion tag 65535 msize 8192 version '9P1'
            <- Rversion tag 65535 msize ... version 'unknown'
        > 9p
            usage: 9p T-message ...
        > 9p Tother 1
            usage: 9p T-message ...
        > 9p Topen 1
            usage: Topen fid mode
        > 9p Topen x 0
            usage: Topen fid mode
        > 9p Twalk 1
            usage: Twalk fid newfid [name...]
        > 9p Twalk 0 1 a a a a a a a a a a a a a a a a a
            Twalk: too many names
        """


async def test_a_conversation(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        assert await say(interpreter, OPEN) == ""
        await transcript(interpreter, CONVERSATION)


async def test_the_conversation_begins_anew_when_it_has_ended(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        interpreter, other = Interpreter(server), Interpreter(server)
        await say(interpreter, OPEN)
        await say(interpreter, "9p Tversion 8192 9P2000\n9p Tattach 0 -1 glenda main")
        assert "Rwalk" in await say(other, "9p Twalk 0 1 active")
        await say(interpreter, "close -f")
        await trio.testing.wait_all_tasks_blocked()
        assert "the next message begins another" in await say(interpreter, "9p Tstat 1")
        assert "no version agreed" in await say(interpreter, "9p Tstat 1")


@pytest.mark.parametrize(
    ("typed", "request_"),
    [
        ("Tread 1 0x10 010", m.Tread(1, 16, 8)),
        ("Tread ~0 ~0 ~0", m.Tread(0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFF)),
        ("Tattach 0 -1 u a", m.Tattach(0, m.NOFID, "u", "a")),
        ("Tcreate 1 dir 20000000755 0", m.Tcreate(1, "dir", 0x80000000 | 0o755, 0)),
        ("Twstat 1 n u g 0644 -1 ~0", m.Twstat(1, Stat(name="n", uid="u", gid="g", mode=0o644))),
    ],
)
def test_numbers_are_as_c_reads_them(typed: str, request_: m.Request) -> None:
    name, *words = typed.split()
    assert messagetext.parse(name, words) == request_


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "''"),
        (b"some text\0", "'some text\\0'"),
        (b"a line\n", "'61206c69 6e650a'"),
        (bytes(range(1, 9)), "'01020304 05060708'"),
        (b"a" * 100, "'" + "a" * 64 + "'"),
    ],
)
def test_data_is_shown_as_text_or_in_hexadecimal(data: bytes, text: str) -> None:
    assert messagetext.data_text(data) == text


@pytest.mark.parametrize(
    "typed",
    [
        "Twalk 0 99999999999999999999",
        "Tread 0 0 4294967296",
        "Tread 0 18446744073709551616 1",
        "Tflush 65536",
        "Topen 0 256",
        "Tcreate 0 x 77777777777777 0",
        "Tcreate 0 x -1 0",
        "Tread x 0 0",
    ],
)
def test_numbers_that_no_message_has(typed: str) -> None:
    name, *words = typed.split()
    with pytest.raises(ValueError, match=f"usage: {name} fid|usage: Tflush oldtag"):
        messagetext.parse(name, words)


async def test_a_message_that_cannot_be_sent(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        await say(interpreter, OPEN)
        assert "Tauth cannot be encoded" in await say(interpreter, f"9p Tauth 0 {'x' * 70000} main")
        assert "Rversion" in await say(interpreter, "9p Tversion 8192 9P2000")
