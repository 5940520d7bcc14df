"""A length that no file can have is refused by every tree, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ninep.protocol import messages_linux as lm
from ninep.protocol.attributes import SetAttributes
from ninep.protocol.errors import FileTooBig
from programs.opened_export import exported


@pytest.mark.parametrize("size", [1 << 63, (1 << 64) - 1])
async def test_a_length_beyond_63_bits(size: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    async with exported(tmp_path, lm.VERSION) as tree, await tree.walk("file") as file:
        with pytest.raises(FileTooBig):
            await file.setattr(SetAttributes(size=size))
    assert (tmp_path / "file").read_text() == "content"
