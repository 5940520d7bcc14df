"""What every file with a place in it does, whatever it is reached by, against Python's own files."""

from __future__ import annotations

import io
import os
import random
from contextlib import AbstractAsyncContextManager

import pytest
from trio.testing import MockClock

from ninep.client.connection import DIALECTS
from ninep.client.lasting import LastingTree
from ninep.client.tree import RemoteTree
from ninep.protocol.errors import BadFidUse, FileError, FileExists, FileNotFound, InvalidArgument


class OpenedFiles:
    """Subclasses give a tree, and may disturb it."""

    def tree(self, version: str) -> AbstractAsyncContextManager[RemoteTree | LastingTree]:
        """An empty tree."""
        raise NotImplementedError

    async def disturb(self) -> None:
        """Called between two steps of a test."""

    async def test_lines(self, autojump_clock: MockClock) -> None:
        text = b"".join(b"line %d\n" % number * (number % 5) for number in range(3000)) + b"without an end"
        async with self.tree(DIALECTS[0]) as tree:
            await tree.write_bytes("file", text)
            async with await tree.open_file("file") as file:
                lines = []
                async for line in file:
                    lines.append(line)
                    if len(lines) % 1000 == 0:
                        await self.disturb()
                assert lines == text.splitlines(keepends=True)
                assert file.tell() == len(text)
                await file.seek(3)
                assert await file.readline(4) == text[3:7]
                assert await file.readline() == text[7:].splitlines(keepends=True)[0]

    @pytest.mark.parametrize("version", DIALECTS)
    @pytest.mark.parametrize("seed", range(4))
    async def test_a_place_as_python_has_it(self, autojump_clock: MockClock, version: str, seed: int) -> None:
        chance = random.Random(seed)
        model = io.BytesIO()
        async with self.tree(version) as tree, await tree.open_file("file", "w+b") as file:
            for _ in range(150):
                size = chance.choice((0, 1, 100, 5000, 20_000))
                if not chance.randrange(5):
                    await self.disturb()
                match chance.choice(("read", "readinto", "write", "seek", "end", "line", "truncate", "tell")):
                    case "read":
                        assert await file.read(size) == model.read(size)
                    case "readinto":
                        one, two = bytearray(size), bytearray(size)
                        assert await file.readinto(one) == model.readinto(two)
                        assert one == two
                    case "write":
                        data = chance.randbytes(size)
                        assert await file.write(data) == model.write(data)
                    case "seek":
                        place = chance.randrange(60_000)
                        assert await file.seek(place) == model.seek(place)
                    case "end":
                        back = min(size, len(model.getvalue()))
                        assert await file.seek(-back, os.SEEK_END) == model.seek(-back, os.SEEK_END)
                    case "line":
                        assert await file.readline(size) == model.readline(size)
                    case "truncate":
                        place = chance.randrange(60_000)
                        await file.truncate(place)
                        length = len(model.getvalue())
                        if place > length:
                            at = model.tell()
                            model.seek(length)
                            model.write(bytes(place - length))
                            model.seek(at)
                        model.truncate(place)
                    case "tell":
                        assert file.tell() == model.tell()
            await file.flush()
            assert await tree.read_bytes("file") == model.getvalue()

    async def test_modes(self, autojump_clock: MockClock) -> None:
        async with self.tree(DIALECTS[0]) as tree:
            with pytest.raises(FileNotFound):
                await tree.open_file("none", "r")
            async with await tree.open_file("file", "x") as file:
                await file.write(b"one")
            with pytest.raises(FileExists):
                await tree.open_file("file", "x")
            async with await tree.open_file("file", "ab") as file:
                await self.disturb()
                await file.write(b" two")
                await self.disturb()
                with pytest.raises(FileError):
                    await file.read(1)
            async with await tree.open_file("file", "r+") as file:
                await file.seek(4)
                await file.write(b"TWO")
                await self.disturb()
                with pytest.raises(InvalidArgument):
                    await file.seek(-1)
            async with await tree.open_file("file") as file:
                assert await file.read() == b"one TWO"
                with pytest.raises(BadFidUse):
                    await file.write(b"x")
            async with await tree.open_file("file", "w"):
                pass
            assert await tree.read_bytes("file") == b""
            with pytest.raises(ValueError, match="no mode"):
                await tree.open_file("file", "rw")
