"""The version lines that both sides send before anything else. Source: venti(6)."""

from __future__ import annotations

import re

import trio

from ninep.net.errors import ConnectionLost, Malformed
from ninep.wire.frames import FrameBuffer
from venti.protocol.dialect import FORMATS, LONGEST_FRAME, VERSIONS

LINE = b"venti-" + ":".join(VERSIONS).encode() + b"-ninegrid\n"
LONGEST_LINE = 1022
"""Bytes of a line, its newline not counted."""

_HUNG_UP = "the other side hung up before it said its version: is it a venti, and is its address perhaps a tls! one?"


def choose(line: bytes) -> str | None:
    """The version to speak with whoever sent ``line``: the first of the peer's that is ours, None if there is none.

    Raises:
        Malformed: it is no version line.
    """
    if not line.startswith(b"venti-") or any(not 0x20 <= letter <= 0x7F for letter in line):
        raise Malformed(f"{line[:40]!r} is no version line of venti")
    for token in re.split("[:-]", line.decode("ascii")):
        if token in VERSIONS:
            return token
    return None


async def exchange_versions(stream: trio.abc.Stream) -> tuple[str, FrameBuffer]:
    """Sends our line and reads the peer's; the same for both roles.

    Returns the version, and the buffer with what has come after the line.

    Raises:
        Malformed: the peer does not speak venti, or no version of ours.
        ConnectionLost: it hung up.
    """
    buffer = FrameBuffer(FORMATS["04"], LONGEST_FRAME)
    try:
        await stream.send_all(LINE)
        while (line := buffer.take_line(LONGEST_LINE)) is None:
            data = await stream.receive_some(4096)
            if not data:
                raise ConnectionLost(_HUNG_UP)
            buffer.feed(bytes(data))
    except trio.BrokenResourceError as error:
        raise ConnectionLost(_HUNG_UP) from error
    version = choose(line)
    if version is None:
        raise Malformed(f"no common version: the other side says {line.decode('ascii')!r}")
    buffer.format = FORMATS[version]
    return version, buffer
