"""The command line against a served tree, as a person would use it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from programs.processes import Program, environment, free_port, run

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log = tmp_path_factory.mktemp("ramfs") / "log"
    program = Program(port, "ninep", "ramfs", f"tcp!127.0.0.1!{port}", log=log)
    yield f"tcp!127.0.0.1!{port}"
    program.stop()


def status(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ninep", *arguments], capture_output=True, env=environment(), timeout=60, check=False
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stderr.decode()


def test_a_life_of_a_file(address: str) -> None:
    def ninep(*words: str, stdin: bytes = b"") -> str:
        return run("ninep", "-a", address, *words, stdin=stdin)

    ninep("mkdir", "-p", "a/b")
    ninep("write", "a/b/c", stdin=b"content\n")
    assert ninep("cat", "a/b/c") == "content\n"
    ninep("write", "a/b/c", stdin=b"new\n")
    assert ninep("cat", "/a/b/c") == "new\n"
    assert ninep("ls", "a/b") == "c\n"
    assert ninep("ls", "-l", "a/b").startswith("--rw-rw-r--")
    assert json.loads(ninep("stat", "--json", "a/b/c"))["length"] == 4
    assert "length 4" in ninep("stat", "a/b/c")
    ninep("mv", "a/b/c", "a/b/d")
    assert [entry["name"] for entry in json.loads(ninep("ls", "--json", "a/b"))] == ["d"]
    ninep("rm", "-r", "a")
    assert ninep("ls") == ""


def test_trees_go_and_come_back(address: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for n in range(300):
        path = source / f"d{n % 7}" / f"é{n}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * n * 500)
    (source / "empty").mkdir()
    (source / "d0" / "run.sh").write_text("#!/bin/sh\n")
    (source / "d0" / "run.sh").chmod(0o755)
    run("ninep", "-a", address, "put", "-r", str(source), "tree")
    run("ninep", "-a", address, "put", "-r", str(source), "tree")
    run("ninep", "-a", address, "get", "-r", "tree", str(tmp_path / "copy"))

    def content(root: Path) -> dict[str, tuple[bytes, int, int]]:
        return {
            str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode, int(path.stat().st_mtime))
            for path in root.rglob("*")
            if path.is_file()
        }

    assert content(tmp_path / "copy") == content(source)
    assert (tmp_path / "copy" / "empty").is_dir()
    run("ninep", "-a", address, "rm", "-r", "tree")


@pytest.mark.parametrize("dialect", ["9P2000.L", "9P2000.u", "9P2000"])
def test_symbolic_links_go_along_where_there_are_some(address: str, tmp_path: Path, dialect: str) -> None:
    source, copy, name = tmp_path / "source", tmp_path / "copy", f"links-{dialect}"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "file").write_text("content")
    targets = {"to-file": "folder/file", "to-folder": "folder", "dangling": "../nowhere", "outside": "/etc/passwd"}
    for link, target in targets.items():
        (source / link).symlink_to(target)

    def ninep(*words: str) -> str:
        return run("ninep", "-a", address, "-D", dialect, *words)

    ninep("put", "-r", str(source), name)
    ninep("get", "-r", name, str(copy))
    found = {path.name: str(path.readlink()) for path in copy.iterdir() if path.is_symlink()}
    if dialect == "9P2000":
        assert found == {}
        assert (copy / "to-file").read_text() == "content"
        assert not (copy / "to-folder").exists()
    else:
        assert found == targets
        # Over what is there: the same link, another link, and a file where there is a link now.
        (source / "to-file").unlink()
        (source / "to-file").symlink_to("elsewhere")
        (source / "dangling").unlink()
        (source / "dangling").write_text("a file")
        (copy / "outside").unlink()
        (copy / "outside").write_text("a file")
        ninep("put", "-r", str(source), name)
        ninep("get", "-r", name, str(copy))
        assert str((copy / "to-file").readlink()) == "elsewhere"
        assert str((copy / "outside").readlink()) == "/etc/passwd"
        assert not (copy / "dangling").is_symlink()
        assert (copy / "dangling").read_text() == "a file"
        ninep("rm", "-r", name)
    assert Path("/etc/passwd").exists()


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("cat", "missing"), 5, "ninep: missing: file does not exist"),
        (("rm", "/"), 1, "cannot remove root"),
        (("mv", "a/b", "c/d"), 1, "only within a directory"),
        (("cat",), 2, "usage"),
        (("nonsense",), 2, "usage"),
        (("put", "/etc", "etc"), 1, "say -r"),
        (("put", "/nonexistent", "x"), 5, "No such file"),
    ],
)
def test_mistakes(address: str, words: tuple[str, ...], code: int, text: str) -> None:
    found, said = status("-a", address, *words)
    assert found == code, said
    assert text in said


def test_nobody_there() -> None:
    code, said = status("-a", f"tcp!127.0.0.1!{free_port()}", "ls")
    assert (code, said.count("\n")) == (3, 1)
    assert "cannot reach" in said
    assert status("ls")[0] == 2
    assert status("-a", "tcp!x!nosuch", "ls")[0] == 2
