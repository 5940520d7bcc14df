"""The client for scripts: files that nobody closed, interruptions, forks, and other things that scripts do."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from ninep.blocking import BlockingTree, connect
from ninep.client.lasting import lasting
from ninep.client.tree import connect as connect_async
from ninep.net.errors import ConnectionLost
from ninep.net.listen import listen, where
from ninep.protocol import messages as m
from ninep.protocol.errors import FileSystemFull, IsDirectory, NotDirectory
from ninep.protocol.stat import DMDIR, Stat
from ninep.ram.tree import RamTree
from ninep.server.serve import serve
from programs.in_thread import InThread

OWNER = "glenda"
CAPACITY = 8 << 20


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    listeners = await listen("tcp!127.0.0.1!0", service="9fs")
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, RamTree(OWNER, capacity=CAPACITY), listeners)
        yield where(listeners[0])
        nursery.cancel_scope.cancel()


@pytest.fixture
def address() -> Iterator[str]:
    server = InThread(served)
    yield server.thing
    server.close()


@pytest.fixture
def tree(address: str) -> Iterator[BlockingTree]:
    with connect(address, uname=OWNER) as tree:
        yield tree


MODES = ["w", "wb", "x", "xb", "a", "ab", "w+", "w+b"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kept", [True, False])
def test_a_file_that_nobody_closes_is_whole(address: str, mode: str, kept: bool) -> None:
    text = "line\n" * 1000
    with connect(address, uname=OWNER) as tree:
        file = tree.open("file", mode)
        file.write(text if "b" not in mode else text.encode())
        if not kept:
            del file
    with connect(address, uname=OWNER) as tree:
        assert tree.read_text("file") == text
    if kept:
        assert file.closed


def test_nor_is_it_lost_when_the_script_fails(address: str) -> None:
    def fails() -> None:
        with connect(address, uname=OWNER) as tree:
            tree.open("file", "w").write("text")
            kept = tree.open("kept", "w")
            kept.write("text")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fails()
    with connect(address, uname=OWNER) as tree:
        assert tree.read_text("file") == tree.read_text("kept") == "text"


def test_what_cannot_be_written_in_the_end_is_told(address: str) -> None:
    def fills() -> None:
        with connect(address, uname=OWNER) as tree:
            kept = tree.open("file", "wb")
            kept.write(bytes(CAPACITY - 100_000))
            kept.flush()
            tree.open(
                "other",
                "wb",
            ).write(bytes(90_000))
            kept.write(bytes(200_000))

    with pytest.raises(FileSystemFull):
        fills()


async def test_a_file_of_the_async_client_that_nobody_closes() -> None:
    async with served() as address:
        for number, opening in enumerate((connect_async, lasting)):
            async with opening(address, uname=OWNER) as tree:
                file = await tree.open_file(f"file{number}", "w")
                await file.write(b"content" * 100_000)
                del file
            async with connect_async(address, uname=OWNER) as again:
                assert await again.read_bytes(f"file{number}") == b"content" * 100_000


@pytest.mark.process
def test_a_program_that_ends_without_closing_anything(address: str, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom ninep.blocking import connect\n"
        "with connect(sys.argv[1], uname='glenda') as tree:\n"
        "    file = tree.open('file', 'w')\n    file.write('text')\n    sys.exit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, address], timeout=60).returncode == 7
    with connect(address, uname=OWNER) as tree:
        assert tree.read_text("file") == "text"


@pytest.mark.parametrize("wrong", ["text", 5, None, ["a"]])
def test_content_of_a_wrong_type_destroys_nothing(tree: BlockingTree, wrong: Any) -> None:
    tree.write_bytes("file", b"old")
    with pytest.raises(TypeError):
        tree.write_bytes("file", wrong)
    if not isinstance(wrong, str):
        with pytest.raises((TypeError, AttributeError)):
            tree.write_text("file", wrong)
    assert tree.read_bytes("file") == b"old"
    with pytest.raises(UnicodeEncodeError):
        tree.write_text("file", "\u20ac", "ascii")
    assert tree.read_bytes("file") == b"old"


WRONG: list[tuple[str, dict[str, Any], type[Exception]]] = [
    ("q", {}, ValueError),
    ("", {}, ValueError),
    ("rw", {}, ValueError),
    ("wbt", {}, ValueError),
    ("wb", {"encoding": "utf-8"}, ValueError),
    ("wb", {"newline": "\n"}, ValueError),
    ("w", {"encoding": "none such"}, LookupError),
    ("w", {"errors": "none such"}, LookupError),
    ("w", {"newline": "x"}, ValueError),
    ("w", {"encoding": 5}, TypeError),
]


@pytest.mark.parametrize(("mode", "keywords", "error"), WRONG)
def test_how_a_file_cannot_be_opened(
    tree: BlockingTree, mode: str, keywords: dict[str, Any], error: type[Exception]
) -> None:
    tree.write_bytes("file", b"old")
    with pytest.raises(error):
        tree.open("file", mode, **keywords)
    assert tree.read_bytes("file") == b"old"


def test_kinds_of_files(tree: BlockingTree) -> None:
    tree.mkdir("dir")
    tree.write_bytes("file", b"old")
    for ask in (tree.read_bytes, tree.read_text, tree.open):
        with pytest.raises(IsDirectory):
            ask("dir")
    with pytest.raises(NotDirectory):
        tree.listdir("file")
    tree.wstat("dir", Stat(mode=0o700))
    assert tree.stat("dir").mode == DMDIR | 0o700
    assert tree.read_bytes("file") == b"old"


def test_a_closed_file(tree: BlockingTree) -> None:
    file = tree.open("file", "w+b")
    file.close()
    file.close()
    for use in (file.read, file.flush, file.tell, lambda: file.write(b"x"), lambda: file.seek(0), file.truncate):
        with pytest.raises(ValueError, match="closed"):
            use()
    raw = tree.run(tree.tree.open_file, "file", "r+")
    tree.run(raw.aclose)
    for ask in (lambda: raw.read(), lambda: raw.write(b"x"), lambda: raw.seek(0), lambda: raw.truncate(0)):
        with pytest.raises(ValueError, match="closed"):
            tree.run(ask)


def test_after_the_end(address: str) -> None:
    with connect(address, uname=OWNER) as tree:
        file = tree.open("file", "w")
    for use in (lambda: tree.read_bytes("file"), lambda: tree.stat(""), lambda: tree.open("file")):
        with pytest.raises(ConnectionLost, match="closed"):
            use()
    with pytest.raises(ValueError, match="closed"):
        file.write("x")


def test_a_callback_that_asks_the_tree_is_told_so(tree: BlockingTree, tmp_path: Path) -> None:
    """It is called in the thread of the conversation, which would wait for itself for ever."""
    (tmp_path / "source").write_bytes(b"content")
    with pytest.raises(RuntimeError, match="would wait for itself"):
        tree.put(tmp_path / "source", "copy", lambda _: tree.stat("copy") and None)


class Interrupted:
    """Interrupts this program as soon as something shows."""

    def __init__(self, shows: Callable[[], bool]) -> None:
        self._shows = shows
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._shows():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def test_ctrl_c_ends_a_put(address: str, tmp_path: Path) -> None:
    """Nothing goes on behind the back of the script, and there is nothing half done."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(400):
        (source / f"file-{number}").write_bytes(bytes(10_000))
    told: list[int] = []
    with connect(address, uname=OWNER) as watching, connect(address, uname=OWNER) as tree:

        def interrupted() -> None:
            with Interrupted(lambda: len(told) > 20):
                tree.put(source, "copy", lambda progress: told.append(progress.files))

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        count = len(told)
        found = {entry.name: entry.length for entry in watching.listdir("copy")}
        assert len(found) < 400
        assert {(name.startswith("file-"), length) for name, length in found.items()} == {(True, 10_000)}
        tree.stat("copy")
        assert {entry.name: entry.length for entry in watching.listdir("copy")} == found
        assert len(told) == count


def test_ctrl_c_ends_a_get(tree: BlockingTree, tmp_path: Path) -> None:
    tree.mkdir("dir")
    for number in range(400):
        tree.write_bytes(f"dir/file-{number}", bytes(10_000))
    told: list[int] = []

    def interrupted() -> None:
        with Interrupted(lambda: len(told) > 20):
            tree.get("dir", tmp_path / "copy", lambda progress: told.append(progress.files))

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    found = {path.name: path.stat().st_size for path in (tmp_path / "copy").iterdir()}
    assert len(found) < 400
    assert {(name.startswith("file-"), length) for name, length in found.items()} == {(True, 10_000)}
    tree.stat("")
    assert {path.name for path in (tmp_path / "copy").iterdir()} == set(found)


def in_child(work: Callable[[], object]) -> object:
    """What ``work`` does in a forked child: 0, or a signal, or the name of its exception."""
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        os.close(receive)
        signal.alarm(20)
        try:
            try:
                work()
                os.write(send, b"done")
            except BaseException as error:
                os.write(send, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(send)
    with open(receive, "rb") as pipe:
        told = pipe.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status or told


def test_a_forked_child_is_told_to_connect_again(address: str) -> None:
    with connect(address, uname=OWNER) as tree:
        tree.write_bytes("file", b"content")
        writing = tree.open("written", "w")
        writing.write("parent's")
        reading = tree.open(
            "file",
            "rb",
        )

        def again() -> None:
            with connect(address, uname=OWNER) as mine:
                assert mine.read_bytes("file") == b"content"

        uses: list[Callable[[], object]] = [
            lambda: tree.read_bytes("file"),
            lambda: tree.open("file"),
            reading.read,
            writing.flush,
            lambda: tree.run(tree.tree.stat, "file"),
        ]
        for use in uses:
            told = in_child(use)
            assert told == (
                "ConnectionLost: the connection belongs to the process that this one was forked from: connect again"
            )
        assert in_child(again) == "done"
        assert in_child(reading.close) == "done"
        assert tree.read_bytes("file") == reading.read() == b"content"
    with connect(address, uname=OWNER) as tree:
        assert tree.read_bytes("written") == b"parent's"


def test_a_child_that_leaves_the_connection_s_block(address: str) -> None:
    """It has nothing to close, and does not write what its parent is going to write."""
    with ExitStack() as stack:
        tree = stack.enter_context(connect(address, uname=OWNER))
        writing = tree.open("written", "w")
        writing.write("once\n")
        assert in_child(stack.close) == "done"
        assert not tree.read_bytes("written")
    with connect(address, uname=OWNER) as tree:
        assert tree.read_text("written") == "once\n"


async def test_a_forked_child_of_the_async_client() -> None:
    async with served() as address, connect_async(address, uname=OWNER) as tree:
        client = tree.connection.client

        def begins() -> None:
            client.begin(m.Tstat(tree.root.fid))

        told = in_child(begins)
        assert isinstance(told, str)
        assert told.startswith("ConnectionLost: the connection belongs to")
        assert (await tree.stat("")).name == "/"


def test_buffers_are_what_python_s_are(tree: BlockingTree) -> None:
    with tree.open("file", "wb") as file:
        assert isinstance(file, io.BufferedWriter)
        assert file.name == "file"
