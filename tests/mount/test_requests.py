"""Requests that are sent together: what each is answered, and that no fid is taken twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from ninep.mount import requests
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.errors import FileError, FileExists, FileNotFound
from programs.opened_export import exported

DIALECTS = pytest.mark.parametrize("version", [m.VERSION, m.VERSION_UNIX, lm.VERSION])
ORDER = pytest.mark.parametrize("in_order", [True, False], ids=["in order", "in any order"])


@DIALECTS
@ORDER
@pytest.mark.parametrize("gone", [{3}, {0}, {9}, {2, 3, 7}, set(range(10)), set()], ids=str)
async def test_a_name_that_is_gone_costs_no_other_one(
    version: str, in_order: bool, gone: set[int], tmp_path: Path
) -> None:
    """As happens to whoever lists a directory while files in it come and go."""
    for number in set(range(10)) - gone:
        (tmp_path / f"f{number}").write_bytes(b"x" * number)
    async with exported(tmp_path, version) as tree:
        tree.connection.in_order = in_order
        for _ in range(3):
            found = await requests.find_all(tree.root, [f"f{number}" for number in range(10)])
            for number, one in enumerate(found):
                if number in gone:
                    assert isinstance(one, FileNotFound)
                else:
                    assert not isinstance(one, FileError)
                    file, attributes = one
                    assert attributes.size == number == (await file.stat()).length
            for one in found:
                if not isinstance(one, FileError):
                    await one[0].clunk()
        assert tree.connection.in_order is in_order


@ORDER
async def test_making_what_is_there_gives_no_fid_away(in_order: bool, tmp_path: Path) -> None:
    async with exported(tmp_path, lm.VERSION) as tree:
        tree.connection.in_order = in_order
        await requests.made(tree.root, "d", 0o755, 0, requests.find)
        for _ in range(3):
            with pytest.raises(FileExists):
                await requests.made(tree.root, "d", 0o755, 0, requests.find)
            directory, _ = await requests.find(tree.root, "d")
            assert directory.qid.is_directory
