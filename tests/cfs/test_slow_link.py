"""A link of 50 ms, between real processes: what was read once is as near as the disk, and what is new comes in time.

The bounds are those of the design; what is measured is far from them, so that a busy machine does not matter.
"""

from __future__ import annotations

import json
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import trio

from ninep.client.tree import RemoteTree, connect
from programs.processes import Program, free_port, run

pytestmark = pytest.mark.process

ROUND_TRIP = 0.05
PACKAGES = {"past": ("encodings", 60), "now": ("json", 5)}
"""Of the standard library, and how many files: each takes a client with one request in flight four round trips."""
BIG = Random(1).randbytes(2 << 20)
UNIT = 32 * 1024


class Link:
    """A file server behind a slow link, and a cache before that."""

    def __init__(self, root: Path) -> None:
        far, link, near = free_port(), free_port(), free_port()
        self.far, self.direct, self.cached = (f"tcp!127.0.0.1!{port}" for port in (far, link, near))
        self.programs = [
            Program(far, "ninep", "ramfs", self.far, log=root / "ramfs.log"),
            Program(link, "bench.relay", str(link), str(far), str(ROUND_TRIP), log=root / "relay.log"),
            Program(
                near,
                *("cfs", "serve", "-a", self.direct, "--listen", self.cached, "--cache", f"{root}/cache"),
                *("--immutable", ":past"),
                log=root / "cfs.log",
            ),
        ]

    def close(self) -> None:
        for program in reversed(self.programs):
            program.kill()


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Link]:
    root = tmp_path_factory.mktemp("link")
    (root / "big").write_bytes(BIG)
    one = Link(root)
    try:
        for place, (package, count) in PACKAGES.items():
            copy = root / place
            copy.mkdir()
            for path in sorted(Path(sysconfig.get_path("stdlib"), package).glob("*.py"))[:count]:
                (copy / path.name).write_bytes(path.read_bytes())
            run("ninep", "-a", one.far, "put", "-r", str(copy), place)
        run("ninep", "-a", one.far, "put", f"{root}/big", "big")
        yield one
    finally:
        one.close()


async def one_after_the_other(tree: RemoteTree, path: str) -> dict[str, bytes]:
    """Everything below a directory, with one request in flight."""
    found: dict[str, bytes] = {}
    for entry in await tree.listdir(path):
        inner = f"{path}/{entry.name}"
        if entry.is_directory:
            found |= await one_after_the_other(tree, inner)
            continue
        async with tree.open(inner) as file:
            data = b""
            while piece := await file.read(len(data), UNIT):
                data += piece
        found[inner.partition("/")[2]] = data
    return found


def timed(address: str, path: str) -> tuple[float, dict[str, bytes]]:
    async def work() -> tuple[float, dict[str, bytes]]:
        async with connect(address) as tree:
            begun = time.perf_counter()
            found = await one_after_the_other(tree, path)
            return time.perf_counter() - begun, found

    return trio.run(work)


def test_a_tree_that_never_changes(link: Link) -> None:
    """The first time its files are fetched ahead of the reader, the second time nothing is asked."""
    direct, expected = timed(link.direct, "past")
    first, found = timed(link.cached, "past")
    again = [timed(link.cached, "past") for _ in range(3)]
    second = min(seconds for seconds, _ in again)
    assert all(seen == expected for seen in (found, *(seen for _, seen in again)))
    assert len(found) == PACKAGES["past"][1]
    assert first * 5 < direct, (first, direct)
    assert second * 20 < direct, (second, direct)


def test_a_live_tree_costs_what_asking_costs_and_no_more(link: Link) -> None:
    """Every open is asked about, and nothing comes over the link for the bytes."""

    def fetched() -> int:
        return int(json.loads(run("cfs", "stats", "--json", "-a", link.cached))["values"]["bytesfromserver"])

    _, expected = timed(link.far, "now")
    assert timed(link.cached, "now")[1] == expected
    before = fetched()
    assert timed(link.cached, "now")[1] == expected
    assert fetched() == before


def test_reading_ahead_beats_one_request_in_flight(link: Link) -> None:
    async def read(address: str) -> float:
        async with connect(address) as tree, tree.open("big") as file:
            begun = time.perf_counter()
            data = b""
            while piece := await file.read(len(data), UNIT // 2):
                data += piece
            assert data == BIG
            return time.perf_counter() - begun

    direct, first = trio.run(read, link.direct), trio.run(read, link.cached)
    assert first * 5 < direct, (first, direct)
