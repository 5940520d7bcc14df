"""The interpreter of the console: lines without a file system, and from a file."""

from __future__ import annotations

from pathlib import Path

from contracts.console_talk import say, served
from fossil.interpreter import Interpreter
from fossil.registry import FSYS, SERVER


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
        assert said == f"one\nfoo: foo: - eh?\ntwo\nerrors in . '{script}'\n"
        script.write_text("echo fine")
        assert await say(interpreter, f". {script}") == "fine\n"
        assert "No such file" in await say(interpreter, f". {tmp_path}/nosuch")
        script.write_bytes(b"\xff")
        assert "UTF-8" in await say(interpreter, f". {script}")
