"""People's work on a fossil that Linux has mounted: a source tree is unpacked, built on, changed by several at once.

The same script runs in the guest and on a directory of this machine, with the same busybox; then all files are
compared, and fossil's own past with what was there before.
"""

from __future__ import annotations

import getpass
import hashlib
import subprocess
import tarfile
from pathlib import Path

import pytest
from interop.guest import HOST, Unavailable, boot, static_busybox

from programs.processes import Program, free_port, run

pytestmark = [pytest.mark.kernel, pytest.mark.process]

ROOT = Path(__file__).parents[2]

WORK = """
tar xzf source.tar.gz || exit 8
cd source
find . -name '*.py' | sort > list
xargs cat < list > source.bin
awk 'NF { lines[FILENAME]++ } END { for (name in lines) print name, lines[name] }' $(cat list) | sort > counted
sed -i -e 's/import/IMPORT/' -e '/^ *#/d' $(cat list)
mkdir built && cp $(cat list) built && gzip built/a*.py built/s*.py && gunzip -c built/*.gz > unpacked
worker() {
    mkdir work-$1
    for n in 1 2 3 4 5 6 7 8 9; do
        echo "$1 $n" >> work-$1/log
        head -c $((n * 5310)) source.bin > work-$1/$n
        [ $((n % 3)) = 0 ] && mv work-$1/$n work-$1/kept-$n
        [ $((n % 4)) = 0 ] && rm -f work-$1/$n
        [ $n = 7 ] && : > work-$1/log
    done
    chmod 600 work-$1/log
}
worker a & worker b & worker c &
wait
mv work-a renamed
cp -r renamed copied
mkdir moved && mv copied/* moved/ && rmdir copied
rm -r work-b
touch -d '2001-02-03 04:05:06' old && touch -d '2037-01-01 00:00:00' future
stat -c '%n %Y' old future > times
exec 5> unlinked; echo held >&5; rm unlinked; echo more >&5; exec 5>&-
for n in 1 2 3 4 5 6 7 8 9; do echo "$n" > many-$((n % 4)); done
sync
"""
LOOK = "find . -type f | sort > /tmp/all; xargs sha256sum < /tmp/all; xargs stat -c '%n %a %s' < /tmp/all"


def source(path: Path) -> None:
    """A package of ours."""
    with tarfile.open(path, "w:gz") as tar:
        for file in sorted({path.name: path for path in (ROOT / "fossil").rglob("[a-s]*.py")}.values())[:30]:
            tar.add(file, f"source/{file.name}")


def test_the_same_as_on_a_directory_of_this_machine(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    source(here / "source.tar.gz")
    port = free_port()
    address = f"tcp!127.0.0.1!{port}"
    data = str(tmp_path / "data")
    program = Program(port, "fossil", "serve", "--data", data, "--listen", address, log=tmp_path / "log")
    try:
        run("ninep", "-a", address, "put", str(here / "source.tar.gz"), "source.tar.gz")
        before = run("fossil", "snap", "--data", data).strip()
        mount = f"trans=tcp,port={port},version=9p2000.L,uname={getpass.getuser()},msize=65560"
        script = f"mount -t 9p -o {mount} {HOST} /mnt && cd /mnt || exit 9\n{WORK}\n"
        script += f"echo @@ look\n{LOOK}\ncd / && umount /mnt\n"
        try:
            outcome = boot(script, patience=100)
        except Unavailable as reason:
            pytest.skip(str(reason))
        assert outcome.status == 0, outcome.output
        program.kill()
        program = Program(port, "fossil", "serve", "--data", data, "--listen", address, log=tmp_path / "log")

        (tmp_path / "busybox").write_bytes(static_busybox())
        (tmp_path / "busybox").chmod(0o755)
        tools = tmp_path / "bin"
        tools.mkdir()
        subprocess.run([tmp_path / "busybox", "--install", "-s", tools], check=True, timeout=60)
        there = subprocess.run(
            [tmp_path / "busybox", "sh", "-c", f"{WORK}\necho @@ look\n{LOOK}"],
            cwd=here,
            env={"PATH": str(tools), "TZ": "UTC", "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert there.returncode == 0, there.stderr
        expected = there.stdout.partition("@@ look\n")[2].splitlines()
        found = outcome.output.partition("@@ look\n")[2].replace("\r", "").splitlines()
        assert len(expected) > 150
        assert found[: len(expected)] == expected

        run("ninep", "-a", address, "get", "-r", "source", str(tmp_path / "got"))
        assert tree(tmp_path / "got") == tree(here / "source")
        changed = run("fossil", "diff", "--data", data, before, "active").splitlines()
        assert len(changed) > 80
        assert {line.split("\t")[0] for line in changed} == {"+"}
        run("fossil", "restore", "--data", data, "--delete", before, "/")
        assert run("ninep", "-a", address, "ls").split() == ["adm", "source.tar.gz"]
    except BaseException:
        program.kill()
        raise
    program.stop()


def tree(path: Path) -> dict[str, str]:
    files = (file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
