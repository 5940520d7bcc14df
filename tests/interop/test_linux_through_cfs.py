"""The Linux kernel's 9P client reads and writes a fossil through cfs, with the past and the present side by side."""

from __future__ import annotations

import getpass
import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from interop.guest import HOST, Unavailable, boot

from programs.processes import Program, environment, free_port, run

pytestmark = [pytest.mark.kernel, pytest.mark.process]

GIVEN = random.Random(7).randbytes(2 * 1024 * 1024 + 5)

SCRIPT = """
OPTIONS="trans=tcp,port=$PORT,version=9p2000,noextend,uname=$USER,aname=main,msize=65560"
mounted() { mount -t 9p -o "$OPTIONS" $HOST /mnt; }
mounted && cd /mnt || exit 9
echo "@ $(sha256sum < active/given)"
past=$(echo snapshot/*/*/*)
for turn in 1 2 3; do sha256sum < $past/given; ls $past/many | wc -l; cat $past/many/* | wc -c; done
cat cfsctl | grep -c bytesfromcache
cd active
echo 'one line' > note && cat note && echo 'another' >> note && cat note
mkdir -p d/e && for i in $(seq 50); do echo $i > d/e/$i; done && cat d/e/* | wc -l
mv note renamed && cat renamed && rm -r d && echo *
head -c 3000000 /dev/urandom > /tmp/big && cp /tmp/big big && cmp big /tmp/big && echo same
for f in big /tmp/big; do printf XX | dd of=$f bs=1 seek=1000000 conv=notrunc 2>/dev/null; done
cmp big /tmp/big && echo same
sed 's/one/two/' renamed > /tmp/two && cat /tmp/two > renamed && cat renamed
cat ../$past/renamed 2>&1; echo x > ../$past/x
cd / && umount /mnt && mounted && cmp /mnt/active/big /tmp/big && echo same && umount /mnt
"""


def test_past_and_present(tmp_path: Path) -> None:
    far, near = free_port(), free_port()
    fossil_address, cfs_address = f"tcp!127.0.0.1!{far}", f"tcp!127.0.0.1!{near}"
    (tmp_path / "given").write_bytes(GIVEN)
    (tmp_path / "many").mkdir()
    for number in range(100):
        (tmp_path / "many" / f"{number}").write_bytes(b"x" * number)
    data = f"{tmp_path}/data"
    fossil = Program(far, "fossil", "serve", "--data", data, "--listen", fossil_address, log=tmp_path / "fossil.log")
    words = ("cfs", "serve", "-a", fossil_address, "--listen", cfs_address, "--cache", f"{tmp_path}/cache")
    cfs = Program(near, *words, log=tmp_path / "cfs.log")
    try:
        for name in ("given", "many"):
            run("ninep", "-a", fossil_address, "put", "-r", f"{tmp_path}/{name}", name)
        run("fossil", "snap", "--data", data)
        try:
            outcome = boot(f"PORT={near} HOST={HOST} USER={getpass.getuser()}\n" + SCRIPT)
        except Unavailable as reason:
            pytest.skip(str(reason))
        assert outcome.status == 0, outcome.output
        digest = f"{hashlib.sha256(GIVEN).hexdigest()}  -"
        lines = outcome.output.splitlines()
        assert lines[0] == f"@ {digest}"
        assert lines[1:10] == [digest, "100", f"{sum(range(100))}"] * 3
        assert lines[10:23] == [
            *("1", "one line", "one line", "another", "50", "one line", "another"),
            *("adm given many renamed", "same", "same", "two line", "another", lines[22]),
        ], outcome.output
        assert "No such file" in lines[22]
        assert "Read-only file system" in lines[23]
        assert lines[24:] == ["same"]
        said = subprocess.run(
            [sys.executable, "-m", "cfs", "stats", "--json", "-a", cfs_address],
            capture_output=True,
            env=environment(),
            timeout=60,
            check=True,
        )
        values = json.loads(said.stdout)["values"]
        assert values["nlocalwalk"] > 200
        assert values["bytesfromcache"] > 2 * len(GIVEN)
        seen = run("ninep", "-a", fossil_address, "cat", "renamed")
        assert seen == "two line\nanother\n"
    finally:
        cfs.kill()
        fossil.kill()


LINKS = """
mount -t 9p -o "trans=tcp,port=$PORT,version=9p2000.L,uname=$USER,msize=65560" $HOST /mnt && cd /mnt || exit 9
names() { ls -l $1 | awk '{print $2}'; }
echo one > f && ln f g && names f
ln -s f s && readlink s && cat s
mkdir d && mv g d/ && names d/g
echo two >> d/g && cat f
rm f && names d/g && cat d/g
cd / && umount /mnt
"""


def test_links_in_the_dialect_of_linux(tmp_path: Path) -> None:
    """Of an exported directory: hard links are made, counted, moved and read, through the cache."""
    far, near = free_port(), free_port()
    folder = tmp_path / "folder"
    folder.mkdir()
    users = ("--map-users", f"*={getpass.getuser()}")
    address = f"tcp!127.0.0.1!{far}"
    export = Program(far, "ninep", "export", str(folder), address, *users, log=tmp_path / "export.log")
    words = ("cfs", "serve", "-a", address, "--listen", f"tcp!127.0.0.1!{near}", "--cache", f"{tmp_path}/cache")
    cfs = Program(near, *words, log=tmp_path / "cfs.log")
    try:
        try:
            outcome = boot(f"PORT={near} HOST={HOST} USER={getpass.getuser()}\n" + LINKS)
        except Unavailable as reason:
            pytest.skip(str(reason))
        assert outcome.status == 0, outcome.output
        assert outcome.output.split() == ["2", "f", "one", "2", "one", "two", "1", "one", "two"]
        assert (folder / "d" / "g").read_bytes() == b"one\ntwo\n"
    finally:
        cfs.kill()
        export.kill()
