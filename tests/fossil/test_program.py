"""``python -m fossil`` as people start it: configurations, the console, exit codes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from programs.processes import Program, environment, free_port, running


def fossil(*words: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """What a command prints and how it ends."""
    command = [sys.executable, "-m", "fossil", *words]
    return subprocess.run(
        command, env=environment() | more, input=stdin, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_configuration_and_what_the_commands_say(tmp_path: Path) -> None:
    port = free_port()
    address = f"tcp!127.0.0.1!{port}"
    data = tmp_path / "data"
    config = tmp_path / "fossil.conf"
    config.write_text(
        "# the classic three lines, more or less\n"
        "fsys main config /dev/sdF0/fossil\n"
        "fsys main open -c 3000\n"
        f"srv -p fscons\nsrv -A fossil\nlisten {address}\n"
    )
    words = ("fossil", "serve", "--data", str(data), "--config", str(config), "-c", "fsys main snaptime -s 60")
    server = Program(port, *words, log=tmp_path / "log")
    with running(server):
        at = ("--data", str(data / "sdF0" / "fossil"))
        assert fossil("con", *at, "snaptime").stdout == "\tsnaptime -a none -s 60 -t none\n"
        script = "create /active/dir adm adm d775\n# nothing\n\ncreate /active/dir/a adm adm 664\n"
        done = fossil("con", *at, stdin=script)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        done = fossil("con", "--data", str(data), stdin="fsys main\nstat /active/dir/a\nfoo\n")
        assert (done.returncode, done.stderr) == (1, "foo: - eh? (say help)\n")
        assert done.stdout == "\tstat /active/dir/a a adm adm 664 0\n"
        snap = fossil("snap", *at).stdout.strip()
        fossil("con", *at, "wstat /active/dir/a - - - - 5")
        assert fossil("diff", *at, snap, "active").stdout == "M\t/dir/a\n"
        assert json.loads(fossil("diff", *at, "--json", snap, "active").stdout)["change"] == "M"
        assert len(fossil("history", *at, "/active/dir/a").stdout.splitlines()) == 2
        done = fossil("history", *at, "/active/nosuch")
        assert (done.returncode, done.stdout) == (5, "")
        assert fossil("diff", *at, "yesterday", "active").returncode == 5
        assert fossil("restore", *at, "--dry-run", snap, "/dir").stdout == "M\t/dir/a\n"
        assert fossil("restore", *at, snap, "/dir").stdout.splitlines()[1:] == ["M\t/dir/a"]
        assert fossil("restore", *at, "active", "/dir").returncode == 1
        other = fossil("serve", "--data", str(data / "sdF0" / "fossil"), "--listen", "tcp!127.0.0.1!0")
        assert other.returncode == 1
        assert "in use by another process" in other.stderr
        assert fossil("last", *at).returncode == 5
    assert f"serving {data}/sdF0/fossil on {address} unix!{data}/srv/fossil" in (tmp_path / "log").read_text()
    assert fossil("status", *at).returncode == 3
    assert not (data / "srv" / "fscons").exists()


@pytest.mark.parametrize(
    ("lines", "words", "code", "text"),
    [
        (
            "fsys main config *\nfsys main opn\n\nfoo\n",
            [],
            2,
            "conf:2: unknown command - 'opn'\n{}/conf:4: foo: - eh? (say",
        ),
        ("fsys main open\n", [], 1, "conf:1: fsys main open: fsys: 'main' not found"),
        ("listen tcp!*!0\n", [], 1, "conf:1: listen tcp!*!0: "),
        ("", ["-c", "srv -z"], 2, "-c: usage: srv"),
        ("srv x\n", ["--listen", "tcp!127.0.0.1!0"], 2, "not as flags"),
    ],
)
def test_a_server_that_does_not_start(tmp_path: Path, lines: str, words: list[str], code: int, text: str) -> None:
    config = tmp_path / "conf"
    config.write_text(lines)
    done = fossil("serve", "--data", str(tmp_path / "data"), "--config", str(config), *words)
    assert done.returncode == code, done.stderr
    assert text.format(tmp_path) in done.stderr


def test_data_of_another_version(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with sqlite3.connect(data / "metadata") as database:
        database.execute("PRAGMA user_version=99")
        database.execute("CREATE TABLE something (x)")
    done = fossil("serve", "--data", str(data), "--listen", "tcp!127.0.0.1!0")
    assert done.returncode == 4
    assert "format 99" in done.stderr
    done = fossil("con", "--data", str(tmp_path / "nowhere"))
    assert done.returncode == 5
    assert "python -m fossil serve --data" in done.stderr
