"""What every block store does. Subclass it and supply ``store``."""

from __future__ import annotations

import random
from contextlib import AbstractAsyncContextManager

import pytest
import trio

from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, BlockTooLarge, ReadTooSmall
from venti.blocks.score import ZERO_SCORE, Score
from venti.protocol.messages import LARGEST_BLOCK
from venti.stores.interface import BlockStore

DATA = BlockType.DATA


class BlockStoreContract:
    """An empty store."""

    def store(self) -> AbstractAsyncContextManager[BlockStore]:
        raise NotImplementedError

    @pytest.mark.parametrize("size", [1, 2, 127, 128, 129, 4096, 8191, 8192, LARGEST_BLOCK])
    @pytest.mark.parametrize("kind", ["random", "zeros", "text"])
    async def test_a_block_comes_back(self, size: int, kind: str) -> None:
        makers = {"random": random.Random(size).randbytes(size), "zeros": bytes(size), "text": (b"grid " * size)[:size]}
        data = makers[kind]
        async with self.store() as store:
            score = await store.write(DATA, data)
            assert score == Score.of(data)
            assert await store.read(score, DATA, LARGEST_BLOCK) == data
            assert await store.read(score, DATA, size) == data
            with pytest.raises(ReadTooSmall, match=f"asked for {size - 1} need at least {size}"):
                await store.read(score, DATA, size - 1)

    async def test_every_type_is_kept_apart(self) -> None:
        async with self.store() as store:
            score = await store.write(BlockType.DIR, b"block")
            with pytest.raises(BlockNotFound, match=f"no block with score {score}/0 exists"):
                await store.read(score, DATA, 100)
            for kind in BlockType:
                await store.write(kind, b"block")
            for kind in BlockType:
                assert await store.read(score, kind, 100) == b"block"

    async def test_pointers_to_data_and_to_directories_are_one_type(self) -> None:
        async with self.store() as store:
            score = await store.write(BlockType.DATA_1, b"pointers")
            assert await store.read(score, BlockType.DIR_1, 100) == b"pointers"

    async def test_empty_block(self) -> None:
        async with self.store() as store:
            assert await store.write(DATA, b"") == ZERO_SCORE
            assert await store.read(ZERO_SCORE, BlockType.ROOT, 0) == b""

    async def test_too_large(self) -> None:
        async with self.store() as store:
            with pytest.raises(BlockTooLarge, match="lump too large"):
                await store.write(DATA, bytes(LARGEST_BLOCK + 1))
            with pytest.raises(BlockNotFound):
                await store.read(Score.of(bytes(LARGEST_BLOCK + 1)), DATA, LARGEST_BLOCK)

    async def test_any_buffer(self) -> None:
        async with self.store() as store:
            for data in (b"abc", bytearray(b"abc"), memoryview(b"xabcx")[1:4]):
                assert await store.read(await store.write(DATA, data), DATA, 3) == b"abc"

    async def test_many_at_once(self) -> None:
        async with self.store() as store:
            blocks = [random.Random(n % 150).randbytes(2000) for n in range(400)]

            async def work(block: bytes) -> None:
                score = await store.write(DATA, block)
                assert await store.read(score, DATA, 2000) == block

            async with trio.open_nursery() as nursery:
                for block in blocks:
                    nursery.start_soon(work, block)
                nursery.start_soon(store.sync)

    async def test_sync_and_close(self) -> None:
        async with self.store() as store:
            await store.sync()
            await store.write(DATA, b"x")
            await store.sync()
            await store.sync()
            await store.aclose()
            await store.aclose()
