"""A grid for programs that know fsspec."""

from __future__ import annotations

import gzip
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ninep.client.tree import local_user
from ninep.net.errors import ConnectionLost
from ninep.ram.tree import RamTree
from programs.in_thread import InThread
from programs.served_fsspec import SERVERS, served

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'ninegrid[fsspec]'")

DirFileSystem = pytest.importorskip("fsspec.implementations.dirfs").DirFileSystem
NinepFileSystem = pytest.importorskip("ninep.fsspec.filesystem").NinepFileSystem


@pytest.fixture(params=SERVERS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "server").mkdir()
    server = InThread(partial(SERVERS[request.param], tmp_path / "server"))
    yield server.thing
    server.close()


@pytest.fixture
def ram(tmp_path: Path) -> Iterator[str]:
    server = InThread(partial(SERVERS["ramfs"], tmp_path))
    yield server.thing
    server.close()


@pytest.fixture(params=["9P2000", "9P2000.L"])
def files(address: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    with NinepFileSystem(address=address, version=request.param, skip_instance_cache=True) as files:
        # A fresh fossil has files of its own.
        if files.ls(""):
            files.mkdir("here")
            yield DirFileSystem("here", files)
        else:
            yield files


def test_a_life_of_files(files: Any) -> None:
    files.makedirs("a/b/c")
    with files.open("a/b/file", "wb") as file:
        file.write(b"0123456789" * 100_000)
    assert files.info("a/b/file")["size"] == 1_000_000
    assert sorted(files.ls("a/b", detail=False)) == ["a/b/c", "a/b/file"]
    assert files.cat_file("a/b/file", 10, 20) == b"0123456789"
    with files.open("a/b/file") as file:
        file.seek(500_005)
        assert file.read(10) == b"5678901234"
        assert file.readline()[:3] == b"567"
    before = files.ukey("a/b/file")
    with files.open("a/b/file", "ab") as file:
        file.write(b"x")
    assert files.ukey("a/b/file") != before
    assert files.checksum("a/b/file") == files.checksum("a/b/file")
    files.cp("a/b/file", "copy")
    files.mv("copy", "moved")
    assert files.find("") == ["a/b/file", "moved"]
    assert files.glob("a/**/file") == ["a/b/file"]
    assert not files.exists("copy")
    files.rm("a", recursive=True)
    files.rm("moved")
    assert files.ls("") == []


def test_errors_are_those_of_files(files: Any) -> None:
    for attempt, error in (
        (lambda: files.info("none"), FileNotFoundError),
        (lambda: files.open("none").read(), FileNotFoundError),
        (lambda: files.mkdir("a") or files.mkdir("a"), FileExistsError),
        (lambda: files.open("a", "wb"), OSError),
    ):
        with pytest.raises(error):
            attempt()


def test_urls(ram: str) -> None:
    fsspec.register_implementation("ninep", NinepFileSystem, clobber=True)
    _, host, port = ram.split("!")
    with fsspec.open(f"ninep://{host}:{port}/table.csv", "wt") as file:
        file.write("name,size\none,1\ntwo,2\n")
    with fsspec.open(f"ninep://{host}:{port}/table.csv") as file:
        assert file.read().startswith(b"name")
    files, path = fsspec.url_to_fs(f"ninep://{host}:{port}/table.csv")
    assert path == "table.csv"
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(f"ninep://{host}:{port}/table.csv")
    assert table["size"].sum() == 3
    files.close()


def test_fields(files: Any) -> None:
    files.pipe_file("file", b"content")
    files.mkdir("dir")
    found = files.info("file")
    assert (found["name"], found["size"], found["type"]) == ("file", 7, "file")
    assert files.info("dir")["type"] == "directory"
    kinds = {entry["name"]: entry["type"] for entry in files.ls("", detail=True)}
    assert (kinds["file"], kinds["dir"]) == ("file", "directory")
    assert files.ls("file", detail=False) == ["file"]
    assert files.isfile("file")
    assert not files.isdir("file")
    assert files.isdir("dir")
    assert not files.isfile("dir")
    assert not files.exists("file/below")
    assert files.size("file") == 7
    assert abs(files.modified("file").timestamp() - files.info("file")["mtime"]) < 1
    with pytest.raises(NotImplementedError, match="9P does not tell"):
        files.created("file")
    before = files.info("file")["mtime"]
    files.touch("file", truncate=False)
    assert files.info("file")["mtime"] >= before
    assert files.cat_file("file") == b"content"
    files.touch("file")
    assert files.cat_file("file") == b""


def test_symbolic_links(tmp_path: Path) -> None:
    server = InThread(partial(SERVERS["export"], tmp_path))
    (tmp_path / "exported" / "link").symlink_to("target")
    with NinepFileSystem(address=server.thing, version="9P2000.L", skip_instance_cache=True) as files:
        found = files.info("link")
        assert (found["type"], found["islink"], found["destination"]) == ("link", True, "target")
        assert files.exists("link")
        assert not files.isfile("link")
    server.close()


def test_whole_trees(files: Any) -> None:
    files.makedirs("top/a/empty")
    files.makedirs("top/b")
    for name in ("top/one", "top/a/two", "top/b/three.txt"):
        files.pipe_file(name, name.encode())
    assert files.find("top") == ["top/a/two", "top/b/three.txt", "top/one"]
    assert files.find("top", maxdepth=1) == ["top/one"]
    assert "top/a/empty" in files.find("top", withdirs=True)
    assert files.glob("top/*/*.txt") == ["top/b/three.txt"]
    assert files.glob("top/**") != []
    assert files.du("top") == sum(len(name) for name in files.find("top"))
    assert sorted(path for path, _, _ in files.walk("top")) == ["top", "top/a", "top/a/empty", "top/b"]
    assert files.cat("top", recursive=True) == {name: name.encode() for name in files.find("top")}
    assert files.cat_ranges(["top/one", "top/a/two"], [0, 4], [3, 5]) == [b"top", b"a"]


def test_directories_are_copied_and_moved_whole(files: Any) -> None:
    files.makedirs("src/sub")
    files.makedirs("src/hollow")
    files.pipe_file("src/sub/f", b"data")
    files.makedirs("other")
    files.cp("src", "copy", recursive=True)
    assert files.cat("copy/sub/f") == b"data"
    assert files.isdir("copy/hollow")
    files.mv("src/hollow", "other/hollow", recursive=True)
    assert files.isdir("other/hollow")
    assert not files.exists("src/hollow")
    files.mv("src", "other/src", recursive=True)
    assert files.cat("other/src/sub/f") == b"data"
    assert not files.exists("src")
    files.mv("copy", "other")
    assert files.cat("other/copy/sub/f") == b"data"
    with pytest.raises(OSError, match="into itself"):
        files.mv("other", "other/src/other")
    with pytest.raises(OSError, match=r"."):
        files.mv("other/copy", "other/src/sub/f")
    assert files.cat("other/copy/sub/f") == files.cat("other/src/sub/f") == b"data"
    for use in (lambda: files.open("other", "rb"), lambda: files.cat_file("other"), lambda: files.rm_file("other")):
        with pytest.raises(IsADirectoryError):
            use()
    with pytest.raises(NotADirectoryError):
        files.rmdir("other/src/sub/f")


def test_a_file_that_is_there_is_replaced_by_one_that_is_moved(files: Any) -> None:
    files.makedirs("dir")
    files.pipe_file("one", b"1")
    files.pipe_file("two", b"2")
    files.mv("one", "two")
    assert files.cat("two") == b"1"
    assert not files.exists("one")
    files.pipe_file("dir/two", b"old")
    files.mv("two", "dir/two")
    assert files.cat("dir/two") == b"1"
    files.mv("dir/two", "dir/two")
    assert files.cat("dir/two") == b"1"
    files.cp_file("dir/two", "dir/two")
    assert files.cat("dir/two") == b"1"
    with pytest.raises(FileNotFoundError):
        files.mv("none", "dir/none")
    with pytest.raises(FileNotFoundError):
        files.mv("dir/two", "none/two")
    assert files.find("dir") == ["dir/two"]


def test_patterns_are_removed_and_moved(files: Any) -> None:
    files.makedirs("d/sub")
    for name in ("a.txt", "b.txt", "c.csv", "x[1].txt", "sub/in"):
        files.pipe_file(f"d/{name}", b"")
    files.rm("d/x[1].txt")
    assert not files.exists("d/x[1].txt")
    files.rm("d/*.txt")
    assert files.find("d") == ["d/c.csv", "d/sub/in"]
    with pytest.raises(FileNotFoundError):
        files.rm("d/*.txt")
    with pytest.raises(IsADirectoryError):
        files.rm("d")
    with pytest.raises(IsADirectoryError):
        files.rm(["d/c.csv", "d/sub"])
    files.pipe_file("d/c.csv", b"")
    files.mv("d/*.csv", "d/sub/")
    assert files.find("d") == ["d/sub/c.csv", "d/sub/in"]
    files.rm(["d/sub/c.csv", "d/s*"], recursive=True)
    assert files.ls("d") == []


def test_the_root_is_not_removed_by_mistake(ram: str) -> None:
    with NinepFileSystem(address=ram, skip_instance_cache=True) as files:
        files.pipe_file("file", b"kept")
        for path in ("", "/", "ninep://host/"):
            with pytest.raises(ValueError, match="root"):
                files.rm(path, recursive=True)
        assert files.cat("file") == b"kept"


def beside(files: Any) -> list[str]:
    return [name for name in files.ls("", detail=False) if name.endswith(".part")]


def test_a_transaction(files: Any) -> None:
    # fsspec's own view of a directory has transactions of its own.
    files = getattr(files, "fs", files)
    files.pipe_file("old", b"old")
    with files.transaction:
        with files.open("one", "wb") as file:
            file.write(b"new")
        with files.open("old", "wb") as file:
            file.write(b"replaced")
        with files.open("text", "w") as text:
            text.write("h\u00e9")
        with files.open("packed.gz", "wb", compression="gzip") as packed:
            packed.write(b"packed")
        files.pipe_file("piped", b"piped")
        assert not files.exists("one")
        assert files.cat("old") == b"old"
    assert files.cat("one") == b"new"
    assert files.cat("old") == b"replaced"
    assert files.cat("text").decode() == "h\u00e9"
    assert gzip.decompress(files.cat("packed.gz")) == b"packed"
    assert files.cat("piped") == b"piped"
    with files.transaction, files.open("old", "ab") as file:
        file.write(b" and more")
    assert files.cat("old") == b"replaced and more"
    assert beside(files) == []


def test_a_transaction_that_fails(files: Any) -> None:
    # fsspec's own view of a directory has transactions of its own.
    files = getattr(files, "fs", files)
    files.pipe_file("old", b"old")

    def fails() -> None:
        with files.transaction:
            for name in ("old", "new"):
                with files.open(name, "wb") as file:
                    file.write(b"new")
            files.open("open", "wb").write(b"x")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fails()
    assert files.cat("old") == b"old"
    assert not files.exists("new")
    assert not files.exists("open")
    assert beside(files) == []
    with files.open("later", "wb") as file:
        file.write(b"x")
    assert files.cat("later") == b"x"


def test_a_transaction_refuses_at_once(files: Any) -> None:
    # fsspec's own view of a directory has transactions of its own.
    files = getattr(files, "fs", files)
    files.pipe_file("old", b"old")
    files.mkdir("dir")
    with files.transaction:
        with pytest.raises(FileExistsError):
            files.open("old", "xb")
        with pytest.raises(IsADirectoryError):
            files.open("dir", "wb")
    assert beside(files) == []


def test_files_that_nobody_closes(ram: str) -> None:
    with NinepFileSystem(address=ram, skip_instance_cache=True) as files:
        kept = [files.open("text", "w"), files.open("bytes", "wb"), files.open("packed", "wt", compression="gzip")]
        for file in kept:
            file.write("text" if file is not kept[1] else b"text")
    with NinepFileSystem(address=ram, skip_instance_cache=True) as files:
        assert files.cat("text") == files.cat("bytes") == b"text"
        assert gzip.decompress(files.cat("packed")) == b"text"


def test_how_files_cannot_be_opened(files: Any) -> None:
    files.pipe_file("file", b"old")
    for mode, keywords in (("w", {"encoding": "none such"}), ("w", {"newline": "x"}), ("qb", {}), ("rwb", {})):
        with pytest.raises((LookupError, ValueError)):
            files.open("file", mode, **keywords)
    with pytest.raises(TypeError):
        files.pipe_file("file", "text")
    with pytest.raises(FileExistsError):
        files.open("file", "xb")
    assert files.cat("file") == b"old"


def test_text(files: Any) -> None:
    with files.open("text", "w", encoding="latin-1", newline="\r\n") as file:
        file.write("h\u00e9\n")
    with files.open("text", "a", encoding="latin-1") as file:
        file.write("more")
    assert files.cat("text") == b"h\xe9\r\nmore"
    with pytest.raises(ValueError, match="has bytes"):
        files.open("text", "wb", encoding="latin-1")
    with files.open("text", "r", encoding="latin-1") as file:
        assert file.readlines() == ["h\u00e9\n", "more"]
    with files.open("packed.gz", "wt", compression="infer") as file:
        file.write("packed")
    with files.open("packed.gz", "rt", compression="infer") as file:
        assert file.read() == "packed"
    assert files.read_text("text", encoding="latin-1").startswith("h")
    files.write_text("text", "new")
    assert files.cat("text") == b"new"
    with files.open("text", "r+b") as file:
        file.seek(1)
        file.write(b"E")
    assert files.cat("text") == b"nEw"


def test_copies_to_and_from_here(files: Any, tmp_path: Path) -> None:
    (tmp_path / "here" / "sub").mkdir(parents=True)
    (tmp_path / "here" / "sub" / "file").write_bytes(b"content" * 1000)
    files.put(f"{tmp_path}/here", "there", recursive=True)
    assert files.cat("there/sub/file") == b"content" * 1000
    files.get("there", f"{tmp_path}/back", recursive=True)
    assert (tmp_path / "back" / "sub" / "file").read_bytes() == b"content" * 1000
    with (tmp_path / "stream").open("wb") as stream:
        files.get_file("there/sub/file", stream)
    assert (tmp_path / "stream").read_bytes() == b"content" * 1000
    with pytest.raises(FileExistsError):
        files.put_file(f"{tmp_path}/stream", "there/sub/file", mode="create")
    with pytest.raises(FileNotFoundError):
        files.get_file("none", f"{tmp_path}/back/sub/file")
    with pytest.raises(FileNotFoundError):
        files.put_file(f"{tmp_path}/none", "there/sub/file")
    assert (tmp_path / "back" / "sub" / "file").read_bytes() == files.cat("there/sub/file") == b"content" * 1000


def test_a_forked_child_has_a_connection_of_its_own(ram: str) -> None:
    with NinepFileSystem(address=ram, skip_instance_cache=True) as files:
        files.pipe_file("file", b"content")
        reading = files.open("file")
        child = os.fork()
        if not child:
            code = 1
            try:
                signal.alarm(20)
                code = 0 if files.cat("file") == reading.read() == b"content" else 2
                files.pipe_file("of the child", b"x")
                files.close()
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert files.cat("file") == reading.read() == b"content"
        assert files.cat("of the child") == b"x"


def test_after_a_server_s_restart_it_goes_on(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    server = InThread(partial(SERVERS["export"], tmp_path / "first"))
    files = NinepFileSystem(address=server.thing, skip_instance_cache=True)
    files.pipe_file("file", b"before")
    writing = files.open("lost", "wb")
    writing.write(b"x")
    server.close()
    asks: list[Callable[[], object]] = [
        lambda: files.exists("file"),
        lambda: files.isdir("file"),
        lambda: files.isfile("file"),
        lambda: files.info("file"),
        lambda: files.ls(""),
        lambda: files.find(""),
        lambda: files.glob("*"),
        lambda: files.du(""),
        lambda: list(files.walk("")),
        lambda: files.cat("file"),
        lambda: files.rm("file"),
        lambda: files.rm("none*"),
        lambda: files.cp("file", "copy"),
        lambda: files.makedirs("a/b", exist_ok=True),
        lambda: files.pipe_file("file", b"x"),
        lambda: files.open("file"),
        lambda: files.open("file", "wb"),
        lambda: files.touch("file"),
    ]
    for ask in asks:
        with pytest.raises(ConnectionError):
            ask()
    server = InThread(lambda: served(RamTree(local_user()), files.address))
    assert not files.exists("file")
    files.pipe_file("file", b"after")
    assert files.cat("file") == b"after"
    with pytest.raises(ConnectionLost):
        writing.close()
    files.close()
    server.close()


def test_pickled(ram: str) -> None:
    files = NinepFileSystem(address=ram)
    files.pipe_file("file", b"content")
    assert pickle.loads(pickle.dumps(files)).cat("file") == b"content"
    with files.open("file") as file:
        file.read(3)
        again = pickle.loads(pickle.dumps(file))
        assert again.read() == b"tent"
    assert fsspec.filesystem("ninep", address=ram) is files
    files.close()
    assert files.cat("file") == b"content"
    files.close()


def test_many_threads(ram: str) -> None:
    with NinepFileSystem(address=ram, skip_instance_cache=True) as files:
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for turn in range(5):
                    files.pipe_file(f"{number}-{turn}", f"{number}".encode() * 1000)
                    assert files.cat_file(f"{number}-{turn}") == f"{number}".encode() * 1000
                    files.rm(f"{number}-{turn}")
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert files.ls("") == []


@pytest.mark.parametrize("kind", ["simplecache", "filecache"])
def test_behind_a_cache(ram: str, tmp_path: Path, kind: str) -> None:
    _, host, port = ram.split("!")
    fsspec.register_implementation("ninep", NinepFileSystem, clobber=True)
    with NinepFileSystem(host=host, port=int(port), skip_instance_cache=True) as files:
        files.pipe_file("file", b"content")
        options = {kind: {"cache_storage": f"{tmp_path}/cache"}}
        with fsspec.open(f"{kind}::ninep://{host}:{port}/file", **options) as file:
            assert file.read() == b"content"


def test_what_it_is_made_with() -> None:
    with pytest.raises(ValueError, match="which server"):
        NinepFileSystem(skip_instance_cache=True)
    with pytest.raises(ValueError, match="async programs"):
        NinepFileSystem(host="x", asynchronous=True, skip_instance_cache=True)
    with pytest.raises(ConnectionError):
        NinepFileSystem(address="tcp!127.0.0.1!1", skip_instance_cache=True).exists("x")
    with pytest.raises(ValueError, match="nonsense"):
        NinepFileSystem(address="nonsense!x!y", skip_instance_cache=True).exists("x")
    with pytest.raises(ValueError, match="dialect"):
        NinepFileSystem(address="tcp!127.0.0.1!1", version="9P2000.X", skip_instance_cache=True).exists("x")


@pytest.mark.parametrize(
    ("url", "path", "keywords"),
    [
        ("ninep://host:564/a/b", "a/b", {"host": "host", "port": 564}),
        ("9p://host/a//b/", "a/b", {"host": "host"}),
        ("ninep://[::1]:564/a#b?c", "a#b?c", {"host": "::1", "port": 564}),
        ("ninep://host:564", "", {"host": "host", "port": 564}),
        ("/a/./b", "a/b", {}),
    ],
)
def test_what_a_url_means(url: str, path: str, keywords: dict[str, Any]) -> None:
    assert NinepFileSystem._strip_protocol(url) == path
    assert NinepFileSystem._get_kwargs_from_urls(url) == keywords
