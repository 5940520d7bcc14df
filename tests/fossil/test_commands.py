"""The command language of the console, as transcripts: what is said and what is printed."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from contracts.ninep_client import Raw, talking
from fossil.errors import BadConfiguration, ConsoleRefused, DataInUse, NotStarted
from fossil.fileserver import FileServer, Surroundings, open_file_server
from fossil.interpreter import Interpreter, understand
from fossil.registry import FSYS, SERVER
from fossil.startup import read_configuration, start, understood
from ninep import messages as m
from ninep.wire.listen import Listener, listen
from venti.memory import MemoryStore
from venti.store import BlockStore
from venti.vac import label
from venti.vac.reader import open_archive


@asynccontextmanager
async def served(folder: Path, *, venti: str | None = None) -> AsyncIterator[FileServer]:
    """A server without file systems. Archives go to a store in memory; the address ``nowhere`` does not answer."""
    store = MemoryStore()

    @asynccontextmanager
    async def dial(address: str) -> AsyncIterator[BlockStore]:
        if address == "nowhere":
            raise OSError("nowhere: connection refused")
        yield store

    async def listening(address: str) -> Sequence[Listener]:
        return await listen(address, service="9fs")

    around = Surroundings(folder, folder / "srv", "glenda", listening, dial, venti=venti or "memory")
    with trio.fail_after(60):
        async with open_file_server(around) as server:
            yield server


async def say(interpreter: Interpreter, text: str) -> str:
    """What is printed for each line; a refusal is a line of its own, as at a prompt."""
    printed = ""
    for line in text.splitlines():
        try:
            printed += await interpreter.execute(line.strip())
        except ConsoleRefused as error:
            printed += f"{error}\n"
    return printed


OPEN = "fsys main config *\nfsys main open\nfsys main\n"


async def transcript(interpreter: Interpreter, text: str) -> None:
    """Says what stands behind ``>`` and expects what stands between; ``...`` there is anything."""
    blocks = re.split(r"^ *> ", text, flags=re.MULTILINE)
    assert not blocks[0].strip()
    for block in blocks[1:]:
        line, _, expected = block.partition("\n")
        wanted = [part.strip() for part in expected.strip().splitlines()]
        printed = [" ".join(part.split()) for part in (await say(interpreter, line)).splitlines()]
        assert len(printed) == len(wanted), (line, printed)
        for found, pattern in zip(printed, wanted, strict=True):
            assert re.fullmatch(re.escape(pattern).replace(r"\.\.\.", ".*"), found), (line, found, pattern)


TRANSCRIPTS = {
    "what the original prints on a fresh file system": """
        > users
            nuser 5 len 84
        > uname upas :upas
        > uname adm +glenda
        > uname upas +glenda
        > uname -d
            nuser 6 len = 109
            adm:adm:adm:sys,glenda
            glenda:glenda:glenda:
            none:none::
            noworld:noworld::
            sys:sys::glenda
            upas:upas::glenda
        > stat /active /archive /snapshot /active/adm /active/adm/users
            stat /active active glenda glenda d775 0
            stat /archive archive adm adm d555 0
            stat /snapshot snapshot adm adm d555 0
            stat /active/adm adm adm adm d775 0
            stat /active/adm/users users adm adm 664 109
        > epoch
            low 1 hi 1
        > foo
            foo: - eh?
        > fsys main foo
            unknown command - 'foo'
        > halt
        > stat /
            stat / / adm adm d555 0
        > snap
            file system main is halted
        > create /active/x adm adm 644
            file system main is halted
        > uname rob :rob
            file system main is halted
        > unhalt
        > unhalt
            file system main not halted
        > sync
            main sync: wrote ... blocks
        > df
            main: ... used + ... free = ... (...% used)
        """,
    "users": """
        > uname rob rob
            uname: /active/usr does not exist: make it, or give ':id' for a user without a home
        > create /active/usr sys sys d775
        > uname rob rob
        > stat /active/usr/rob
            stat /active/usr/rob rob rob rob d775 0
        > uname rob
            rob:rob::
        > uname ken :k1
        > uname rob +ken =ken -d
            uname: uname 'd' not found
        > uname rob
            rob:rob::
        > uname rob +ken =ken
        > uname rob
            rob:rob:ken:ken
        > uname rob +ken
            uname: 'ken' already in group 'rob'
        > uname rob +rob
            uname: 'rob' always in own group
        > uname rob -adm
            uname: 'adm' not in group 'rob'
        > uname ken %thompson
        > uname rob
            rob:rob:thompson:thompson
        > uname thompson
            k1:thompson::
        > uname thompson :x
            uname: uname 'thompson' already exists
        > uname ritchie :k1
            uname: uid 'k1' already exists
        > uname adm %other
            uname: uname 'adm' is mandatory
        > uname nobody
            uname: uname 'nobody' not found
        > uname rob = -thompson
        > uname rob
            rob:rob::
        > uname a(b :ab
            uname: 'a(b' cannot be a name: it is empty, or has a blank or one of # : , ( )
        > uname
            usage: uname [-d] uname [uid|:uid|%newname|=leader|+member|-member]
        > users -d
            nuser 5 len 84
        > users -r /active/adm/users
            nuser 7 len ...
        > users -d -w
            nuser 5 len 84
        > users -r /active/adm/users
            nuser 5 len 84
        > users -r /active/nosuch
            /active/nosuch does not exist
        > users -r /archive/x
            users: /archive/x is not in the live tree, as /active/adm/users is
        > remove /active/adm/users /active/adm
        > users -w
            nuser 5 len 84
        > stat /active/adm /active/adm/users
            stat /active/adm adm adm sys d775 0
            stat /active/adm/users users adm sys 664 84
        """,
    "files": """
        > create /active/dir glenda sys d775
        > create '/active/dir/a file' rob sys alT640
        > stat '/active/dir/a file'
            stat '/active/dir/a file' 'a file' rob sys alT640 0
        > create /active/dir glenda sys d775
            create /active/dir: file already exists
        > create /active/no/file glenda sys 664
            create /active/no/file: file does not exist
        > create /active/x glenda sys alt640
            create: alt640: a temporary file has T
        > create /active/x noworld sys 640
            permission denied
        > create /archive/x glenda sys 640
            create /archive/x: file is read only
        > create /active/x glenda sys
            usage: [fsys name] create path uid gid perm
        > wstat '/active/dir/a file' b - ken 600 5
            old: wstat '/active/dir/a file' 'a file' rob sys alT640 0
            new: wstat /active/dir/b b rob ken 600 5
        > wstat /active/dir/b - glenda - - 2
            old: wstat /active/dir/b b rob ken 600 5
            new: wstat /active/dir/b b glenda ken 600 2
        > create /active/dir/c rob sys 640
        > wstat /active/dir/b c - - 777 9
            console wstat - file already exists
        > stat /active/dir/b /active/nosuch
            stat /active/dir/b b glenda ken 600 2
            /active/nosuch: file does not exist
        > wstat /active x - - - -
            console wstat - the root has no other name
        > wstat /active/nosuch - - - - -
            console wstat - walk - file does not exist
        > remove /active/dir /active/dir/b /active/dir/nosuch /snapshot
            /active/dir: directory is not empty
            /active/dir/nosuch: file does not exist
            /snapshot: file is read only
        > remove /active
            /active: cannot remove root
        > remove /active/dir/c /active/dir
        """,
    "the past": """
        > snap
        > epoch
            low 1 hi 2
        > create /active/file glenda sys 664
        > snap
        > snap -s /active/adm
            snap: only all of /active can be snapshot here; use 'python -m venti vac' for a part
        > snap -d /snapshot/before/upgrade
        > snap -d /snapshot/before
            snap: /snapshot/before: file already exists
        > snap -d /snapshot/before/upgrade/x
            snap: /snapshot/before/upgrade/x: file already exists
        > stat /snapshot/before/upgrade/file
            stat /snapshot/before/upgrade/file file glenda sys 664 0
        > snap -a -d /archive/x
            snap: /archive/x: only snapshots have names of one's own, such as /snapshot/before-upgrade
        > snap -d /snapshot/..
            snap: /snapshot/.. cannot be the name of a snapshot
        > clri /snapshot/before/upgrade
        > snap -z
            usage: [fsys name] snap [-ap] [-s /active] [-d /archive/yyyy/mmmm]
        > epoch 3
            low 1 hi 4
            1 clri /snapshot/...
            2 clri /snapshot/...
            2 snapshots found with epoch < 3
            not setting low epoch
        > epoch -y 2
            low 1 hi 4
            1 clri /snapshot/...
            1 snapshot found with epoch < 2
            old: epoch -y 1
            new: epoch -y 2
        > epoch 9
            low 2 hi 4
            2 clri /snapshot/...
            1 snapshot found with epoch < 9
            not setting low epoch
        > epoch 0
            low epoch cannot be zero
        > vac /active
            can only vac paths already stored on venti
        > snaptime
            snaptime -a none -s none -t none
        > snaptime -a 0500 -s 60 -t 2880
        > snaptime
            snaptime -a 0500 -s 60 -t 2880
        > snaptime -t none
        > snaplife
            snaplife none
        > snaplife 5
        > snaptime
            snaptime -a 0500 -s 60 -t 5
        > snaptime -a 2500
            snaptime: '2500' is no time of day: write hhmm, such as 0500, or none
        > snaptime -s x
            snaptime: 'x' is no number of minutes: write one, or none
        > snaptime -s
            usage: [fsys name] snaptime [-a hhmm] [-s snapminutes] [-t maxminutes]
        > clri /active/file
            clri /active/file: names always lead to files here: use remove
        > clri /snapshot/2001/0101/0000
            clri /snapshot/2001/0101/0000: file does not exist
        > expire 0
            ... snapshots forgotten
        > snapclean 10
        > last
            nothing has been archived yet: say 'snap -a', and wait until it is written
        """,
    "looking back": """
        > create /active/dir glenda sys d775
        > create /active/dir/file rob sys 640
        > snap
        > wstat /active/dir/file - - - - 5
            old: ...
            new: ...
        > history /active/dir/file
            ... /active/dir/file 5 [adm]
            ... /snapshot/.../dir/file 0 [(rob)]
        > history -j dir/file
            {"path": "/active/dir/file", "taken": null, "file": {"qid": ..., "mode": "640", "length": 5, ...
            {"path": "/snapshot/...
        > history /active/nosuch
            /active/nosuch: file does not exist, now or in any snapshot
        > diff active active
        > diff active yesterday
            there is no snapshot yesterday: say 'snapshots' for a list, or 'active' for the live tree
        > diff active active /nosuch
            /nosuch: file does not exist in /active or in /active
        > restore active /dir
            restore: /active is how things are: name a snapshot, 'snapshots' lists them
        > restore
            usage: [fsys name] restore [-dn] snap path
        """,
    "what has no meaning here says so": """
        > label 5
            label: there are no disk blocks to look at or patch here, ...
        > block 5 0
            block: there are no disk blocks to look at or patch here, ...
        > bfree 5
            bfree: there are no disk blocks to look at or patch here, ...
        > clre 5 0
            clre: there are no disk blocks to look at or patch here, ...
        > clrp 5 0
            clrp: there are no disk blocks to look at or patch here, ...
        > bind -c /a /b
            bind: this machine has no name space to change: give the path where a file really is
        > 9p Tversion 65535 8192 9P2000
            9p: messages are not sent from here: use 'python -m ninep -a ADDRESS ...', or its library
        > msg -p 5
            msg: one process serves all clients here: there is no number of them to set with -p
        > close
            clients may have files open; halt main and then stop the server
        """,
    "the server": """
        > fsys
            main
        > fsys nosuch
            fsys: 'nosuch' not found
        > fsys nosuch df
            fsys: 'nosuch' not found
        > fsys other config other
        > fsys
            main
            other
        > fsys other df
            fsys: 'other' not open
        > fsys main config x
            fsys: 'main' busy
        > fsys main open
            fsys: 'main' busy
        > fsys main unconfig
            fsys: 'main' busy
        > fsys other unconfig
        > fsys other venti x
            fsys: 'other' not found
        > fsys all venti
            cannot use fsys 'all' with 'venti' command
        > fsys all open
            cannot use fsys 'all' with 'open' command
        > fsys all sync
            main sync: wrote ... blocks
        > fsys main open -c
            usage: [fsys name] open [-APVWar] [-c ncache]
        > venti nowhere
            nowhere: connection refused
        > venti tcp!example!17034
        > printconfig
            fsys main config *
            fsys main venti tcp!example!17034
        > venti ''
        > printconfig
            fsys main config *
        > con -m 5
            con -m 5
            ncon 0 nconstarve 0
        > con -m 0
            usage: con [-m ncon]
        > msg -m 64
            msg -m 64
        > echo a 'b  c'
            a b c
        > echo -n
        > dflag
            dflag 1
        > dflag
            dflag 0
        > help echo
            usage: echo [-n] ...
            Prints its words; with -n without a newline behind them.
        > help nosuch
            nosuch: - eh?
        > listen -d nowhere
            listen: 'nowhere' not found
        > srv -d nowhere
            srv: 'nowhere' not found
        > srv a/b
            srv: 'a/b' cannot be the name of a service: it is one of a file
        > srv -pP x
            srv: cannot use -P with -p
        > # a comment
        > echo 'open
            unmatched quote
        """,
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_transcript(tmp_path: Path, name: str) -> None:
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        assert await say(interpreter, OPEN) == ""
        assert interpreter.prompt == "main: "
        await transcript(interpreter, TRANSCRIPTS[name])


async def test_before_anything_is_configured(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        assert interpreter.prompt == "prompt: "
        assert await say(interpreter, "fsys\nfsys all sync\nwho\nprintconfig\nsrv\nlisten") == ""
        assert "no current fsys" in await say(interpreter, "df")
        assert await say(interpreter, "uname rob :rob") == "fsys: 'main' not found\n"


def test_every_command_says_what_it_does() -> None:
    for command in (*SERVER.values(), *FSYS.values()):
        assert command.run.__doc__, command.name
        assert command.name in command.usage.text


async def test_an_archive_by_command(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        await say(interpreter, OPEN + "create /active/dir adm adm d775\ncreate /active/dir/file adm adm 640")
        path = (await say(interpreter, "snap -ap")).strip()
        with server.news.heard() as news:
            score = await say(interpreter, "last -w")
            assert news.receive_nowait() == f"archive {score.strip()}"
        assert re.fullmatch(r"vac:[0-9a-f]{40}\n", score)
        async with server.open_store(server.fsys("main")) as store:
            for part, names in (("", {"adm", "dir"}), ("/dir", {"file"})):
                said = await say(interpreter, f"vac {path}{part}")
                alone = await open_archive(store, label.parse(said))
                assert {file.info.name for file in await alone.top.files()} == names
                assert said == await say(interpreter, f"vac {path}{part}") != score
        for bad in (f"{path}/dir/file", "/archive", "/active/dir"):
            assert await say(interpreter, f"vac {bad}") == "can only vac paths already stored on venti\n"
        assert await say(interpreter, f"clri {path}") == f"clri {path}: archives stay for ever\n"
        assert f"{path} " in await say(interpreter, "snapshots")
        assert score in await say(interpreter, "status")


async def test_past_by_command(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        await say(interpreter, OPEN + "create /active/file glenda sys 640")
        snap = (await say(interpreter, "snap -p")).strip()
        await say(interpreter, "wstat /active/file other - - 600 5\ncreate /active/new glenda sys 640")
        assert await say(interpreter, f"diff {snap} active") == "+\t/new\nR\t/other (was file)\nM\t/other\n"
        (line,) = (await say(interpreter, f"diff -j {snap} active /new")).splitlines()
        assert json.loads(line)["after"]["uid"] == "glenda"
        plan = "R\t/file (was other)\nM\t/file\n"
        assert await say(interpreter, f"restore -n {snap} /") == plan
        said = await say(interpreter, f"restore -d {snap} /")
        assert re.fullmatch(r"before: /snapshot/\S+\n" + re.escape(plan) + "-\t/new\n", said)
        before = said.split()[1]
        assert await say(interpreter, "stat /active/file") == "\tstat /active/file file glenda sys 640 0\n"
        assert await say(interpreter, f"restore {before} /") != ""
        assert await say(interpreter, "stat /active/other") == "\tstat /active/other other glenda sys 600 5\n"


async def test_without_an_archive(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        await say(interpreter, "fsys main config *\nfsys main open -AWPV\nfsys main")
        for command in ("snap -a", "venti"):
            assert await say(interpreter, command) == "file system was opened with -V\n"


async def test_read_only(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await say(Interpreter(server), OPEN)
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        await say(interpreter, OPEN.replace("open", "open -r"))
        for command in ("snap", "uname rob :rob", "create /active/x adm adm 664", "remove /active/adm/users"):
            assert re.search("read.only", await say(interpreter, command)), command
        assert "users" in await say(interpreter, "stat /active/adm/users")


async def test_users_outlast_a_restart_and_bad_lines_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        assert await say(interpreter, OPEN + "uname rob :r1\nuname dev :dev\nuname dev +rob =rob") == ""
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        await say(interpreter, OPEN)
        assert await say(interpreter, "uname dev\nuname rob") == "\tdev:dev:rob:rob\n\tr1:rob::\n"
        await say(interpreter, "srv -P fossil")
        async with through(tmp_path / "srv" / "fossil", "adm") as raw:
            fid = await raw.open("adm", "users", mode=m.OWRITE)
            end = (await raw.stat("adm", "users")).length
            await raw.ask(m.Twrite(fid, end, b"ken:ken::\nno user at all\n"))
        said = await say(interpreter, "users -r /active/adm/users")
        assert said == "users, line 9: 'nouseratall' is not id:name:leader:members\n"
        assert await say(interpreter, "uname ken") == "uname: uname 'ken' not found\n"
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        await say(interpreter, OPEN)
        assert await say(interpreter, "uname ken") == "\tken:ken::\n"
        assert "users, line 9: 'nouseratall' is not id:name:leader:members" in caplog.text


async def test_a_file_of_commands(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo one\nfoo\n# nothing\necho two\n")
    async with served(tmp_path / "data") as server:
        interpreter = Interpreter(server)
        said = await say(interpreter, f". {script}")
        assert said == f"one\nfoo: foo: - eh?\ntwo\nerrors in . '{script}'\n"
        script.write_text("echo fine")
        assert await say(interpreter, f". {script}") == "fine\n"
        assert "No such file" in await say(interpreter, f". {tmp_path}/nosuch")
        script.write_bytes(b"\xff")
        assert "UTF-8" in await say(interpreter, f". {script}")


# Ways in


@asynccontextmanager
async def through(path: Path, user: str = "glenda", aname: str = "") -> AsyncIterator[Raw]:
    """A client that came by a service's socket."""
    async with await trio.open_unix_socket(path) as stream, talking(stream) as raw:
        await raw.ask(m.Tattach(0, m.NOFID, user, aname))
        yield raw


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
                ("/active", "file does not exist"),
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


# Start-up configurations


def test_lines_that_are_no_commands_are_all_named(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.write_text("fsys main config *\nfsys main opn\n\n# fine\nsrv -q x\nlisten a b\nfoo\necho 'x\nfsys\n")
    with pytest.raises(BadConfiguration) as caught:
        understood(read_configuration(path))
    assert str(caught.value).splitlines() == [
        f"{path}:2: unknown command - 'opn'",
        f"{path}:5: usage: srv [-AINPWdp] [service]",
        f"{path}:6: usage: listen [-dIN] [address]",
        f"{path}:7: foo: - eh?",
        f"{path}:8: unmatched quote",
    ]


def test_a_stored_configuration_of_the_original(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.write_bytes(b"fossil config\nfsys main config *\n" + bytes(100))
    assert [(line.where, line.text) for line in understood(read_configuration(path))] == [
        (f"{path}:2", "fsys main config *")
    ]


@pytest.mark.parametrize(("content", "text"), [(b"ok\n\xff\n", ":2: is no text"), (None, "No such file")])
def test_configurations_that_cannot_be_read(tmp_path: Path, content: bytes | None, text: str) -> None:
    path = tmp_path / "conf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadConfiguration, match=text):
        read_configuration(path)


async def test_a_server_that_cannot_be_what_it_should_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for line in ("fsys main open", f"fsys x config {tmp_path}/file/x\nfsys x open", "listen tcp!*!5640", "srv ''"):
        lines = understood(("conf:1", part) for part in line.splitlines())
        async with served(tmp_path / "data") as server:
            with pytest.raises(NotStarted, match="conf:1: "):
                await start(Interpreter(server), lines)


@pytest.mark.expects_errors
async def test_other_lines_may_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Such as those that were needed once."""
    lines = understood([(f"conf:{n}", line) for n, line in enumerate((*OPEN.splitlines(), "uname adm :adm", "df"), 1)])
    async with served(tmp_path) as server:
        assert "used" in (await start(Interpreter(server), lines))[-1]
    assert "conf:4: uname adm :adm: uname: uname 'adm' already exists" in caplog.text


def test_understanding_does_nothing() -> None:
    assert understand("fsys main open -c 3000").vital
    assert understand("listen tcp!*!564").vital
    assert not understand("uname rob :rob").vital
    assert not understand("").vital
