"""Archives of our fossil in the hands of the original programs: its venti, unvac, and a fossil made by flfmt -v."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from ninep.client.tree import connect
from programs.plan9port import ROOT, OriginalVenti, needs, original
from programs.processes import Program, free_port, run, running

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(300),
    needs("venti/venti", "unvac", "fossil/flfmt", "fossil/fossil"),
]


@contextlib.contextmanager
def their_fossil(part: Path, venti: str, port: int) -> Iterator[None]:
    """The original on a partition, with its archive."""
    commands = (
        f"fsys main config {part}",
        f"fsys main venti {venti}",
        "fsys main open -AP",
        f"listen tcp!127.0.0.1!{port}",
    )
    command = [f"{ROOT}/bin/fossil/fossil", "-t", *(word for line in commands for word in ("-c", line))]
    child, terminal = pty.fork()
    if child == 0:
        os.environ["NAMESPACE"] = str(part.parent)
        os.environ["venti"] = venti  # noqa: SIM112 the name that the original programs use
        os.execv(command[0], command)

    def drain() -> None:
        with contextlib.suppress(OSError):
            while os.read(terminal, 65536):
                pass

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)
        reader.join(5)


async def contents(port: int, names: list[str], aname: str) -> list[bytes]:
    """What a server has under these names; it gets a while to come up."""
    for attempt in range(100):
        try:
            async with connect(f"tcp!127.0.0.1!{port}", uname="glenda", aname=aname) as tree:
                return [await tree.read_bytes(name) for name in names]
        except Exception:
            if attempt == 99:
                raise
            await trio.sleep(0.2)
    raise AssertionError


def test_the_originals_read_what_we_archive(tmp_path: Path) -> None:
    source = random.Random(1)
    files = {"small": b"text\n", "empty": b"", "large": source.randbytes(700_000), "holes": bytes(300_000) + b"end"}
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    for name, data in files.items():
        (tmp_path / "tree" / "sub" / name).write_bytes(data)
    (tmp_path / "ns").mkdir(mode=0o700)
    venti = OriginalVenti(tmp_path / "venti")
    port, data = free_port(), ("--data", f"{tmp_path}/data")
    address = f"tcp!127.0.0.1!{port}"
    try:
        server = Program(
            port, "fossil", "serve", *data, "--listen", address, "--venti", venti.address, log=tmp_path / "log"
        )
        with running(server):
            run("ninep", "-a", address, "put", "-r", f"{tmp_path}/tree", "tree")
            run("fossil", "snap", "-a", *data)
            first = run("fossil", "last", "--wait", *data).strip()
            run("fossil", "snap", "-d", "/snapshot/old", *data)
            (tmp_path / "new").write_bytes(b"second\n")
            run("ninep", "-a", address, "put", f"{tmp_path}/new", "tree/sub/small")
            run("fossil", "snap", "-a", *data)
            run("fossil", "snap", "-a", "-s", "/snapshot/old/tree", "-d", "/archive/kept/tree", *data)
            second = run("fossil", "last", "--wait", *data).strip()
        assert first != second

        out = tmp_path / "out"
        out.mkdir()
        original("unvac", "-h", venti.address, second, cwd=out)
        day = time.strftime("%Y/%m%d")
        days = sorted(path.name for path in (out / "archive" / day[:4]).iterdir())
        assert len(days) == 2
        for name, content in files.items():
            now = b"second\n" if name == "small" else content
            assert (out / "active/tree/sub" / name).read_bytes() == now
            assert (out / f"archive/{day[:4]}/{days[0]}/tree/sub" / name).read_bytes() == content
            assert (out / "archive/kept/tree/sub" / name).read_bytes() == content

        part = tmp_path / "ns" / "part"
        with part.open("wb") as file:
            file.truncate(32 << 20)
        original("fossil/flfmt", "-y", "-h", venti.address, "-v", second.removeprefix("vac:"), part)
        theirs = free_port()
        with their_fossil(part, venti.address, theirs):
            names = [f"tree/sub/{name}" for name in files]
            found = trio.run(contents, theirs, names, "main/active")
            assert found == [b"second\n" if name == "small" else content for name, content in files.items()]
            old = [f"archive/{day[:4]}/{days[0]}/tree/sub/{name}" for name in files]
            old += [f"archive/kept/tree/sub/{name}" for name in files]
            assert trio.run(contents, theirs, old, "main") == [*files.values(), *files.values()]
    finally:
        venti.stop()
