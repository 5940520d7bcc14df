"""The command language of the console, as transcripts: what is said and what is printed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fossil.commands.interpreter import Interpreter
from ninep.protocol import messages as m
from programs.console_talk import OPEN, say, served, through, transcript
from venti.vac import label
from venti.vac.reader import open_archive

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
            foo: - eh? (say help)
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
        > snap -d /snapshot/before/upgrade
        > snap -d /snapshot/before
            snap: /snapshot/before: file already exists
        > snap -d /snapshot/before/upgrade/x
            snap: /snapshot/before/upgrade/x: file already exists
        > stat /snapshot/before/upgrade/file
            stat /snapshot/before/upgrade/file file glenda sys 664 0
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
        > snapclean 99999999999999999999
        > expire 99999999999999999999
            0 snapshots forgotten
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
        """,
    "snapshots of something else": """
        > create /active/dir glenda sys d775
        > create /active/dir/file glenda sys 664
        > snap -s /active/dir -d /snapshot/dir
        > stat /snapshot/dir /snapshot/dir/file
            stat /snapshot/dir dir glenda sys ds775 0
            stat /snapshot/dir/file file glenda sys 664 0
        > snap -d /snapshot/all
        > remove /active/dir/file
        > snap -s /snapshot/all/dir -d /snapshot/2026/again
        > snap -s /snapshot/all -d /snapshot/copy
        > clri /snapshot/all
        > stat /snapshot/2026/again/file /snapshot/copy/dir/file
            stat /snapshot/2026/again/file file glenda sys 664 0
            stat /snapshot/copy/dir/file file glenda sys 664 0
        > history /active/dir/file
            ... /active/dir/file removed
            ... /snapshot/copy/dir/file 0 [glenda]
        > snap -a -s /snapshot/copy -d /archive/2003/1220
        > stat /archive/2003/1220/dir/file
            stat /archive/2003/1220/dir/file file glenda sys 664 0
        > diff /snapshot/dir /snapshot/2026/again
        > diff /snapshot/dir /snapshot/copy
            diff: /snapshot/dir and /snapshot/copy are of different directories
        > restore /snapshot/dir /
            restore: /snapshot/dir is of one directory alone: copy from there what you want
        > restore /archive/2003/1220 /dir
            before: /snapshot/...
            + /dir/file
        > snap -s /active/dir/file
            snap: /active/dir/file: not a directory
        > snap -s /active/nosuch
            snap: /active/nosuch: file does not exist
        > snap -s /snapshot
            snap: /snapshot: only what is in /active, or in one snapshot or archive, can be snapshot
        > snap -d /archive/x
            snap: /archive/x: what is there stays for ever, in venti: say so with -a
        > snap -a -d /snapshot/x
            snap: /snapshot/x: a name must be below /archive, such as /archive/before-upgrade
        > snap -d /active/x
            snap: /active/x: a name must be below /snapshot, such as /snapshot/before-upgrade
        > snap -a -d /archive/2003/1220
            snap: /archive/2003/1220: file already exists
        > snap -d /snapshot/2031
            snap: /snapshot/2031: snapshots of that time will be below it: choose another name
        > snap -d /snapshot/2031/0102
            snap: /snapshot/2031/0102: snapshots of that time will be below it: choose another name
        > snap -d /snapshot/2031/0102/0000
        > snap -a -d /archive/2031
            snap: /archive/2031: archives of that time will be below it: choose another name
        > last -w
            vac:...
        > venti nowhere
            nowhere: connection refused
        > snap -a -d /archive/2003/1221
        > clri /archive/2003/1221 /archive/2003/1220
            clri /archive/2003/1220: archives stay for ever
        > clri /archive/2003/1221
            clri /archive/2003/1221: file does not exist
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
        > msg -m 64 -p 5
            msg -m 64 -p 1
        > msg -p 0
            usage: msg [-m nmsg] [-p nproc]
        > bind /nosuch/directory /dev
            bind: /nosuch/directory: there is no such directory
        > bind -ab * /dev
            usage: bind [-b|-a|-c|-bc|-ac] new old
        > fsys all close
            cannot use fsys 'all' with 'close' command
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
            nosuch: - eh? (say help)
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
