"""The Linux kernel mounts a fossil with its past, in every dialect and cache mode: each moment shows what was then.

The kernel knows files by the paths of their qids. Where two have the same it shows, and changes, the wrong one.
"""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest
from interop.guest import HOST, Unavailable, boot

from programs.processes import Program, free_port, run

pytestmark = [pytest.mark.kernel, pytest.mark.process, pytest.mark.timeout(400)]

ANAMES = ("main", "main/snapshot", "main/archive")
CACHES = ("none", "mmap", "loose", "fscache")
WAYS = [
    *((aname, "9p2000.L", cache) for aname in ANAMES for cache in CACHES),
    *(("main", dialect, cache) for dialect in ("9p2000,noextend", "9p2000.u") for cache in ("none", "loose")),
]

SCRIPT = """
try() {
    mount -t 9p -o "trans=tcp,port=$PORT,version=$2,uname=$USER,aname=$1,cache=$3,msize=65560" $HOST /mnt || return
    cd /mnt
    for turn in 1 2; do
        for file in $(find . -name file | if [ $turn = 1 ]; then sort; else sort -r; fi); do
            echo "shown $file $(cat $file) $(stat -c %s $file)"
        done
    done
    find . | while read place; do echo "$(stat -c %i "$place") $place"; done > /tmp/inodes
    echo "places $(wc -l < /tmp/inodes) inodes $(cut -d' ' -f1 /tmp/inodes | sort -u | wc -l)"
    for file in $(find . -name file | grep -v active); do
        (echo scribble >> $file) 2>/dev/null && echo "written $file"
        rm -f $file 2>/dev/null && echo "removed $file"
    done
    if [ -d active ]; then
        for file in $(find . -name file); do cat $file > /dev/null; done
        echo newer > active/tree/file
        for file in $(find . -name file | sort); do echo "later $file $(cat $file)"; done
        printf 'number 3\\n' > active/tree/file
    fi
    cd / && umount /mnt || echo "not unmounted"
}
"""


def test_every_moment_in_every_way(tmp_path: Path) -> None:
    port = free_port()
    address, data = f"tcp!127.0.0.1!{port}", ("--data", f"{tmp_path}/data")
    fossil = Program(port, "fossil", "serve", *data, "--listen", address, log=tmp_path / "fossil.log")
    try:
        (tmp_path / "tree/dir").mkdir(parents=True)
        moments = {}
        for number, command in enumerate((("snap",), ("snap", "-a"), ("snap", "-a"), ())):
            (tmp_path / "tree/file").write_text(f"number {number}\n")
            (tmp_path / "tree/dir/file").write_text(f"number {number}\n")
            run("ninep", "-a", address, "put", "-r", f"{tmp_path}/tree", "tree")
            moments[run("fossil", *command, *data).strip().lstrip("/") if command else "active"] = number
        tries = "\n".join(f"echo '@ {' '.join(way)}'; try {' '.join(way)}" for way in WAYS)
        script = f"PORT={port} HOST={HOST} USER={getpass.getuser()}\n{SCRIPT}{tries}\n"
        try:
            outcome = boot(script)
        except Unavailable as reason:
            pytest.skip(str(reason))
        assert outcome.status == 0, outcome.output
        ways = outcome.output.split("@ ")[1:]
        assert len(ways) == len(WAYS)
        for way in ways:
            _check(way, moments)
        assert run("ninep", "-a", address, "cat", "tree/file") == "number 3\n"
        assert run("ninep", "-a", address, "cat", "tree/dir/file") == "number 3\n"
    finally:
        fossil.kill()


def _check(way: str, moments: dict[str, int]) -> None:
    first, *lines = way.splitlines()
    above = first.split()[0].removeprefix("main").lstrip("/")
    expected = {}
    for moment, number in moments.items():
        if moment.startswith(above):
            place = f"./{moment.removeprefix(above).lstrip('/')}/tree"
            expected |= {f"{place}/file": number, f"{place}/dir/file": number}
    shown = [line.split()[1:] for line in lines if line.startswith("shown")]
    assert {place: int(number) for place, _, number, size in shown if size == "9"} == expected, way
    assert len(shown) == 2 * len(expected), way
    (counted,) = [line.split() for line in lines if line.startswith("places")]
    assert counted[1] == counted[3], way
    assert int(counted[1]) > 4 * len(expected) // 2, way
    later = {line.split()[1]: line.split()[-1] for line in lines if line.startswith("later")}
    if "./active/tree/file" in expected:
        now = {place: str(number) for place, number in expected.items()} | {"./active/tree/file": "newer"}
        assert later == now, way
    assert not [line for line in lines if line.split()[0] not in ("shown", "places", "later")], way
