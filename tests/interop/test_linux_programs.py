"""Large work on our servers as Linux mounts them: thousands of files, git, a compiler, record locks of several clients.

It takes minutes, so that the suite does some of it. All of it, on both servers and with all caches of the kernel, and
how long each part took::

    LINUX_PROGRAMS=all pytest -n 0 -s --timeout 600 tests/interop/test_linux_programs.py
"""

from __future__ import annotations

import getpass
import hashlib
import io
import os
import random
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from interop.guest import HOST, Entry, Unavailable, boot
from interop.guest_programs import compiler, git, make, with_folders

from programs.processes import Program, free_port

pytestmark = [pytest.mark.kernel, pytest.mark.process]

ALL = os.environ.get("LINUX_PROGRAMS") == "all"
FILES, FOLDERS, MODULES = 2000 if ALL else 100, 40, 16
SERVERS = {
    "export": (("ninep", "export", "DIRECTORY", "ADDRESS", "--map-users", f"*={getpass.getuser()}"), ""),
    "fossil": (("fossil", "serve", "--data", "DIRECTORY", "--listen", "ADDRESS"), "main/active"),
}
EVERY = [(server, cache) for server in SERVERS for cache in ("none", "loose", "mmap")]
WAYS = EVERY if ALL else [("export", "loose"), ("fossil", "none")]

SCRIPT = """
part() { echo "@@ $1"; read up rest < /proc/uptime; echo "## $1 $up" > /dev/console; }
attach() { mount -t 9p -o trans=tcp,port=$PORT,version=9p2000.L,uname=$USER,aname=$ANAME,msize=131096,$1 $HOST $2; }
export PATH=/bin:/usr/bin HOME=/tmp GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat GIT_TEMPLATE_DIR=
git() { command git -c safe.directory='*' -c user.name=Glenda -c user.email=glenda@example.org -c gc.auto=0 "$@" 2>&1; }

part mount
mkdir /other && attach cache=$CACHE /mnt && attach cache=none /other && echo mounted

part files
cd /mnt && tar -xf /given/tree.tar && find tree -type f | wc -l
find tree -type f | sort | xargs sha256sum | sha256sum
tar -cf - tree | tar -xf - -C /tmp && cd /tmp && find tree -type f | sort | xargs sha256sum | sha256sum
rm -r /tmp/tree && cd /mnt && rm -r tree && [ ! -e tree ] && echo removed

part clone
git clone -q file:///given/repository /mnt/clone
cd /mnt/clone && git status --porcelain && git log --oneline | wc -l && git fsck --no-progress --strict
find . -type f -not -path './.git/*' | sort | xargs sha256sum | sha256sum
echo more >> file-1 && git rm -q file-2 && git mv file-3 moved && echo new > new && git add -A
git commit -qm changed && git status --porcelain && git show --stat --format=%s -M
git clone -q /mnt/clone /mnt/second && cd /mnt/second && git status --porcelain && git log --format=%s -1
git checkout -q HEAD~1 && cat file-2 && git status --porcelain
cd /mnt && rm -rf clone second

part compile
tar -xf /given/source.tar && cd source && make -s -j2 program 2>&1 | grep -v skew; ./program
sleep 1; touch module-3.c && make program 2>&1 | grep -c '^tcc'
./program

part locks
tcc -nostdlib -c -o locks.o /given/locks.c && tcc -nostdlib -static -o /mnt/locks locks.o && echo > /mnt/locked
cd / && locks=/tmp/locks && cp /mnt/locks $locks
$locks /mnt/locked w 0 10 600 > /tmp/first & first=$!
until [ -s /tmp/first ]; do sleep 0.1; done; cat /tmp/first
for place in /mnt /other; do
  $locks $place/locked w 5 10 0; $locks $place/locked t 5 10 0; $locks $place/locked w 10 5 0
done
$locks /other/locked W 5 1 0 > /tmp/second & second=$!
sleep 1; cat /tmp/second; echo waiting; kill $first; wait $second; cat /tmp/second
for place in mnt other; do $locks /$place/locked r 0 10 600 > /tmp/$place & echo $! >> /tmp/readers; done
until [ -s /tmp/mnt -a -s /tmp/other ]; do sleep 0.1; done; cat /tmp/mnt /tmp/other
$locks /other/locked w 3 1 0; kill $(cat /tmp/readers); wait; $locks /other/locked w 3 1 0

part end
cd / && umount /other && umount /mnt && echo unmounted
"""


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def digest(files: dict[str, bytes]) -> str:
    """What ``sha256sum`` says of what ``sha256sum`` says of them, in the order of their names."""
    lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest() + "  -"


def tree() -> dict[str, bytes]:
    chance = random.Random(9)
    return {
        f"tree/{number % FOLDERS:02}/{number}": chance.randbytes(chance.choice((0, 1, 100, 3000, 9000)))
        for number in range(FILES)
    }


def source() -> tuple[dict[str, bytes], int]:
    """A program of some modules, and what it says."""
    rounds = 1000
    modules = {
        f"source/module-{number}.c": f"""
            #include "all.h"
            int module_{number}(int value)
            {{
                for (int at = 0; at < ROUNDS; at++) value = (value * {number + 3} + at) & 0xffff;
                return value;
            }}
            """.encode()
        for number in range(MODULES)
    }
    calls = "".join(f"value = module_{number}(value);" for number in range(MODULES))
    files = modules | {
        "source/all.h": f"#define ROUNDS {rounds}\n".encode()
        + b"".join(b"int module_%d(int);\n" % number for number in range(MODULES)),
        "source/main.c": f"""
            #include "all.h"
            static long call(long number, long a, long b, long c)
            {{
                long result;
                __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11");
                return result;
            }}
            void _start(void)
            {{
                char text[8];
                int value = 1, at = 8;
                {calls}
                text[--at] = '\\n';
                do text[--at] = '0' + value % 10; while (value /= 10);
                call(1, 1, (long)(text + at), 8 - at);
                call(60, 0, 0, 0);
            }}
            """.encode(),
        "source/Makefile": b"OBJECTS = $(patsubst %.c,%.o,$(wildcard *.c))\n"
        b"program: $(OBJECTS)\n\ttcc -nostdlib -static -o $@ $^\n"
        b"%.o: %.c all.h\n\ttcc -nostdlib -c -o $@ $<\n",
    }
    value = 1
    for number in range(MODULES):
        for at in range(rounds):
            value = (value * (number + 3) + at) & 0xFFFF
    return files, value


def repository(folder: Path) -> dict[str, bytes]:
    """Makes one of three commits and returns its files."""
    chance = random.Random(5)
    files = {f"file-{number}": chance.randbytes(chance.choice((10, 500, 6000))) for number in range(1, 200)}
    files |= {f"sub/folder/{number}.txt": f"text {number}\n".encode() * 50 for number in range(100)}
    files["file-2"] = b"two\n"

    def git(*words: str) -> None:
        own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        who = ("-c", "user.name=Glenda", "-c", "user.email=glenda@example.org")
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, env=os.environ | own)

    folder.mkdir()
    git("init", "-q")
    names = list(files)
    for at in range(3):
        for name in names[at::3]:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
        git("add", "-A")
        git("commit", "-qm", f"part {at}")
    return files


def given(folder: Path) -> Iterator[Entry]:
    """The guest's programs and what it works on."""
    yield from git()
    yield from make()
    yield from compiler()
    yield "given/tree.tar", 0o100644, packed(tree())
    yield "given/source.tar", 0o100644, packed(source()[0])
    yield "given/locks.c", 0o100644, (Path(__file__).parent / "guest_sources" / "locks.c").read_bytes()
    for path in sorted((folder / "repository/.git").rglob("*")):
        kind = 0o040755 if path.is_dir() else 0o100644
        below = path.relative_to(folder / "repository")
        yield f"given/repository/{below}", kind, b"" if path.is_dir() else path.read_bytes()


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
def said(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    server, cache = request.param
    arguments, aname = SERVERS[server]
    scratch = tmp_path_factory.mktemp(f"{server}-{cache}")
    (scratch / "data").mkdir()
    port = free_port()
    filled = {"ADDRESS": f"tcp!127.0.0.1!{port}", "DIRECTORY": f"{scratch}/data"}
    try:
        repository(scratch / "repository")
        files = list(with_folders(given(scratch)))
    except (Unavailable, FileNotFoundError) as reason:
        pytest.skip(str(reason))
    program = Program(port, *(filled.get(word, word) for word in arguments), log=scratch / "log")
    try:
        settings = f"PORT={port} HOST={HOST} USER={getpass.getuser()} ANAME={aname} CACHE={cache}\n"
        try:
            outcome = boot(settings + SCRIPT, files=files, megabytes=1024, patience=590 if ALL else 200)
        except Unavailable as reason:
            pytest.skip(str(reason))
        assert outcome.status == 0, outcome.output
        parts: dict[str, list[str]] = {"way": [server, cache]}
        lines: list[str] = []
        for line in outcome.output.splitlines():
            if line.startswith("@@ "):
                lines = parts.setdefault(line[3:], [])
            elif line.startswith("## "):
                print(f"{server}, cache={cache}:{line[2:]} s")
            else:
                lines.append(line)
        yield parts
    except BaseException:
        program.kill()
        raise
    program.stop()


def test_thousands_of_files_in_and_out(said: dict[str, list[str]]) -> None:
    assert said["mount"] == ["mounted"]
    assert said["files"] == [str(FILES), digest(tree()), digest(tree()), "removed"]
    assert said["end"] == ["unmounted"]


def test_git(said: dict[str, list[str]], tmp_path: Path) -> None:
    files = repository(tmp_path / "repository")
    commits, content, *changes, last, second = said["clone"]
    assert (commits, content) == ("3", digest({f"./{name}": data for name, data in files.items()}))
    assert [line.split("|")[0].strip() for line in changes] == [
        "changed",
        "",
        "file-1",
        "file-2",
        "file-3 => moved",
        "new",
        "4 files changed, 1 insertion(+), 1 deletion(-)",
    ]
    assert (last, second) == ("changed", "two")


def test_a_compiler_and_what_it_makes(said: dict[str, list[str]]) -> None:
    value = str(source()[1])
    assert said["compile"] == [value, "2", value]


def test_record_locks_of_one_client_and_of_two(said: dict[str, list[str]]) -> None:
    of_each = ["refused", "taken", "locked"]
    assert said["locks"] == ["locked", *of_each, *of_each, "waiting", "locked", "locked", "locked", "refused", "locked"]
