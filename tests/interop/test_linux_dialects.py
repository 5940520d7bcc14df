"""The Linux kernel mounts our servers in every dialect it has and with every cache, and does what Unix programs do.

One boot for each server. Each mount gets a directory of its own, in which a script works with data; where the kernel
has no cache another works with names and attributes. What differs between dialects is written down here, and what
differs between caches is nothing.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from interop.guest import HOST, Unavailable, boot

from programs.processes import Program, free_port

pytestmark = [pytest.mark.kernel, pytest.mark.process]

WAYS = [
    *(("9p2000.L", "none"), ("9p2000.L", "loose"), ("9p2000.L", "mmap")),
    *(("9p2000.u", "none"), ("9p2000.u", "loose"), ("9p2000.u", "mmap")),
    *(("9p2000", "none"), ("9p2000", "loose"), ("9p2000", "mmap")),
]
"""The dialects and caches of the kernel."""

SCRIPT = """
part() { echo "@@ $WAY $1"; }
begin() { cd /mnt && mkdir "$WAY" && cd "$WAY"; }

data() {
part plain
echo hello > file && cat file && stat -c '%s %a %F' file
echo more >> file && cat file
mkdir -p a/b/c && echo deep > a/b/c/d && cat a/b/c/d
ls -A a

part tree
tar -xf /tmp/tree.tar && find tree | wc -l
tar -cf /tmp/again.tar tree && mkdir /tmp/out && tar -xf /tmp/again.tar -C /tmp/out
diff -r /tmp/tree /tmp/out/tree && echo same
rm -r /tmp/out /tmp/again.tar tree && ls -d tree 2>&1

part truncate
printf 0123456789 > t && truncate -s 4 t && cat t && echo && truncate -s 6 t && stat -c %s t && : > t && stat -c %s t

part open
echo still > o && exec 5<>o && rm o && ls o 2>&1; cat <&5 && echo more >&5 && exec 5<&- && echo closed

part sync
dd if=/dev/zero of=s bs=1000 count=1 conv=fsync 2>/dev/null && sync && stat -c %s s
}

names() {
part rename
echo one > one && echo two > two && mv one two 2>&1; cat two
mkdir d && mv two d/two && cat d/two && ls

part excl
(set -C; echo x > new && echo made; echo y > new) 2>&1; cat new

part times
touch -d '2001-02-03 04:05:06' t && TZ=UTC stat -c %Y t

part modes
chmod 640 t && stat -c %a t && chmod 4755 t && stat -c %a t; chmod 751 a && stat -c %a a

part owners
chown 12:34 t && stat -c '%u:%g' t

part links
ln -s a/b/c/d sym && readlink sym && cat sym && stat -c %F sym
ln -s nowhere dangling && [ -L dangling ] && echo dangles

part hard
ln d/two hard && stat -c %h hard && cat hard && echo changed > hard && cat d/two && rm hard && cat d/two

part special
mkfifo pipe && stat -c %F pipe && (echo through > pipe & cat pipe)
mknod null c 1 3 && stat -c '%F %t %T' null && echo x > null && echo gone

part room
df -P . | tail -n 1 | awk '{ print ($2 > 0) }'

part names
tab=$(printf 'tab\\there') byte=$(printf 'byte\\377')
touch "$tab" "$byte" && ls | grep -c tab && rm "$tab" "$byte"
}

end() {
part end
cd / && rm -r "/mnt/$WAY" && echo removed
}

mkdir /tmp/tree && for d in 1 2 3 4; do
  mkdir /tmp/tree/$d; for f in $(seq 10); do echo "$d $f" > /tmp/tree/$d/file-$f; done
done
tar -cf /tmp/tree.tar -C /tmp tree
"""

MOUNT = """
WAY={dialect}-{cache}
part mount
options=trans=tcp,port=$PORT,version={dialect},uname=$USER,aname=$ANAME,msize=65560,cache={cache}
mount -t 9p -o $options $HOST /mnt && echo mounted
(begin && data{more}; end) 2>&1
cd / && umount /mnt && echo unmounted
"""


class Server(NamedTuple):
    """How to start one: a program's arguments, in which ``ADDRESS`` and ``DIRECTORY`` are filled in, and its tree."""

    name: str
    arguments: tuple[str, ...]
    aname: str


SERVERS = [
    Server("export", ("ninep", "export", "DIRECTORY", "ADDRESS", "--map-users", f"*={getpass.getuser()}"), ""),
    Server("fossil", ("fossil", "serve", "--data", "DIRECTORY", "--listen", "ADDRESS"), "main/active"),
]

Way = tuple[str, str]


class Served:
    """What one server said to the guest."""

    def __init__(self, server: Server, output: str) -> None:
        self.server = server
        self.parts: dict[str, list[str]] = {}
        lines: list[str] = []
        for line in output.splitlines():
            if line.startswith("@@ "):
                lines = self.parts.setdefault(line[3:], [])
            else:
                lines.append(line)

    def said(self, way: Way, part: str) -> list[str]:
        return self.parts[f"{way[0]}-{way[1]} {part}"]


@pytest.fixture(scope="module", params=SERVERS, ids=[server.name for server in SERVERS])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server: Server = request.param
    scratch = tmp_path_factory.mktemp(server.name)
    port = free_port()
    (scratch / "data").mkdir()
    filled = {"ADDRESS": f"tcp!127.0.0.1!{port}", "DIRECTORY": f"{scratch}/data"}
    program = Program(port, *(filled.get(word, word) for word in server.arguments), log=scratch / "log")
    try:
        settings = f"PORT={port} HOST={HOST} USER={getpass.getuser()} ANAME={server.aname}\n"
        mounts = [
            MOUNT.format(dialect=dialect, cache=cache, more=" && names" * (cache == "none")) for dialect, cache in WAYS
        ]
        try:
            outcome = boot(settings + SCRIPT + "".join(mounts), patience=290)
        except Unavailable as reason:
            pytest.skip(str(reason))
        assert outcome.status == 0, outcome.output
        yield Served(server, outcome.output)
    except BaseException:
        program.kill()
        raise
    program.stop()


every_way = pytest.mark.parametrize("way", WAYS, ids="-".join)
without_cache = pytest.mark.parametrize("way", [way for way in WAYS if way[1] == "none"], ids="-".join)


@every_way
def test_what_all_dialects_have(served: Served, way: Way) -> None:
    expected = {
        "mount": ["mounted"],
        "plain": ["hello", "6 644 regular file", "hello", "more", "deep", "b"],
        "tree": ["45", "same", "ls: tree: No such file or directory"],
        "truncate": ["0123", "6", "0"],
        "open": ["ls: o: No such file or directory", "still", "closed"],
        "sync": ["1000"],
        "end": ["removed", "unmounted"],
    }
    assert {part: served.said(way, part) for part in expected} == expected


@without_cache
def test_what_unix_has(served: Served, way: Way) -> None:
    assert served.said(way, "times") == ["981173106"]
    made, refused, content = served.said(way, "excl")
    assert (made, content) == ("made", "x")
    assert "File exists" in refused
    if way[0] == "9p2000":
        assert served.said(way, "links") == [f"ln: {name}: Operation not permitted" for name in ("sym", "dangling")]
        assert served.said(way, "modes") == ["640", "755", "751"]
        assert "File exists" in served.said(way, "rename")[0]
        return
    assert served.said(way, "links") == ["a/b/c/d", "deep", "symbolic link", "dangles"]
    assert served.said(way, "modes") == ["640", "4755", "751"]
    assert served.said(way, "rename")[:2] == ["one", "one"]
    if served.server.name == "export" and os.getuid():
        return
    assert served.said(way, "owners") == ["12:34"]
    assert served.said(way, "special") == ["fifo", "through", "character special file 1 3", "gone"]


@without_cache
def test_hard_links_where_there_are_some(served: Served, way: Way) -> None:
    if way[0] == "9p2000":
        assert served.said(way, "hard") == ["ln: hard: Operation not permitted"]
    elif way[0] == "9p2000.L" or served.server.name == "fossil":
        assert served.said(way, "hard") == ["2", "one", "changed", "changed"]


@without_cache
def test_the_room(served: Served, way: Way) -> None:
    assert served.said(way, "room") == ["1" if way[0] == "9p2000.L" else "0"]
