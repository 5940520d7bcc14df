"""The interpreter of the console: lines without a file system, from a file, and of any words."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fossil.commands.interpreter import Interpreter
from fossil.commands.registry import FSYS, SERVER
from fossil.console.words import quoted
from programs.console_talk import OPEN, say, served


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


async def test_a_file_of_commands(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo one\nfoo\n# nothing\necho two\n")
    async with served(tmp_path / "data") as server:
        interpreter = Interpreter(server)
        said = await say(interpreter, f". {script}")
        assert said == f"one\nfoo: foo: - eh? (say help)\ntwo\nerrors in . '{script}'\n"
        script.write_text("echo fine")
        assert await say(interpreter, f". {script}") == "fine\n"
        assert "No such file" in await say(interpreter, f". {tmp_path}/nosuch")
        assert "null" in await say(interpreter, ". \0")
        assert "too long" in await say(interpreter, f". {'x' * 300}")
        script.write_bytes(b"\xff")
        assert "UTF-8" in await say(interpreter, f". {script}")


NAMES = sorted({*FSYS, *SERVER} - {".", "dflag", "last", "listen", "srv"})
WORDS = (
    *(
        "/active",
        "/active/adm",
        "/active/adm/users",
        "/active/d",
        "/snapshot",
        "/snapshot/s",
        "/archive",
        "a/b",
        "..",
        "",
    ),
    *(
        "main",
        "other",
        "adm",
        "none",
        "noworld",
        ":x",
        "+adm",
        "-adm",
        "=adm",
        "%new",
        "glenda",
        "d775",
        "yyyy",
        "é",
        "\x01",
    ),
    *(
        "-a",
        "-d",
        "-s",
        "-p",
        "-w",
        "-r",
        "-m",
        "-y",
        "-f",
        "-j",
        "-n",
        "--",
        "0",
        "1",
        "-1",
        "~0",
        "0x10",
        "08",
        "2500",
    ),
    *("99999999999999999999", "9223372036854775808", "1e5", "fix", "venti", "x" * 300, "/active/" + "d" * 300, "a b"),
    *("Tversion", "Tattach", "Twalk", "Twstat", "Tread", "Twrite", "Tcreate", "nexttag", "8192", "9P2000"),
)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_said_is_done_or_refused(tmp_path: Path, seed: int) -> None:
    """Any other exception would end the test."""
    source = random.Random(seed)
    async with served(tmp_path) as server:
        interpreter = Interpreter(server)
        for _ in range(600):
            if "main" not in server.table or server.table["main"].fossil is None:
                await say(interpreter, OPEN)
            words = [source.choice(WORDS) for _ in range(source.choice((0, 0, 1, 1, 2, 2, 3, 4, 5, 7)))]
            await say(interpreter, " ".join([source.choice(NAMES), *map(quoted, words)]))
