"""``vac`` as a person uses it."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes import recorded_archives
from ninep.cli.codes import DONE, FAILED, NOT_FOUND, UNREACHABLE, USAGE
from programs.processes import Program, free_port, run, running
from programs.vac_programs import Run, address, contents, here, tree, venti
from venti.vac import local

__all__ = ["address", "here", "tree", "venti"]

pytestmark = pytest.mark.process

ARCHIVES = recorded_archives.archives()

OLD = 10**9
"""Seconds; every file is as good as older than that."""


def test_the_same_tree_has_the_same_score(tree: Path, here: Path, venti: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    del here
    monkeypatch.setattr("venti.vac.local.YOUNG", -OLD)
    # The time of the last read is part of an archive; for directories the first one counts.
    venti("vac", str(tree / "sizes"))
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


def test_the_score_in_a_file(tree: Path, here: Path, venti: Run) -> None:
    code, out, err = venti("vac", "-s", "-f", "latest.vac", str(tree / "sizes"))
    assert (code, out) == (DONE, "")
    assert "9 files" in err or "files" in err
    assert venti("unvac", "latest.vac")[0] == DONE
    assert contents(here / "sizes") == contents(tree / "sizes")


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
    data = os.urandom(50_000) + bytes(100_000)
    score = run("venti", "vac", "-h", address, "-i", "stream", stdin=data).strip()
    run("venti", "unvac", "-h", address, score, cwd=here)
    assert (here / "stream").read_bytes() == data


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="there is no /proc")
def test_files_that_tell_no_length(venti: Run, here: Path) -> None:
    """Of more than a page, in a directory and alone."""

    def told(data: bytes) -> bytes:
        return re.sub(rb" +\d+ kB", b" kB", data)

    del here
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            names = ("smaps", "maps", "limits")
            # When it sleeps its files stay as they are, but for numbers of smaps that depend on other programs.
            stat = Path(f"/proc/{process.pid}/stat")
            deadline = time.monotonic() + 60
            while b"(sleep) S" not in stat.read_bytes():
                assert time.monotonic() < deadline, "the program does not begin"
                time.sleep(0.05)
            wanted = {name: Path(f"/proc/{process.pid}/{name}").read_bytes() for name in names}
            assert len(wanted["smaps"]) > 4096
            score = venti("vac", f"/proc/{process.pid}")[1].strip()
            for name in names:
                assert told(venti("unvac", "-c", score, f"{process.pid}/{name}")[1].encode()) == told(wanted[name])
            alone = venti("vac", f"/proc/{process.pid}/smaps")[1].strip()
            assert told(venti("unvac", "-c", alone)[1].encode()) == told(wanted["smaps"])
        finally:
            process.kill()


@pytest.mark.parametrize("size", [100, 300_000])
def test_files_that_grow_have_what_they_had(tmp_path: Path, here: Path, venti: Run, size: int) -> None:
    """Between the look at the directory and the read, and while they are read: then they come to an end."""
    del here
    source = tmp_path / "source"
    source.mkdir()
    log = source / "log"
    log.write_bytes(b"a" * size)
    opened = local.open_file

    def grown(path: str, parent: int | None = None) -> int:
        with log.open("ab") as out:
            out.write(b"b" * size)
        return opened(path, parent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "open_file", grown)
        for read in ("read", "pread"):
            real = getattr(os, read)

            def growing(descriptor: int, *words: int, real: Callable[..., bytes] = real) -> bytes:
                data = real(descriptor, *words)
                if os.readlink(f"/proc/self/fd/{descriptor}") == str(log):
                    with log.open("ab") as out:
                        out.write(b"c" * (size + 1))
                return data

            patch.setattr(os, read, growing)
        code, out, err = venti("vac", str(source))
        assert code == DONE, err
    stored = venti("unvac", "-c", out.strip(), "source/log")[1]
    assert stored.startswith("a" * size + "b" * size)
    assert len(stored) < 10 * size


def test_an_archive_of_the_store_that_it_goes_to(tmp_path: Path, here: Path) -> None:
    """Every block that is read of it makes it longer."""
    del here
    source = tmp_path / "home"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(3 << 20))
    port = free_port()
    where = f"tcp!127.0.0.1!{port}"
    with running(Program(port, "venti", "serve", where, "--store", str(source / "store"), log=tmp_path / "log")):
        score = run("venti", "vac", "-h", where, str(source), timeout=120).strip()
        run("venti", "unvac", "-h", where, score, "home/file", cwd=tmp_path / "here")
    assert (tmp_path / "here/home/file").read_bytes() == (source / "file").read_bytes()
    assert sum(path.stat().st_size for path in source.rglob("*")) < 30 << 20


def test_an_unreadable_file_is_named_and_the_rest_goes_on(tmp_path: Path, here: Path, venti: Run) -> None:
    """Whatever is wrong with it: a sector of the disk, too."""
    del here
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "bad", "z"):
        (source / name).write_bytes(name.encode() * 400_000)
    real = os.pread

    def broken(descriptor: int, count: int, offset: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/bad") and offset:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, min(count, 100_000), offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pread", broken)
        code, out, err = venti("vac", str(source))
    assert code == FAILED
    assert f"{source}/bad: Input/output error, left out" in err
    assert venti("unvac", "-t", out.strip())[1].split() == ["source/", "source/a", "source/z"]


def test_names_that_are_not_there_have_no_score(here: Path, venti: Run) -> None:
    (here / "latest.vac").write_text("the score of before\n")
    for flags in ((), ("-f", "latest.vac"), ("--json",)):
        code, out, err = venti("vac", *flags, "missing", "also/gone")
        assert (code, out) == (NOT_FOUND, "")
        assert "missing: No such file or directory" in err
        assert "also/gone: No such file or directory" in err
    assert (here / "latest.vac").read_text() == "the score of before\n"


def test_when_nothing_could_be_read_there_is_no_score(here: Path, venti: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "large").write_bytes(b"x" * 400_000)

    def refused(path: str, parent: int | None = None) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(local, "open_file", refused)
    code, out, err = venti("vac", "-f", "latest.vac", "large")
    assert (code, out) == (FAILED, "")
    assert "large: Permission denied, left out" in err
    assert "there is no score" in err
    assert not (here / "latest.vac").exists()


@pytest.mark.parametrize("pattern", ["tree/cache/", "tree/cache", "./tree/cache", "tree//cache/"])
@pytest.mark.parametrize("path", ["tree", "./tree", "tree/"])
def test_a_directory_is_left_out_however_it_is_written(
    pattern: str, path: str, tmp_path: Path, venti: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tree/cache").mkdir(parents=True)
    (tmp_path / "tree/cache/big").write_text("x")
    (tmp_path / "tree/kept").write_text("x")
    code, out, err = venti("vac", "-e", pattern, path)
    assert (code, err) == (DONE, "")
    assert sorted(venti("unvac", "-t", out.strip())[1].splitlines()) == ["tree/", "tree/kept"]


def test_a_pattern_that_matches_nothing_is_told(tmp_path: Path, venti: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tree").mkdir()
    code, _, err = venti("vac", "-e", "cache", "tree")
    assert code == DONE
    assert "-e cache: left nothing out" in err


def test_sockets_are_named_and_left_out(here: Path, venti: Run) -> None:
    (here / "dir").mkdir()
    (here / "dir/file").write_bytes(b"x")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("dir/socket")
        code, out, err = venti("vac", "dir")
        assert code == DONE
        assert "dir/socket: a socket, left out" in err
        assert venti("unvac", "-t", out.strip())[1].split() == ["dir/", "dir/file"]
        code, out, err = venti("vac", "dir/socket")
        assert (code, "dir/socket: a socket, left out" in err) == (DONE, True)
