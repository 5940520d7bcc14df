"""``unvac`` as a person uses it: on our own archives, and on those of the original program."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import trio

from fakes import recorded_archives
from ninep.cli.codes import DAMAGED, DONE, FAILED, USAGE
from programs.vac_programs import Run, address, contents, here, tree, venti
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.stores.remote import RemoteStore, connect
from venti.stores.write_behind import write_behind
from venti.trees.entry import Entry
from venti.vac import label
from venti.vac import mode as modes
from venti.vac.direntry import DirEntry
from venti.vac.writer import VacWriter

__all__ = ["address", "here", "tree", "venti"]

pytestmark = pytest.mark.process

ARCHIVES = recorded_archives.archives()

CUT_LINKS = {"sp/link"}
"""Links that the original vac stored the first eight bytes of; the rest of their targets is lost."""


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


def test_a_directory_that_is_none_is_not_made(
    address: str, here: Path, venti: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mode says directory and its entry says file: an empty directory in its place would look like all of it."""
    with monkeypatch.context() as forged:
        forged.setattr("venti.vac.writer.DirEntry.directory", False)
        score = write_archive(
            address, [(DirEntry("a", 0o644), b"whole"), (DirEntry("z", modes.DIRECTORY | 0o755), b"no entries")]
        )
    code, _, err = venti("unvac", score)
    assert code == DAMAGED
    assert "z: its mode says directory and its entry does not" in err
    assert [path.name for path in here.iterdir()] == ["a"]


def test_modes_come_back_with_those_of_directories(tmp_path: Path, here: Path, venti: Run) -> None:
    source = tmp_path / "source"
    (source / "closed/inner").mkdir(parents=True)
    (source / "closed/file").write_text("x")
    (source / "shared").mkdir()
    for name, mode in (("closed/file", 0o400), ("closed/inner", 0o510), ("closed", 0o500), ("shared", 0o1777)):
        (source / name).chmod(mode)
    for name in ("closed/file", "closed/inner", "closed", "shared", ""):
        os.utime(source / name, (7, 12345))
    score = venti("vac", str(source))[1].strip()
    for _ in range(2):
        assert venti("unvac", "-T", score)[0] == DONE
        for name in ("closed/file", "closed/inner", "closed", "shared", ""):
            before, after = (source / name).stat(), (here / "source" / name).stat()
            assert (oct(after.st_mode), after.st_mtime) == (oct(before.st_mode), 12345), name


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_owners_and_setuid_come_back_when_asked(tmp_path: Path, here: Path, venti: Run) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name, owner, mode in (
        ("mine", 0, 0o6755),
        ("daemons", 1, 0o4755),
        ("strangers", 54321, 0o640),
        ("folder", 1, 0),
    ):
        if name == "folder":
            (source / name).mkdir(0o755)
        else:
            (source / name).write_text("#!/bin/sh\n")
            (source / name).chmod(mode)
        os.chown(source / name, owner, owner)
        if name != "folder":
            (source / name).chmod(mode)
    (source / "link").symlink_to("mine")
    os.chown(source / "link", 1, 1, follow_symlinks=False)
    score = venti("vac", str(source))[1].strip()

    def found(*flags: str) -> dict[str, tuple[int, int, str]]:
        assert venti("unvac", *flags, score)[0] == DONE
        return {
            path.name: (path.lstat().st_uid, path.lstat().st_gid, oct(path.lstat().st_mode & 0o7777))
            for path in (here / "source").iterdir()
            if path.name != "link" or "--owners" in flags
        }

    plain = {
        "mine": (0, 0, "0o755"),
        "daemons": (0, 0, "0o755"),
        "strangers": (0, 0, "0o640"),
        "folder": (0, 0, "0o755"),
    }
    assert found() == plain
    # A program of daemon's that is root's here must not become one that acts as root.
    assert found("--setuid") == plain | {"mine": (0, 0, "0o6755")}
    assert found("--setuid", "--owners") == {
        "mine": (0, 0, "0o6755"),
        "daemons": (1, 1, "0o4755"),
        "strangers": (54321, 54321, "0o640"),
        "folder": (1, 1, "0o755"),
        "link": (1, 1, "0o777"),
    }


def test_what_was_there_stays_until_the_new_one_is_whole(
    tmp_path: Path, here: Path, venti: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name, size in (("small", 100), ("large", 3 << 20)):
        (source / name).write_bytes(os.urandom(size))
    score = venti("vac", str(source))[1].strip()
    (here / "source").mkdir()
    for name in ("small", "large"):
        (here / "source" / name).write_bytes(b"precious")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("venti.vac.landing.pwrite_all", full)
    code, _, err = venti("unvac", score)
    assert code == FAILED
    assert "No space left on device" in err
    assert {path.name: path.read_bytes() for path in (here / "source").iterdir()} == dict.fromkeys(
        ("small", "large"), b"precious"
    )
    monkeypatch.undo()


@pytest.mark.parametrize("name", ["./source/sub", "source/./sub/", "source//sub"])
def test_names_as_people_write_them(name: str, tmp_path: Path, here: Path, venti: Run) -> None:
    (tmp_path / "source/sub").mkdir(parents=True)
    (tmp_path / "source/sub/file").write_text("x")
    (tmp_path / "source/other").write_text("x")
    score = venti("vac", str(tmp_path / "source"))[1].strip()
    assert venti("unvac", score, name)[0] == DONE
    assert sorted(path.name for path in here.rglob("*")) == ["file", "source", "sub"]
    code, _, err = venti("unvac", score, "source/../x")
    assert code == USAGE
    assert "nothing in an archive is called '..'" in err
