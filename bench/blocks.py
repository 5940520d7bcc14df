"""Data to store: the same for every server, new for every run."""

from __future__ import annotations

import random

PROSE = (
    b"the of and to in a is that for it as was with be by on not he his but at are this have from or had an they "
    b"which one you were all her she there would their we him been has when who will no more if out so said what "
    b"arena block clump epoch fid qid score snapshot venti fossil"
)
WORDS = PROSE.split()


def incompressible(count: int, size: int, seed: int) -> list[bytes]:
    """Blocks of random bytes."""
    source = random.Random(seed)
    return [source.randbytes(size) for _ in range(count)]


def textual(count: int, size: int, seed: int) -> list[bytes]:
    """Blocks of words: they compress to about a half, as prose does."""
    source = random.Random(seed)
    sentences = [b" ".join(source.choices(WORDS, k=12)) + b".\n" for _ in range(4096)]
    blocks = []
    for _ in range(count):
        text = b"".join(source.choices(sentences, k=size // 40 + 1))
        blocks.append((text * (size // len(text) + 1))[:size])
    return blocks
