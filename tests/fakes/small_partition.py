"""A small arena partition like those of the original venti, made here, for tests that need many of them."""

from __future__ import annotations

from hashlib import sha1
from struct import pack

from venti.plan9 import layout

BLOCK = 512
START = 270336
SIZE = 16 * BLOCK
MAGIC = {4: 0xD15CB10C, 5: 0x12345678}
BLOCKS = [(13, bytes([n]) * (n * 7 % 150 + 1)) for n in range(1, 25)] + [
    (2, b"entries"),
    (3, b"pointers"),
    (1, b"root"),
]


def partition(*, version: int = 5, sealed: bool = True) -> bytes:
    """The whole file, with ``BLOCKS`` in one arena."""
    base = layout.HEADER_AT + layout.HEADER_SIZE
    table = b"1\nsmall0\t%d\t%d\n" % (START, START + SIZE)
    head = pack(">IIII", 0xA9E4A5E7, 3, BLOCK, START).ljust(layout.HEADER_SIZE, b"\0")
    front = (b"\0" * layout.HEADER_AT + head).ljust(base, b"\0") + table
    return front.ljust(START, b"\0") + arena(version=version, sealed=sealed)


def arena(*, version: int, sealed: bool) -> bytes:
    """The arena alone."""
    magic = MAGIC[version]
    log = b""
    entries = []
    for type, data in BLOCKS:
        score = sha1(data).digest()
        log += pack(">IBHH20sBII", magic, type, len(data), len(data), score, 1, 0, 0) + data
        entries.append(pack(">BHH20s", type, len(data), len(data), score))
    per_block = BLOCK // 25
    groups = [entries[at : at + per_block] for at in range(0, len(entries), per_block)]
    directory = b"".join(b"".join(group).ljust(BLOCK, b"\0") for group in reversed(groups))
    head = pack(">II64sIQ", layout.HEAD_MAGIC, version, b"small0", BLOCK, SIZE) + (pack(">I", magic) * (version == 5))
    tail = pack(">II64sIIII", 0xF2A14EAD, version, b"small0", len(entries), 0, 0, 0) + (
        pack(">I", magic) * (version == 5)
    )
    tail += pack(">QQBB", len(log), sum(len(data) for _, data in BLOCKS), sealed, 0)
    room = SIZE - 2 * BLOCK - len(log) - len(directory)
    whole = head.ljust(BLOCK, b"\0") + log + bytes(room) + directory + tail.ljust(BLOCK, b"\0")
    return whole[: -layout.SEAL_SIZE] + sha1(whole).digest() if sealed else whole
