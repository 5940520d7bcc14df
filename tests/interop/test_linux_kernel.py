"""The Linux kernel's 9P client (v9fs) uses our servers: mounts them and does what people do with files.

One boot for each server: the whole script runs in the guest, part by part, and the tests look at what each part said.
What the guest wrote is then read back with our own client, and the other way round.
"""

from __future__ import annotations

import getpass
import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from interop.guest import HOST, Unavailable, boot

from programs.processes import Program, free_port, run

pytestmark = [pytest.mark.kernel, pytest.mark.process]

GIVEN = random.Random(9).randbytes(3 * 1024 * 1024 + 17)
"""A file that is there before the guest comes."""

SCRIPT = """
part() { echo "@@ $1"; }
mounted() { mount -t 9p -o "trans=tcp,port=$PORT,version=9p2000,noextend,uname=$USER,aname=$ANAME,$1" $HOST /mnt; }

part mount
mounted msize=65560 && grep -c ' /mnt 9p ' /proc/mounts
cd /mnt || exit 9

part given
sha256sum < given
stat -c '%s %F %a' given
dd if=given bs=1000 skip=1000 count=3 2>/dev/null | sha256sum

part write
echo 'one line' > note && cat note && stat -c '%s %F %a' note
echo 'another' >> note && cat note
printf XX | dd of=note bs=1 seek=4 conv=notrunc 2>/dev/null && cat note
echo short > note && cat note
: > empty && stat -c '%s' empty
printf end | dd of=sparse bs=1 seek=100000 2>/dev/null && stat -c '%s' sparse
head -c 100000 sparse | tr -d '\\0' | wc -c

part names
mkdir 'with space' 'grüße' && echo x > 'with space/ünïcode 名前' && echo with*/* gr*
below=1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20
mkdir -p $below && echo deep > $below/f && cat $below/f
long=$(printf 'n%.0s' $(seq 200)) && echo l > $long && cat $long

part many
mkdir many && for i in $(seq 400); do echo $i > many/file-$i; done
ls many | wc -l
cat many/* | sort -n | sha256sum

part rename
echo r > before && mv before after && cat after && ls before 2>&1
echo t > target && mv after target 2>&1; cat after target
mv target 1/ && cat 1/target && ls target 2>&1; mv 1/target .
mkdir olddir && echo in > olddir/f && mv olddir newdir && cat newdir/f

part attributes
echo a > a && chmod 640 a && stat -c '%a' a
touch -d '2001-02-03 04:05:06' a && TZ=UTC stat -c '%Y' a
chmod 755 newdir && stat -c '%a %F' newdir
truncate -s 3 given-copy 2>/dev/null; printf 123456 > cut && truncate -s 3 cut && cat cut && echo
truncate -s 10 cut && stat -c '%s' cut

part remove
rm a && ls a 2>&1
rmdir newdir 2>&1
rm newdir/f && rmdir newdir && ls -d newdir 2>&1
rm -r many && ls -d many 2>&1
echo still > open && exec 5< open && rm open && ls open 2>&1
exec 5<&-

part refused
ls nosuch 2>&1
mkdir note 2>&1
cat 'with space' 2>&1
ln -s note link 2>&1 || echo no links
mkdir -p note/x 2>&1

part big
head -c 8388608 /dev/urandom > /tmp/big && sha256sum < /tmp/big
cp /tmp/big big && cmp /tmp/big big && echo same
for n in 1 2 3 4; do cp /tmp/big big-$n & done; wait
for n in 1 2 3 4; do cmp /tmp/big big-$n && echo same $n; done
rm big-1 big-2 big-3 big-4

part killed
(while :; do cat big; done > /dev/null) & loop=$!
(while :; do cp /tmp/big torn; done) & copy=$!
sleep 1; kill -9 $loop $copy; killall -9 cat cp 2>/dev/null; wait 2>/dev/null
rm -f torn; cmp /tmp/big big && echo same

part remount
cd / && umount /mnt && mounted msize=8216 && cd /mnt && printf '%s\\n' *
cmp /tmp/big big && echo same

part cached
cd / && umount /mnt && mounted msize=65560,cache=loose && cd /mnt
cmp /tmp/big big && cp /tmp/big big-again && sync && echo loose > loose && cat loose

part end
cd / && umount /mnt && echo unmounted
"""


class Served(NamedTuple):
    """What one server said to the guest, and how to ask the server itself."""

    parts: dict[str, list[str]]
    address: str
    aname: str

    def ask(self, *command: str) -> str:
        return run("ninep", "-a", self.address, "-A", self.aname, *command)


class Server(NamedTuple):
    """How to start one: a program's arguments, in which ``ADDRESS`` and ``DIRECTORY`` are filled in, and its tree."""

    name: str
    arguments: tuple[str, ...]
    aname: str


SERVERS = [
    Server("ramfs", ("ninep", "ramfs", "ADDRESS"), ""),
    Server("fossil", ("fossil", "serve", "--data", "DIRECTORY", "--listen", "ADDRESS"), "main/active"),
]


@pytest.fixture(scope="module", params=SERVERS, ids=[server.name for server in SERVERS])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server: Server = request.param
    scratch = tmp_path_factory.mktemp(server.name)
    (scratch / "given").write_bytes(GIVEN)
    port = free_port()
    address = f"tcp!127.0.0.1!{port}"
    filled = {"ADDRESS": address, "DIRECTORY": f"{scratch}/data"}
    program = Program(port, *(filled.get(word, word) for word in server.arguments), log=scratch / "log")
    try:
        run("ninep", "-a", address, "-A", server.aname, "put", f"{scratch}/given", "given")
        settings = f"PORT={port} HOST={HOST} USER={getpass.getuser()} ANAME={server.aname}\n"
        try:
            outcome = boot(settings + SCRIPT)
        except Unavailable as reason:
            pytest.skip(str(reason))
        assert outcome.status == 0, outcome.output
        yield Served(parts(outcome.output), address, server.aname)
    except BaseException:
        program.kill()
        raise
    program.stop()


def parts(output: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in output.splitlines():
        if line.startswith("@@ "):
            lines = found.setdefault(line[3:], [])
        else:
            lines.append(line)
    return found


def digest(data: bytes) -> str:
    return f"{hashlib.sha256(data).hexdigest()}  -"


def test_mount_and_unmount(served: Served) -> None:
    assert served.parts["mount"] == ["1"]
    assert served.parts["end"] == ["unmounted"]


def test_reading_what_was_there(served: Served) -> None:
    whole, status, piece = served.parts["given"]
    assert whole == digest(GIVEN)
    assert status.startswith(f"{len(GIVEN)} regular file ")
    assert piece == digest(GIVEN[1000_000:1003_000])


def test_writing(served: Served) -> None:
    made, status, *rest = served.parts["write"]
    assert made == "one line"
    assert status == "9 regular file 644"
    assert rest == [
        *("one line", "another"),
        *("one XXne", "another"),
        "short",
        "0",
        *("100003", "0"),
    ]


def test_names(served: Served) -> None:
    assert served.parts["names"] == ["with space/ünïcode 名前 grüße", "deep", "l"]


def test_a_directory_of_many_messages(served: Served) -> None:
    count, content = served.parts["many"]
    assert count == "400"
    assert content == digest("".join(f"{number}\n" for number in range(1, 401)).encode())


def test_renaming(served: Served) -> None:
    """The manual's rule holds that renaming never replaces a file; between directories ``mv`` copies."""
    assert served.parts["rename"] == [
        *("r", "ls: before: No such file or directory"),
        *("mv: can't rename 'after': File exists", "r", "t"),
        *("t", "ls: target: No such file or directory"),
        "in",
    ]


def test_attributes(served: Served) -> None:
    assert served.parts["attributes"] == ["640", "981173106", "755 directory", "123", "10"]


def test_removing(served: Served) -> None:
    assert served.parts["remove"] == [
        "ls: a: No such file or directory",
        "rmdir: 'newdir': Directory not empty",
        "ls: newdir: No such file or directory",
        "ls: many: No such file or directory",
        "ls: open: No such file or directory",
    ]


def test_refusals_are_the_errors_people_know(served: Served) -> None:
    missing, exists, directory, *link, below = served.parts["refused"]
    assert missing == "ls: nosuch: No such file or directory"
    assert exists == "mkdir: can't create directory 'note': File exists"
    assert "Is a directory" in directory
    assert link[-1] == "no links"
    assert "Not a directory" in below or "File exists" in below


def test_big_files_one_and_four_at_a_time(served: Served) -> None:
    assert served.parts["big"][1:] == ["same", "same 1", "same 2", "same 3", "same 4"]


def test_killed_readers_and_writers_leave_the_mount_usable(served: Served) -> None:
    assert served.parts["killed"][-1] == "same"


def test_everything_is_there_after_mounting_again(served: Served) -> None:
    *names, same = served.parts["remount"]
    assert same == "same"
    assert {"1", "big", "cut", "empty", "given", "grüße", "note", "sparse", "target", "with space"} <= set(names)
    assert not {"a", "before", "many", "newdir", "olddir", "open"} & set(names)


def test_with_the_kernels_cache(served: Served) -> None:
    assert served.parts["cached"] == ["loose"]


def test_our_client_reads_what_the_kernel_wrote(served: Served, tmp_path: Path) -> None:
    for name in ("big", "big-again"):
        served.ask("get", name, f"{tmp_path}/{name}")
        assert digest((tmp_path / name).read_bytes()) == served.parts["big"][0]
    assert served.ask("cat", "loose") == "loose\n"
    assert served.ask("cat", "with space/ünïcode 名前") == "x\n"
