"""``vac`` and ``unvac`` as a person uses them: our own archives, and those of the original programs."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from contracts import recorded_archives
from contracts.programs import Program, free_port, running
from ninep.wire.edge import DAMAGED, DONE, FAILED, NOT_FOUND, UNREACHABLE, USAGE
from venti.__main__ import main
from venti.blocktype import BlockType
from venti.client import RemoteStore, connect
from venti.entry import Entry
from venti.score import Score
from venti.vac import label
from venti.vac import mode as modes
from venti.vac.direntry import DirEntry
from venti.vac.writer import VacWriter
from venti.writebehind import write_behind

pytestmark = pytest.mark.process

ARCHIVES = recorded_archives.archives()

CUT_LINKS = {"sp/link"}
"""Links that the original vac stored the first eight bytes of; the rest of their targets is lost."""

OLD = 10**9
"""Seconds; every file is as good as older than that."""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the blocks of the recorded archives in its store, written over the network."""
    root = tmp_path_factory.mktemp("archive")
    port = free_port()
    where = f"tcp!127.0.0.1!{port}"

    async def load() -> None:
        async with connect(where) as store, write_behind(store) as behind:
            for kind, data in recorded_archives.blocks():
                await behind.write(BlockType.from_wire(kind), data)

    with running(Program(port, "venti", "serve", where, "--store", str(root / "blocks"), log=root / "log")):
        trio.run(load)
        yield where


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    path = tmp_path / "here"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def venti(
    address: str,
    capfdbinary: pytest.CaptureFixture[bytes],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Runs a command against the server, which the variable ``venti`` names; exit code, output, errors and log."""
    monkeypatch.setenv("venti", address)
    monkeypatch.setenv("TZ", "UTC")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        out, err = capfdbinary.readouterr()
        logged = "".join(f"{record.getMessage()}\n" for record in caplog.records)
        caplog.clear()
        return code, os.fsdecode(out), os.fsdecode(err) + logged

    return run


def contents(root: Path) -> dict[str, Any]:
    """Everything below a directory: permissions, contents, targets, times of files."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        data: object = None
        if kind == stat.S_IFREG:
            data = (hashlib.sha256(path.read_bytes()).hexdigest(), status.st_size)
        elif kind == stat.S_IFLNK:
            data = os.readlink(path)
        permissions = 0 if kind == stat.S_IFLNK else stat.S_IMODE(status.st_mode) & 0o777
        found[str(path.relative_to(root))] = (kind, permissions, data)
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that the original archives hold, with more that is odd."""
    root = tmp_path_factory.mktemp("original")
    with tarfile.open(recorded_archives.RECORDED / "tree.tar.gz") as packed:
        packed.extractall(root, filter="tar")
    path = root / "tree"
    odd = path / "odd"
    odd.mkdir()
    (odd / "link").symlink_to("../../somewhere/else")
    (odd / "long").symlink_to("x" * 4000)
    (odd / "directory").symlink_to(".")
    os.mkfifo(odd / "pipe", 0o640)
    (Path(os.fsdecode(bytes(odd) + b"/not-\xff-text"))).write_bytes(b"bytes")
    (odd / "new\nline").write_bytes(b"")
    (odd / "secret").write_bytes(b"s")
    (odd / "secret").chmod(0o400)
    deep = odd
    for _ in range(60):
        deep /= "d"
    deep.mkdir(parents=True)
    (deep / "end").write_bytes(b"deep")
    with (odd / "holes").open("wb") as file:
        file.seek(3_000_000)
        file.write(b"middle")
        file.truncate(8_000_001)
    return path


# The golden archives


@pytest.mark.parametrize("recorded", ARCHIVES, ids=[archive["name"] for archive in ARCHIVES])
def test_original_archives_unpack_to_the_recorded_contents(recorded: dict[str, Any], here: Path, venti: Run) -> None:
    cut = {row["path"] for row in recorded["files"] if row["mode"] & modes.LINK and row["path"] in CUT_LINKS}
    code, out, err = venti("unvac", "-T", recorded["vac"])
    assert (code, out) == (DAMAGED if cut else DONE, ""), err
    expected = 0
    for row in recorded["files"]:
        path = here / row["path"]
        if row["path"] in cut:
            assert f"{row['path']}: the archive does not hold the whole target" in err
            assert not path.is_symlink()
            continue
        if row["mode"] & modes.DEVICE:
            assert not path.exists()
        elif row["mode"] & modes.DIRECTORY:
            assert path.is_dir()
        elif row["mode"] & modes.LINK:
            assert hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest() == row["sha256"]
        elif row["mode"] & modes.PIPE:
            assert path.is_fifo()
        else:
            assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"], path
            assert path.stat().st_mode & 0o777 == row["mode"] & 0o777
            assert int(path.stat().st_mtime) == row["mtime"]
        expected += not row["mode"] & modes.DEVICE
    assert len(contents(here)) == expected


def test_the_recorded_tree_has_the_recorded_digests(here: Path, venti: Run) -> None:
    full = next(archive for archive in ARCHIVES if archive["name"] == "full")
    assert venti("unvac", full["vac"])[0] == DONE
    lines = (recorded_archives.RECORDED / "tree.sha256").read_text().splitlines()
    assert len(lines) > 200
    for line in lines:
        digest, path = line.split("  ", 1)
        assert hashlib.sha256((here / "tree" / path).read_bytes()).hexdigest() == digest


def test_lists_as_the_original_does(here: Path, venti: Run) -> None:
    del here
    parts = (recorded_archives.RECORDED / "unvac-tv.txt").read_text().split("$ unvac -tv ")[1:]
    assert len(parts) >= 5
    for part in parts:
        head, _, listing = part.partition("\n")
        score = head.split()[0]
        if not score.startswith("vac:"):
            continue
        code, out, _ = venti("unvac", "-tv", score)
        assert code == DONE
        assert sorted(out.splitlines()) == sorted(listing.strip("\n").splitlines()), head


# Our own


def test_a_tree_comes_back_as_it_was(tree: Path, here: Path, venti: Run) -> None:
    code, out, err = venti("vac", str(tree))
    assert code == DONE, err
    assert out.startswith("vac:")
    assert len(out) == 45
    code, _, err = venti("unvac", "-T", out.strip())
    assert code == DONE, err
    assert contents(here / "tree") == contents(tree)
    holes = (here / "tree/odd/holes").stat()
    assert holes.st_blocks * 512 < 1_000_000
    for name in ("odd/secret", "big/onemeg", "odd"):
        assert int((here / "tree" / name).stat().st_mtime) == int((tree / name).stat().st_mtime)


def test_the_same_tree_has_the_same_score(tree: Path, here: Path, venti: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    del here
    monkeypatch.setattr("venti.vac.local.YOUNG", -OLD)
    # The time of the last read is part of an archive.
    os.utime(tree / "sizes/one", (1, 1))
    assert venti("vac", str(tree / "sizes"))[1] == venti("vac", str(tree / "sizes"))[1]


def test_later_archives_hold_what_changed(tmp_path: Path, here: Path, venti: Run) -> None:
    source = tmp_path / "source"
    (source / "kept").mkdir(parents=True)
    for number in range(20):
        (source / f"kept/{number}").write_bytes(os.urandom(1000))
    (source / "changed").write_bytes(b"first")
    (source / "gone").write_bytes(b"gone")
    first = venti("vac", str(source))[1].strip()
    os.utime(source / "kept", (5, 5))
    (source / "changed").write_bytes(b"second!")
    (source / "gone").unlink()
    (source / "new").write_bytes(b"new")
    code, out, err = venti("vac", "--json", "-q", "-d", first, str(source))
    assert code == DONE, err
    report = json.loads(out)
    assert (report["files"], report["kept"], report["size"]) == (22, 20, len(b"second!new"))
    assert venti("unvac", report["score"])[0] == DONE
    assert contents(here / "source") == contents(source)

    before = {row["name"]: row for row in map(json.loads, venti("unvac", "-t", "--json", first)[1].splitlines())}
    after = {
        row["name"]: row for row in map(json.loads, venti("unvac", "-t", "--json", report["score"])[1].splitlines())
    }
    assert after["source/changed"]["qid"] == before["source/changed"]["qid"]
    assert len({row["qid"] for row in after.values()}) == len(after)
    assert after["source/new"]["qid"] not in {row["qid"] for row in before.values()}


def test_only_what_changed_is_read(tmp_path: Path, here: Path, venti: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is known again by both its times and its size; one that has just changed is read once more."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("kept", "same-mtime", "replaced"):
        (source / name).write_bytes(b"1" * 1000)

    def run(*words: str) -> tuple[int, int, str]:
        code, out, err = venti("vac", "--json", *words, str(source))
        assert code == DONE, err
        report = json.loads(out)
        return report["kept"], report["size"], report["score"]

    just_changed = run()[2]
    assert run("-d", just_changed)[:2] == (0, 3000)

    monkeypatch.setattr("venti.vac.local.YOUNG", -OLD)
    _, _, first = run()
    assert run("-d", first)[:2] == (3, 0)
    before = (source / "same-mtime").stat()
    (source / "same-mtime").write_bytes(b"2" * 1000)
    os.utime(source / "same-mtime", ns=(before.st_atime_ns, before.st_mtime_ns))
    monkeypatch.setattr("venti.vac.local._change_time", lambda status: status.st_ctime + 5 * (status.st_ino == inode))
    inode = before.st_ino
    kept, _, second = run("-d", first)
    assert kept == 2
    assert run("-q", "-d", first)[0] == 3
    assert venti("unvac", second)[0] == DONE
    assert contents(here / "source") == contents(source)


def test_an_archive_that_grows(tmp_path: Path, here: Path, venti: Run) -> None:
    recorded = next(archive for archive in ARCHIVES if any(f["path"] == "2026/1123.1" for f in archive["files"]))
    old = {row["path"] for row in recorded["files"]}
    file = tmp_path / "growing.vac"
    file.write_text(f"{recorded['vac']}\n")
    source = tmp_path / "prefix"
    source.mkdir()
    (source / "new").write_bytes(b"first")
    assert venti("vac", "-a", str(file), str(source))[:2] == (DONE, "")
    (source / "new").write_bytes(b"second")
    code, _, err = venti("vac", "-v", "-a", str(file), str(source))
    assert code == DONE
    day = err.split("archive ")[1].split()[0]
    assert day.endswith(".1")
    rows = [json.loads(line) for line in venti("unvac", "-t", "--json", str(file))[1].splitlines()]
    names = {row["name"] for row in rows}
    assert names >= old
    assert names - old >= {f"{day}/prefix/new", f"{day.removesuffix('.1')}/prefix/new"}
    new = [row["qid"] for row in rows if row["name"] not in old]
    assert len(set(new)) == len(new)
    assert venti("unvac", str(file))[0] == DONE
    assert (here / day / "prefix/new").read_bytes() == b"second"
    assert (here / day.removesuffix(".1") / "prefix/new").read_bytes() == b"first"
    assert venti("vac", "-a", str(file), "-f", "x", str(source))[0] == USAGE

    fresh = tmp_path / "fresh.vac"
    assert venti("vac", "-a", str(fresh), str(source))[0] == DONE
    assert len(venti("unvac", "-t", str(fresh))[1].splitlines()) == 4


def test_archives_in_an_archive(tmp_path: Path, here: Path, venti: Run) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / name).write_bytes(name.encode())
        (tmp_path / name / f"top-{name}").write_bytes(b"t")
        (tmp_path / name / "same").write_bytes(name.encode())
    source = tmp_path / "source"
    source.mkdir()
    (source / "plain").write_bytes(b"p")
    (source / "not.vac").write_bytes(b"no score")
    for name in ("one", "two"):
        os.chdir(tmp_path / name)
        assert venti("vac", "-f", str(source / f"{name}.vac"), ".")[0] == DONE
    os.chdir(here)
    code, out, err = venti("vac", "-m", str(source))
    assert code == FAILED
    assert "two.vac: holds 'sub', which is there already, left out" in err
    assert "two.vac: holds 'same', which is there already, left out" in err
    listed = venti("unvac", "-t", "--json", out.strip())[1]
    rows = {row["name"]: row["qid"] for row in map(json.loads, listed.splitlines())}
    assert set(rows) >= {"source/plain", "source/not.vac", "source/sub/one", "source/top-one", "source/top-two"}
    assert not set(rows) & {"source/one.vac", "source/sub/two"}
    assert len(set(rows.values())) == len(rows)
    assert venti("unvac", out.strip())[0] == DONE
    assert (here / "source/sub/one").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        (["-e", "*.o"], {"a", "a/x.o", "a/y.c", "b", "b/.hidden", "b/y.c"}),
        (["-e", "....o"], {"a", "a/y.c", "b", "b/.hidden", "b/y.c"}),
        (["-e", "a", "-e", "b/.*"], {"b", "b/y.c", "x.o"}),
        (["-e", "[ab]/y.c"], {"a", "a/x.o", "b", "b/.hidden", "x.o"}),
        (["-x", "../rules"], {"a", "a/x.o", "b"}),
    ],
)
def test_patterns_leave_files_out(flags: list[str], left: set[str], here: Path, venti: Run) -> None:
    for name in ("a/x.o", "a/y.c", "b/y.c", "b/.hidden", "x.o"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_bytes(b"")
    (here.parent / "rules").write_text(
        "# what is kept\ninclude a/x.o\nexclude ...y.c # sources\nexclude ....o\nexclude b/.h*\n"
    )
    score = venti("vac", *flags, ".")[1].strip()
    listed = venti("unvac", "-t", score)[1].splitlines()
    assert {name.rstrip("/") for name in listed} == left


def test_named_paths_only(tree: Path, here: Path, venti: Run) -> None:
    score = venti("vac", str(tree))[1].strip()
    assert venti("unvac", score, "tree/sizes/one", "tree/names/prefix")[0] == DONE
    assert {path.name for path in (here / "tree").iterdir()} == {"sizes", "names"}
    assert {path.name for path in (here / "tree/sizes").iterdir()} == {"one"}
    assert contents(here / "tree/names/prefix") == contents(tree / "names/prefix")
    code, _, err = venti("unvac", score, "tree/sizes/one", "tree/nothing")
    assert code == NOT_FOUND
    assert "tree/nothing" in err


def test_what_is_there_already_is_not_fetched(
    tree: Path, here: Path, venti: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = venti("vac", str(tree))[1].strip()
    assert venti("unvac", score)[0] == DONE
    changed = here / "tree/big/onemeg"
    data = bytearray(changed.read_bytes())
    data[300_000] ^= 1
    changed.write_bytes(data)
    (here / "tree/sizes/one").write_bytes(b"2")
    (here / "tree/big/sparse").unlink()
    (here / "tree/big/sparse").symlink_to("/etc/passwd")
    fetched: list[BlockType] = []
    real = RemoteStore.begin_read

    def counted(self: RemoteStore, score: Score, type: BlockType, limit: int) -> Any:
        fetched.append(type)
        return real(self, score, type, limit)

    monkeypatch.setattr(RemoteStore, "begin_read", counted)
    assert venti("unvac", score)[0] == DONE
    whole = fetched.count(BlockType.DATA)
    fetched.clear()
    changed.write_bytes(data)
    assert venti("unvac", "-d", score)[0] == DONE
    assert fetched.count(BlockType.DATA) < whole / 3
    assert contents(here / "tree") == contents(tree)


def test_contents_to_standard_output(tree: Path, here: Path, venti: Run) -> None:
    score = venti("vac", str(tree))[1].strip()
    code, out, _ = venti("unvac", "-c", score, "tree/sizes/one", "tree/many/file000")
    assert code == DONE
    assert out == (tree / "sizes/one").read_text() + (tree / "many/file000").read_text()
    assert not list(here.iterdir())


def test_the_score_in_a_file(tree: Path, here: Path, venti: Run) -> None:
    code, out, err = venti("vac", "-s", "-f", "latest.vac", str(tree / "sizes"))
    assert (code, out) == (DONE, "")
    assert "9 files" in err or "files" in err
    assert venti("unvac", "latest.vac")[0] == DONE
    assert contents(here / "sizes") == contents(tree / "sizes")


def test_what_is_there_is_replaced_and_nothing_followed(tree: Path, here: Path, venti: Run) -> None:
    """A link that stands where a file belongs is replaced; one where a directory belongs is not gone through."""
    outside = here.parent / "outside"
    outside.mkdir()
    (outside / "target").write_bytes(b"mine")
    (here / "sizes").mkdir()
    (here / "sizes/one").symlink_to(outside / "target")
    (here / "prefix").symlink_to(outside)
    score = venti("vac", str(tree / "sizes"), str(tree / "names/prefix"))[1].strip()
    code, _, err = venti("unvac", score)
    assert code == FAILED
    assert "prefix" in err
    assert contents(here / "sizes") == contents(tree / "sizes")
    assert (outside / "target").read_bytes() == b"mine"
    assert [path.name for path in outside.iterdir()] == ["target"]


# What is wrong


def write_archive(address: str, files: list[tuple[DirEntry, bytes]], *, damage: Entry | None = None) -> str:
    async def write() -> Score:
        async with connect(address) as store, write_behind(store) as behind:
            writer = VacWriter(behind)
            top = writer.directory()
            for info, data in files:
                tree = writer.tree()
                await tree.write(data)
                await top.add_file(info, await tree.finish())
            if damage is not None:
                await top.add_file(DirEntry("z-damaged", 0o644), damage)
            return await writer.finish(DirEntry("/", modes.DIRECTORY | 0o777), await top.finish(), previous=None)

    return label.text(trio.run(write))


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/etc", "nul\0"])
def test_a_name_that_leads_out_is_refused(
    name: str, address: str, here: Path, venti: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Our writer does not make such archives; somebody else's may.
    with monkeypatch.context() as unsafe:
        unsafe.setattr("venti.vac.writer.safe_name", lambda name: True)
        score = write_archive(address, [(DirEntry(name, 0o644), b"evil"), (DirEntry("zz", 0o644), b"good")])
    code, _, err = venti("unvac", score)
    assert code == DAMAGED
    assert "refused" in err
    assert [path.name for path in here.iterdir()] == ["zz"]
    assert [path.name for path in here.parent.iterdir()] == ["here"]


def test_a_missing_block_names_its_file_and_leaves_no_half(address: str, here: Path, venti: Run) -> None:
    gone = Entry(BlockType(BlockType.DATA + 1), 100_000, Score.of(b"never written"), 8180, 8192)
    score = write_archive(address, [(DirEntry("a", 0o644), b"whole")], damage=gone)
    code, _, err = venti("unvac", score)
    assert code == DAMAGED
    assert "z-damaged" in err
    assert [path.name for path in here.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["unvac", "nonsense"], USAGE, "40 hexadecimal digits"),
        (["unvac", "vac:" + "ab" * 20], NOT_FOUND, "ab" * 20),
        (["vac"], USAGE, "what is to be stored"),
        (["vac", "-q", "."], USAGE, "-d"),
        (["vac", "-e", "[a", "."], USAGE, "bracket"),
        (["vac", "-b", "100", "."], USAGE, "100"),
        (["vac", "a/same", "b/same"], USAGE, "same"),
        (["vac", "-h", "tcp!127.0.0.1!1", "."], UNREACHABLE, "127.0.0.1"),
    ],
)
def test_mistakes_get_one_line_that_helps(arguments: list[str], code: int, says: str, here: Path, venti: Run) -> None:
    del here
    found, out, err = venti(*arguments)
    assert (found, out) == (code, ""), err
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_what_cannot_be_read_is_named_and_left_out(here: Path, venti: Run) -> None:
    (here / "there").write_bytes(b"x")
    code, out, err = venti("vac", "there", "missing")
    assert code == FAILED
    assert "missing" in err
    assert out.startswith("vac:")
    assert venti("unvac", "-t", out.strip())[1] == "there\n"


def test_standard_input(address: str, here: Path) -> None:
    from contracts.programs import run

    data = os.urandom(50_000) + bytes(100_000)
    score = run("venti", "vac", "-h", address, "-i", "stream", stdin=data).strip()
    run("venti", "unvac", "-h", address, score, cwd=here)
    assert (here / "stream").read_bytes() == data
