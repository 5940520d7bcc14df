"""Services, addresses and file systems of one server: who comes in where, and what he finds."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import trio

from fakes.ninep_client import talking
from fossil.archive.archiver import Archiver
from fossil.commands.interpreter import Interpreter
from fossil.commands.startup import start, understood
from fossil.console.console import open_console
from fossil.data.datalog import DataLog
from fossil.data.lock import check_free, held
from fossil.errors import ConsoleRefused, DataInUse, NoDataDirectory
from ninep.net.errors import ConnectionLost
from ninep.protocol import messages as m
from programs.console_talk import OPEN, say, served, through


async def test_the_classic_configuration(tmp_path: Path) -> None:
    """Plan 9's own lines, in which a partition becomes a directory below the data directory."""
    text = """
        fsys main config /dev/sdF0/fossil
        fsys main open -c 3000
        srv -p fscons
        srv -A fossil
        listen /net.alt/tcp!*!0
    """
    lines = understood((f"conf:{number}", line) for number, line in enumerate(text.splitlines(), 1))
    async with served(tmp_path) as server:
        assert await start(Interpreter(server), lines) == [""] * 7
        await server.attend()
        assert (tmp_path / "sdF0" / "fossil" / "metadata").exists()
        assert (tmp_path / "console").is_socket()
        assert (tmp_path / "srv" / "fscons").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "srv" / "fossil").stat().st_mode & 0o777 == 0o666
        interpreter = Interpreter(server)
        async with through(tmp_path / "srv" / "fossil") as raw, through(tmp_path / "srv" / "fossil", "rob") as other:
            assert [entry.name for entry in await raw.list()] == ["adm"]
            await other.ask(m.Tattach(other.fid(), m.NOFID, "ken", "main/archive"))
            assert await say(interpreter, "who") == "\tfossil  glenda\n\tfossil  ken rob\n"
            assert await say(interpreter, "con") == "\tcon -m 1024\n\tncon 2 nconstarve 0\n\tfossil\n\tfossil\n"
        host, port = server.listening["/net.alt/tcp!*!0"].places[0].removeprefix("tcp!").split("!")
        async with await trio.open_tcp_stream(host, int(port)) as stream, talking(stream) as raw:
            await raw.ask(m.Tattach(0, m.NOFID, "glenda", ""))
            assert f"tcp!{host}!" in await say(interpreter, "who")
        async with await trio.open_unix_socket(tmp_path / "srv" / "fscons") as stream:
            await stream.send_all(b"fsys all sync\n")
            said = b""
            while said.count(b": ") < 3:
                said += await stream.receive_some()
            assert said == b"prompt: \tmain sync: wrote 1 blocks\nprompt: "
    assert not (tmp_path / "srv" / "fscons").exists()


async def test_services_come_and_go(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        await say(interpreter, OPEN)
        assert await say(interpreter, "srv -A fossil\nsrv -P loose\nsrv -W wide") == ""
        path = tmp_path / "srv"
        assert await say(interpreter, "srv") == "".join(
            f"\t{n}\tunix!{path / n}\n" for n in ("fossil", "loose", "wide")
        )
        assert await say(interpreter, "srv fossil") == "srv: already serving 'fossil'\n"
        async with through(path / "fossil", "stranger") as raw:
            assert await raw.refused(m.Tcreate(0, "x", 0o644, 0)) == "permission denied"
            async with through(path / "loose", "stranger") as other:
                await other.made("y", data=b"text")
            assert await say(interpreter, "srv -d fossil") == ""
            await trio.testing.wait_all_tasks_blocked()
            assert not (path / "fossil").exists()
            assert await raw.content("y") == b"text"
        assert "fossil" not in await say(interpreter, "srv")
        assert await say(interpreter, "srv fossil") == ""
        async with through(path / "fossil", "stranger"):
            pass
        said = await say(interpreter, "listen tcp!127.0.0.1!0\nlisten")
        assert re.fullmatch(r"\ttcp!127.0.0.1!0\ttcp!127.0.0.1!\d+\n", said)
        assert await say(interpreter, "listen tcp!127.0.0.1!0") == "listen: already serving 'tcp!127.0.0.1!0'\n"
        assert await say(interpreter, "listen -d tcp!127.0.0.1!0\nlisten") == ""
        assert "who can reach this machine" in await say(interpreter, "listen tcp!*!5640")


async def test_no_more_clients_than_there_may_be(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        await say(interpreter, OPEN + "srv fossil\ncon -m 1")
        async with through(tmp_path / "srv" / "fossil") as raw:
            async with await trio.open_unix_socket(tmp_path / "srv" / "fossil") as stream:
                assert await stream.receive_some() == b""
            assert "ncon 1 nconstarve 1" in await say(interpreter, "con")
            assert await raw.list()


async def test_several_file_systems(tmp_path: Path) -> None:
    """They share users and nothing else."""
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        other = tmp_path / "elsewhere"
        await say(interpreter, f"{OPEN}fsys other config {other}\nfsys other open\nuname rob :rob\nsrv fossil")
        assert await say(interpreter, "fsys all stat /active/adm/users") == (
            "\tstat /active/adm/users users adm adm 664 94\n\tstat /active/adm/users users adm adm 664 84\n"
        )
        async with through(tmp_path / "srv" / "fossil", "glenda", "other/active") as raw:
            await raw.made("only-here", data=b"text")
            await raw.ask(m.Tattach(99, m.NOFID, "rob", ""))
            assert await raw.refused(m.Twalk(99, raw.fid(), ["only-here"])) == "file does not exist"
            for bad, text in (
                ("nosuch", "fsys: 'nosuch' not found"),
                ("//active", "file does not exist"),
                ("other/nosuch", "file does not exist"),
            ):
                assert await raw.refused(m.Tattach(raw.fid(), m.NOFID, "rob", bad)) == text
        await say(interpreter, "fsys third config third\nfsys all snap")
        assert await say(interpreter, "fsys main epoch\nfsys other epoch") == "\tlow 1 hi 2\n" * 2
        assert (other / "console").is_socket()
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        await say(interpreter, f"fsys other config {other}\nfsys other open\nfsys other")
        assert "only-here" in await say(interpreter, "stat /active/only-here")


async def test_a_directory_has_one_file_system(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        said = await say(interpreter, OPEN + "fsys twin config *\nfsys twin open")
        assert "in use" in said
        await say(interpreter, "sync")


async def test_a_data_directory_has_one_server(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await server.attend()
        async with served(tmp_path) as other:
            with pytest.raises(DataInUse):
                await other.attend()


async def test_a_directory_full_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear")
    with pytest.raises(NoDataDirectory, match=r"holds other files \(letter\)"):
        check_free(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter"]


def test_a_place_in_which_there_can_be_no_data_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NoDataDirectory, match="choose another --data"), held(tmp_path / "file"):
        pass
    with pytest.raises(NoDataDirectory, match=r"for /.*/file/data: see to that"), held(tmp_path / "file" / "data"):
        pass


# Closing


async def test_a_file_system_is_closed_and_opened_again(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        await say(interpreter, OPEN + "create /active/file glenda sys 640\nhalt")
        assert await say(interpreter, "close") == ""
        assert await say(interpreter, "df") == "fsys: 'main' not open\n"
        assert await say(interpreter, "close") == "fsys: 'main' not open\n"
        with held(tmp_path):
            shutil.copytree(tmp_path, tmp_path / "copy")
        assert await say(interpreter, "fsys main open") == ""
        assert await say(interpreter, "stat /active/file") == "\tstat /active/file file glenda sys 640 0\n"
        assert await say(interpreter, "create /active/other glenda sys 640") == ""
        assert await say(interpreter, "close\nfsys main unconfig\nfsys") == ""


async def test_a_file_system_in_use_is_not_closed_unless_by_force(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        await say(interpreter, f"{OPEN}fsys other config {tmp_path}/other\nfsys other open\nsrv fossil")
        path = tmp_path / "srv" / "fossil"
        async with through(path) as raw, through(path, aname="other") as beside:
            await raw.made("file", data=b"written")
            assert await say(interpreter, "close") == (
                "fsys: 'main' busy: 1 clients have attached to it; 'close -f' hangs up on them\n"
            )
            assert await raw.content("file") == b"written"
            assert await say(interpreter, "close -f") == ""
            with pytest.raises(ConnectionLost):
                await raw.content("file")
            assert [entry.name for entry in await beside.list()] == ["active", "archive", "snapshot"]
            async with await trio.open_unix_socket(path) as stream, talking(stream) as raw:
                assert await raw.refused(m.Tattach(0, m.NOFID, "glenda", "")) == "fsys: 'main' not open"
        assert await say(interpreter, "fsys main open") == ""
        async with through(path) as raw:
            assert await raw.content("file") == b"written"


async def test_there_is_always_a_console_in_the_data_directory(tmp_path: Path) -> None:
    """It is that of the file system there, and the server's own while there is none."""
    async with served(tmp_path) as server:
        await server.attend()
        async with open_console(tmp_path / "console") as line:
            assert await line.ask("fsys main config *") == ""
            assert await line.ask("fsys main open") == ""
            async with open_console(tmp_path / "console") as other:
                assert other.prompt == ""
                assert "used" in await other.ask("df")
                await line.ask("fsys main close")
                with pytest.raises(ConsoleRefused, match="not open"):
                    await other.ask("df")
        async with open_console(tmp_path / "console") as line:
            assert await line.ask("fsys") == "\tmain\n"
            assert await line.ask("fsys main open") == ""
            assert "used" in await line.ask("fsys main df")


async def test_a_busy_file_system_is_not_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path) as server:
        interpreter, other = Interpreter(server), Interpreter(server)
        await say(interpreter, OPEN)

        async def for_ever(_: object) -> None:
            await trio.sleep_forever()

        monkeypatch.setattr(Archiver, "idle", for_ever)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say, other, "fsys main last -w")
            await trio.testing.wait_all_tasks_blocked()
            said = await say(interpreter, "close")
            nursery.cancel_scope.cancel()
        assert said == "fsys: 'main' busy: 1 commands on it are under way\n"
        assert await say(interpreter, "close") == ""


async def test_what_cannot_be_closed_well_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        await say(interpreter, OPEN)

        def fail(_: object) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(DataLog, "close", fail)
            assert "Input/output error" in await say(interpreter, "close")
        assert await say(interpreter, "fsys main open") == ""


# Names of devices


@pytest.mark.parametrize(
    ("bound", "device", "found"),
    [
        ((), "*", ""),
        ((), "/dev/sdF0/fossil", "sdF0/fossil"),
        ((), "#S/sdF0/fossil", "sdF0/fossil"),
        ((), "/elsewhere/fossil", "/elsewhere/fossil"),
        ((("#S", "/dev", "b"),), "/dev/sdF0/fossil", "sdF0/fossil"),
        ((("there", "/dev/sdF0", ""),), "/dev/sdF0/fossil", "there/fossil"),
        ((("there", "/dev/sdF0", "a"),), "/dev/sdF0/fossil", "sdF0/fossil"),
        ((("there", "/dev/sdF0", "a"),), "/dev/sdF0/only-there", "there/only-there"),
        ((("there", "/dev/sdF0", "b"),), "/dev/sdF0/only-here", "sdF0/only-here"),
        ((("there", "/dev/sdF0", ""), ("/dev/sdF0", "/n/disk", "")), "/n/disk/fossil", "there/fossil"),
        ((("there", "/dev/sdF0", ""),), "/dev/sdF00", "sdF00"),
    ],
)
async def test_names_of_devices(
    tmp_path: Path, bound: tuple[tuple[str, str, str], ...], device: str, found: str
) -> None:
    for name in ("sdF0/fossil", "sdF0/only-here", "there/fossil", "there/only-there"):
        (tmp_path / name).mkdir(parents=True)
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        for new, old, flag in bound:
            there = f"{tmp_path}/{new}" if new == "there" else new
            assert await say(interpreter, f"bind {f'-{flag}c' if flag else ''} {there} {old}") == ""
        await say(interpreter, f"fsys main config {device}")
        assert server.fsys("main").folder == tmp_path / found
