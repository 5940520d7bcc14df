"""Trees made of functions."""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from contracts.walked_tree import all_of, check_unique
from fakes.ninep_client import connected
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError
from ninep.protocol.qid import Qid
from ninep.protocol.stat import DMDIR, Stat
from ninep.server.files import File, FileTree
from ninep.synthetic.tree import SyntheticTree


class Office:
    """A tree with one of everything."""

    def __init__(self) -> None:
        self.tree = tree = SyntheticTree("boss")
        self.motto = "none"
        self.jobs = {"1": "idle", "2": "busy"}
        self.asked = 0
        self.news = trio.Event()
        self.ended = 0

        @tree.file("count")
        def count() -> str:
            self.asked += 1
            return f"{self.asked}\n" * 10

        @tree.file("motto")
        async def motto() -> str:
            await trio.lowlevel.checkpoint()
            return self.motto

        @motto.writes
        def change(data: bytes) -> None:
            if not data:
                raise ValueError("a motto must say something")
            self.motto = data.decode()

        @tree.control("ctl")
        def control(line: str, user: str) -> None:
            verb, _, rest = line.partition(" ")
            if verb != "add":
                raise ValueError(f"bad command {verb!r}: there is only 'add'")
            self.jobs[rest] = f"new from {user}"

        @tree.control("double", mode=0o666)
        async def double(line: str) -> str:
            return f"{int(line) * 2}\n"

        @tree.names("jobs/{job}")
        def jobs() -> list[str]:
            return list(self.jobs)

        @tree.file("jobs/{job}/status")
        def status(job: str, user: str) -> str:
            return f"{job} {self.jobs[job]} {user}\n"

        @tree.file("secret", mode=0o400)
        def secret() -> bytes:
            return b"\xff"

        @tree.stream("news")
        async def news() -> AsyncIterator[str]:
            try:
                yield "first\n"
                await self.news.wait()
                yield "second\n"
            finally:
                self.ended += 1


async def test_reading_calls_the_function_and_one_open_file_stays_as_it_is() -> None:
    office = Office()
    async with connected(office.tree) as raw:
        assert await raw.content("count") == b"1\n" * 10
        fid = await raw.open("count")
        assert await raw.read(fid, 0, 4) == b"2\n2\n"
        assert await raw.read(fid, 4, 4) == b"2\n2\n"
        assert await raw.read(fid, 0, 2) == b"3\n"
        assert await raw.content("motto") == b"none"


async def test_what_is_written_is_handed_over_at_the_end() -> None:
    office = Office()
    async with connected(office.tree) as raw:
        fid = await raw.open("motto", mode=m.OWRITE | m.OTRUNC)
        await raw.ask(m.Twrite(fid, 0, b"be "))
        await raw.ask(m.Twrite(fid, 3, b"brief"))
        assert office.motto == "none"
        await raw.ask(m.Tclunk(fid))
        assert office.motto == "be brief"
        fid = await raw.open("motto", mode=m.OWRITE | m.OTRUNC)
        assert await raw.refused(m.Tclunk(fid)) == "a motto must say something"
        assert "permission" in await raw.refused(m.Topen(await raw.walk("count"), m.OWRITE))


async def test_commands() -> None:
    office = Office()
    async with connected(office.tree, "glenda") as raw:
        fid = await raw.open("ctl", mode=m.OWRITE)
        assert (await raw.ask(m.Twrite(fid, 0, b"add 3\nadd 4\n"))).count == 12
        assert office.jobs["4"] == "new from glenda"
        assert await raw.refused(m.Twrite(fid, 0, b"sell 3")) == "bad command 'sell': there is only 'add'"
        fid = await raw.open("double", mode=m.ORDWR)
        await raw.ask(m.Twrite(fid, 0, b"21"))
        assert await raw.read(fid) == b"42\n"
        assert "invalid literal" in await raw.refused(m.Twrite(fid, 0, b"x"))


async def test_directories_of_names_that_come_and_go() -> None:
    office = Office()
    async with connected(office.tree, "glenda") as raw:
        assert [entry.name for entry in await raw.list("jobs")] == ["1", "2"]
        assert await raw.content("jobs", "2", "status") == b"2 busy glenda\n"
        office.jobs["9"] = "late"
        assert await raw.content("jobs", "9", "status") == b"9 late glenda\n"
        assert len((await raw.ask(m.Twalk(0, 77, ["jobs", "8"]))).wqids) == 1
        fid = await raw.walk("jobs", "1")
        reply = await raw.ask(m.Twalk(fid, 78, ["..", "..", "count"]))
        assert len(reply.wqids) == 3
        names = [entry.name for entry in await raw.list()]
        assert names == ["count", "motto", "ctl", "double", "jobs", "secret", "news"]
        paths = {entry.qid.path for entry in await raw.list()}
        assert len(paths) == len(names)


async def test_permissions() -> None:
    office = Office()
    async with connected(office.tree, "glenda") as raw:
        assert await raw.refused(m.Topen(await raw.walk("secret"), m.OREAD)) == "permission denied"
        assert "nothing can be made" in await raw.refused(m.Tcreate(await raw.walk(), "x", 0o644, m.OWRITE))
        assert await raw.refused(m.Tremove(await raw.walk("count"))) == "permission denied"
    async with connected(office.tree, "boss") as raw:
        assert await raw.content("secret") == b"\xff"


async def test_a_stream_makes_its_readers_wait_and_loses_nothing_when_they_give_up() -> None:
    office = Office()
    async with connected(office.tree) as raw:
        fid = await raw.open("news")
        assert await raw.read(fid) == b"first\n"
        with trio.move_on_after(0.05) as scope:
            await raw.read(fid)
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                assert await raw.read(fid, 6, 3) == b"sec"
                assert await raw.read(fid, 9) == b"ond\n"

            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            office.news.set()
        assert await raw.read(fid, 13) == b""
        assert office.ended == 1


async def test_a_stream_ends_with_its_reader() -> None:
    office = Office()
    async with connected(office.tree) as raw:
        fid = await raw.open("news")
        await raw.read(fid)
        await raw.ask(m.Tclunk(fid))
        await trio.testing.wait_all_tasks_blocked()
        assert office.ended == 1
        await raw.open("news")


@pytest.mark.expects_errors
async def test_a_function_that_fails_is_an_error_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    tree = SyntheticTree()

    @tree.file("broken")
    def broken() -> str:
        return str(1 / 0)

    @tree.stream("breaks")
    async def breaks() -> AsyncIterator[str]:
        yield "one"
        raise ZeroDivisionError

    async with connected(tree) as raw:
        for name in ("broken", "breaks"):
            fid = await raw.open(name)
            if name == "breaks":
                assert await raw.read(fid) == b"one"
            assert await raw.refused(m.Tread(fid, 0, 10)) == "internal error"
        assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2


def test_paths_that_make_no_sense() -> None:
    tree = Office().tree
    for path in ("count", "jobs/{job}/status", "count/below", "jobs/{other}/x", ""):
        with pytest.raises(ValueError, match=":"):
            tree.file(path)(lambda: "")
    for path in ("jobs/{job}", "jobs/plain"):
        with pytest.raises(ValueError, match=":"):
            tree.names(path)(list)
    assert not issubclass(FileError, ValueError)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o644, 0o640, 0o622, 0o000])
async def test_a_mode_that_was_given_is_kept(mode: int) -> None:
    """Whoever says 0600 means it: nobody else writes, however the functions are added."""
    tree = SyntheticTree("boss")

    @tree.file("secret", mode=mode)
    def secret() -> str:
        return "s"

    @secret.writes
    def change(data: bytes) -> None:
        raise AssertionError("written")

    @tree.names("jobs/{job}")
    def jobs() -> list[str]:
        return ["1"]

    @tree.file("jobs/{job}", mode)
    def job(job: str) -> str:
        return job

    job.writes(change)
    async with connected(tree, "somebody") as raw:
        for names in (("secret",), ("jobs", "1")):
            assert (await raw.stat(*names)).mode == mode
            fid = await raw.walk(*names)
            if not mode & 0o002:
                assert await raw.refused(m.Topen(fid, m.OWRITE)) == "permission denied"


async def test_without_a_mode_everybody_may_do_what_there_is_a_function_for() -> None:
    tree = SyntheticTree("boss")
    written = []

    @tree.file("motto")
    def motto() -> str:
        return "m"

    async with connected(tree, "somebody") as raw:
        assert (await raw.stat("motto")).mode == 0o444
        motto.writes(written.append)
        assert (await raw.stat("motto")).mode == 0o666
        fid = await raw.open("motto", mode=m.OWRITE)
        await raw.ask(m.Twrite(fid, 0, b"new"))
        await raw.ask(m.Tclunk(fid))
    assert written == [b"new"]


@pytest.mark.parametrize("mode", [0o40000000000, DMDIR | 0o755, -1])
def test_modes_that_no_file_has(mode: int) -> None:
    with pytest.raises(ValueError, match="is none of a file"):
        SyntheticTree().file("x", mode)(str)


@pytest.mark.parametrize("path", ["", "/", "a/../b", "./a", "a//b", ".."])
def test_paths_that_no_file_has(path: str) -> None:
    with pytest.raises(ValueError, match=r"name"):
        SyntheticTree().file(path)(str)


async def test_names_may_be_waited_for() -> None:
    tree = SyntheticTree("boss")

    @tree.names("jobs/{job}")
    async def jobs() -> list[str]:
        await trio.lowlevel.checkpoint()
        return ["1", "2"]

    @tree.file("jobs/{job}/status")
    async def status(job: str) -> str:
        return f"{job} runs"

    async with connected(tree) as raw:
        assert [entry.name for entry in await raw.list("jobs")] == ["1", "2"]
        assert await raw.content("jobs", "2", "status") == b"2 runs"
        assert (await raw.stat("jobs", "2", "..", "1", "status")).name == "status"
        assert await raw.refused(m.Twalk(await raw.walk("jobs"), raw.fid(), ["3"])) == "file does not exist"


REFUSALS = [
    (FileNotFoundError(), "file does not exist"),
    (FileNotFoundError("gone"), "file does not exist"),
    (FileNotFoundError(errno.ENOENT, "gone", "/etc/x"), "file does not exist"),
    (PermissionError("not today"), "permission denied"),
    (IsADirectoryError(), "Is a directory"),
    (TimeoutError("late"), "Connection timed out"),
    (OSError(errno.ENOSPC, "full"), "file system is full"),
    (OSError("something"), "i/o error"),
    (ConnectionRefusedError(), "Connection refused"),
    (ValueError("say 1 or 2"), "say 1 or 2"),
    (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), "'utf-8' codec can't decode byte 0x78 in position 0: bad"),
]


@pytest.mark.parametrize(("error", "told"), REFUSALS, ids=[repr(error) for error, _ in REFUSALS])
@pytest.mark.parametrize("waits", [False, True])
async def test_what_functions_raise_is_told_as_what_it_means(error: Exception, told: str, waits: bool) -> None:
    tree = SyntheticTree("boss")

    def fails(*_: object) -> str:
        raise error

    async def fails_later(*_: object) -> str:
        await trio.lowlevel.checkpoint()
        raise error

    async def fails_as_it_goes() -> AsyncIterator[str]:
        yield "one"
        raise error

    function = fails_later if waits else fails
    entry = tree.file("read")(function)
    entry.writes(function)
    tree.control("ctl")(function)
    tree.names("jobs/{job}")(function)  # type: ignore[arg-type]  # it never returns
    tree.stream("news")(fails_as_it_goes)
    async with connected(tree) as raw:
        assert await raw.refused(m.Tread(await raw.open("read"), 0, 10)) == told
        fid = await raw.open("read", mode=m.OWRITE)
        await raw.ask(m.Twrite(fid, 0, b"x"))
        assert await raw.refused(m.Tclunk(fid)) == told
        assert await raw.refused(m.Twrite(await raw.open("ctl", mode=m.OWRITE), 0, b"x")) == told
        assert await raw.refused(m.Twalk(await raw.walk("jobs"), raw.fid(), ["1"])) == told
        assert await raw.refused(m.Tread(await raw.open("jobs"), 0, 1000)) == told
        fid = await raw.open("news")
        assert await raw.read(fid) == b"one"
        assert await raw.refused(m.Tread(fid, 3, 10)) == told


class Odd(File):
    """A file of somebody's own, which raises Python's errors."""

    qid = Qid(0, 0, 1)

    def stat(self) -> Stat:
        raise FileNotFoundError("gone")


class OddTree(FileTree):
    def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        return Odd()


async def test_errors_of_python_from_somebody_s_own_tree() -> None:
    async with connected(OddTree()) as raw:
        assert await raw.refused(m.Tstat(0)) == "file does not exist"


@pytest.mark.expects_errors
@pytest.mark.parametrize("content", [5, None, 1.5, ["a"], True])
async def test_what_is_no_content_is_not_served(content: object, caplog: pytest.LogCaptureFixture) -> None:
    """bytes(5) would be five zeros."""
    tree = SyntheticTree("boss")

    @tree.file("number")
    def number() -> Any:
        return content

    @tree.stream("numbers")
    async def numbers() -> AsyncIterator[Any]:
        yield content

    async with connected(tree) as raw:
        assert await raw.refused(m.Tread(await raw.open("number"), 0, 10)) == "internal error"
        assert "number: its function has to give str or bytes" in caplog.text
        assert await raw.refused(m.Tread(await raw.open("numbers"), 0, 10)) == "internal error"


@pytest.mark.expects_errors
@pytest.mark.parametrize(("names", "told"), [(["a/b"], "'a/b' cannot be the name of a file"), ([1], "internal error")])
async def test_names_that_no_file_has(names: list[Any], told: str) -> None:
    tree = SyntheticTree("boss")
    tree.names("jobs/{job}")(lambda: names)
    async with connected(tree) as raw:
        assert await raw.refused(m.Tread(await raw.open("jobs"), 0, 1000)) == told


async def test_no_two_files_have_one_qid_path() -> None:
    """Nor the same function at different names."""
    tree = SyntheticTree()

    @tree.names("jobs/{job}")
    def jobs() -> list[str]:
        return ["1", "2", "jobs", "1", "fixed"]

    for path in ("jobs/fixed", "jobs/{job}/status", "jobs/{job}/deep/status", "status", "other/status"):

        @tree.file(path)
        def status(job: str = "") -> str:
            return job

    async with connected(tree) as raw:
        found = await all_of(raw)
        assert len(found) == 18
        check_unique(found)
        assert await all_of(raw) == found
