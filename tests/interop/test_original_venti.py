"""The original programs and ours, each as client and as server of the other; and what the original leaves on disk."""

from __future__ import annotations

import gzip
import hashlib
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from ninep.client.tree import connect
from programs.plan9port import ROOT, OriginalVenti, needs, original
from programs.processes import Program, free_port, run, run_bytes, running
from programs.venti_program import venti
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.log.opening import open_disk_store
from venti.plan9.partition import Block, Partition
from venti.stores import remote as venti_client

pytestmark = [
    pytest.mark.process,
    needs("venti/venti", "venti/fmtarenas", "venti/fmtisect", "venti/fmtindex", "venti/copy", "vac", "unvac"),
]

RECORDED = Path(__file__).parents[1] / "recorded/venti"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tree")
    with tarfile.open(RECORDED / "vac/tree.tar.gz") as tar:
        tar.extractall(path, filter="fully_trusted")
    return path / "tree"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("ours")
    port = free_port()
    address = f"tcp!127.0.0.1!{port}"
    with running(Program(port, "venti", "serve", address, "--store", str(path / "store"), log=path / "log")):
        yield address


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OriginalVenti]:
    server = OriginalVenti(tmp_path_factory.mktemp("theirs") / "venti")
    yield server
    server.stop()


def digests(path: Path) -> dict[str, str]:
    """Every file below ``path`` by its name, with a digest of its contents."""
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file() and not file.is_symlink()
    }


@pytest.mark.parametrize("size", [1, 300, 8192, 57344])
def test_their_tools_write_and_read_our_blocks(ours: str, size: int) -> None:
    block = random.Random(size).randbytes(size)
    score = original("venti/write", "-h", ours, stdin=block).stdout.decode().strip()
    assert score == str(Score.of(block))
    original("venti/sync", "-h", ours)
    assert original("venti/read", "-h", ours, "-t", "0", score).stdout == block
    assert run_bytes("venti", "read", "-h", ours, score) == block


def test_their_vac_on_our_server(ours: str, tree: Path, tmp_path: Path) -> None:
    original("vac", "-h", ours, "-f", tmp_path / "tree.vac", "tree", cwd=tree.parent)
    assert "nothing wrong" in run("venti", "check", "-h", ours, str(tmp_path / "tree.vac"))
    for name in ("theirs", "ours"):
        (tmp_path / name).mkdir()
    original("unvac", "-h", ours, tmp_path / "tree.vac", cwd=tmp_path / "theirs")
    run("venti", "unvac", "-h", ours, str(tmp_path / "tree.vac"), cwd=tmp_path / "ours")
    assert digests(tmp_path / "theirs/tree") == digests(tmp_path / "ours/tree") == digests(tree)


def test_our_vac_on_their_server(theirs: OriginalVenti, tree: Path, tmp_path: Path) -> None:
    run("venti", "vac", "-h", theirs.address, "-f", str(tmp_path / "tree.vac"), "tree", cwd=tree.parent)
    assert "nothing wrong" in run("venti", "check", "-h", theirs.address, str(tmp_path / "tree.vac"))
    for name in ("theirs", "ours"):
        (tmp_path / name).mkdir()
    original("unvac", "-h", theirs.address, tmp_path / "tree.vac", cwd=tmp_path / "theirs")
    run("venti", "unvac", "-h", theirs.address, str(tmp_path / "tree.vac"), cwd=tmp_path / "ours")
    assert digests(tmp_path / "theirs/tree") == digests(tmp_path / "ours/tree") == digests(tree)


@needs("vacfs")
def test_their_vacfs_on_our_server(ours: str, tree: Path, tmp_path: Path) -> None:
    """They serve our archive from our blocks, and our 9P client reads it."""
    run("venti", "vac", "-h", ours, "-f", str(tmp_path / "tree.vac"), "tree", cwd=tree.parent)
    said = original("vacfs", "-i", "-h", ours, tmp_path / "tree.vac", status=None).stderr
    if b"threadmaybackground" in said:
        pytest.skip(f"this vacfs cannot run at all: {said.decode().strip()}")
    wanted = {name: (tree / name).read_bytes() for name in digests(tree) if name.isascii()}

    async def read() -> None:
        async with connect(f"exec!{ROOT}/bin/vacfs -i -h {ours} {tmp_path}/tree.vac") as client:
            for name, data in wanted.items():
                assert await client.read_bytes(f"tree/{name}") == data

    trio.run(read)


@pytest.mark.parametrize("tool", ["theirs", "ours"])
def test_copy_between_the_two(ours: str, theirs: OriginalVenti, tmp_path: Path, tool: str) -> None:
    """A tree of this test's own goes from our server to theirs, by their tool and by ours."""
    (tmp_path / "files").mkdir()
    for number in range(20):
        (tmp_path / "files" / str(number)).write_bytes(random.Random(f"{tool} {number}").randbytes(20_000))
    run("venti", "vac", "-h", ours, "-f", str(tmp_path / "it.vac"), "files", cwd=tmp_path)
    score = (tmp_path / "it.vac").read_text().strip()
    if tool == "theirs":
        original("venti/copy", ours, theirs.address, score)
    else:
        run("venti", "copy", ours, theirs.address, score)
        assert run("venti", "copy", "-f", ours, theirs.address, score).startswith("0 blocks")
    (tmp_path / "back").mkdir()
    original("unvac", "-h", theirs.address, tmp_path / "it.vac", cwd=tmp_path / "back")
    assert digests(tmp_path / "back/files") == digests(tmp_path / "files")


@needs("venti/wrarena")
def test_their_arenas_sent_by_their_tool_and_read_by_ours(ours: str, tmp_path: Path) -> None:
    part = tmp_path / "arenas.part"
    part.write_bytes(gzip.decompress((RECORDED / "arena/arenas.part.gz").read_bytes()))
    original("venti/wrarena", "-h", ours, part)
    store = tmp_path / "store"
    assert "1477 blocks" in run("venti", "import", "--store", str(store), str(part))

    async def compare() -> None:
        async with venti_client.connect(ours) as sent, open_disk_store(store) as imported:
            with Partition(str(part)) as partition:
                for block in partition.blocks():
                    assert isinstance(block, Block)
                    for place in (sent, imported):
                        assert await place.read(block.score, block.type, 57344) == block.data

    trio.run(compare)


def test_what_their_server_wrote_is_imported(tree: Path, tmp_path: Path) -> None:
    """A whole life: their server, their vac, our import, our server, our check; and back to a server of theirs."""
    server = OriginalVenti(tmp_path / "old")
    try:
        original("vac", "-h", server.address, "-f", tmp_path / "tree.vac", "tree", cwd=tree.parent)
        block = random.Random(9).randbytes(57344)
        score = original("venti/write", "-h", server.address, stdin=block).stdout.decode().strip()
        original("venti/sync", "-h", server.address)
    finally:
        server.stop()
    store = tmp_path / "store"
    assert run("venti", "import", "--store", str(store), str(server.arenas)).endswith(" 0 damaged\n")

    async def read() -> bytes:
        async with open_disk_store(store) as opened:
            return await opened.read(Score.parse(score), BlockType.DATA, 57344)

    assert trio.run(read) == block
    port = free_port()
    address = f"tcp!127.0.0.1!{port}"
    with running(Program(port, "venti", "serve", address, "--store", str(store), log=tmp_path / "log")):
        assert "nothing wrong" in run("venti", "check", "-h", address, str(tmp_path / "tree.vac"))
    again = OriginalVenti(tmp_path / "new")
    try:
        assert run("venti", "export", "--store", str(store), "-h", again.address).endswith(" 0 damaged\n")
        (tmp_path / "back").mkdir()
        original("unvac", "-h", again.address, tmp_path / "tree.vac", cwd=tmp_path / "back")
        assert original("venti/read", "-h", again.address, "-t", "0", score).stdout == block
    finally:
        again.stop()
    assert digests(tmp_path / "back/tree") == digests(tree)


async def test_our_repair_of_what_their_server_lacks(
    ours: str, theirs: OriginalVenti, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "one").write_bytes(random.Random("repair").randbytes(100_000))
    run("venti", "vac", "-h", ours, "-f", str(tmp_path / "it.vac"), "files", cwd=tmp_path)
    score = (tmp_path / "it.vac").read_text().strip()
    assert await venti("repair", "--from", ours, "-h", theirs.address, score) == 0
    assert "repaired" in capsys.readouterr().out
    assert await venti("check", "-h", theirs.address, score) == 0
