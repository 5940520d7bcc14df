"""One script for all programs, its manual pages and completions, and what a build has in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from grid.__main__ import PROGRAMS, main
from grid.pages import commands_of, manual, parsers, write_pages

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_is_called_by_its_name(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([program, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: ninegrid {program} ")
    assert main([program, "no-such-command"]) == 2
    assert f"ninegrid {program}: error:" in capsys.readouterr().err


def test_an_error_is_the_one_of_the_program(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["fossil", "df", "--data", str(tmp_path)]) == 3
    assert capsys.readouterr().err.startswith("fossil: no file server is running on ")


def test_help_tells_of_all_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for program in PROGRAMS:
        assert f"\n    {program} " in told


@pytest.mark.parametrize("words", [[], ["no-such-program"], ["--no-such-flag"]])
def test_mistakes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("usage: ninegrid ")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ninegrid")


def test_help_and_version_load_no_program() -> None:
    code = "import sys; from grid.__main__ import main; main(['--help']); print(); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(found.stdout.splitlines()[-1].split())
    assert not {"trio", "venti", "fossil", "cfs", "lmdb", "importlib.metadata"} & loaded


@pytest.mark.parametrize("script", ["ninegrid", "ninep"])
def test_manual_pages_tell_of_every_command_and_flag(script: str) -> None:
    parser = parsers()[script]
    page = manual(script, parser)
    assert page.startswith(f".TH {script.upper()} 1\n")
    waiting = [parser]
    while waiting:
        one = waiting.pop()
        assert one is parser or one.prog.replace("-", "\\-").lower() in page.lower()
        for action in one._actions:
            for flag in action.option_strings:
                assert f"\\fB{flag.replace('-', chr(92) + '-')}\\fR" in page, flag
        waiting += [command for _, command, _ in commands_of(one)]


def test_no_line_of_a_manual_page_is_a_request_by_mistake() -> None:
    for script, parser in parsers().items():
        requests = {line.split()[0] for line in manual(script, parser).splitlines() if line.startswith((".", "'"))}
        assert requests == {".TH", ".SH", ".SS", ".TP", ".PP"}


def test_pages_and_completions_are_written(tmp_path: Path) -> None:
    pytest.importorskip("shtab")
    made = write_pages(tmp_path)
    assert [str(path) for path in made] == [
        "share/bash-completion/completions/ninegrid",
        "share/bash-completion/completions/ninep",
        "share/man/man1/ninegrid.1",
        "share/man/man1/ninep.1",
        "share/zsh/site-functions/_ninegrid",
        "share/zsh/site-functions/_ninep",
    ]
    completion = (tmp_path / made[0]).read_text()
    for word in ("venti", "rebuild-index", "--index-memory", "snapshots", "warm"):
        assert word in completion
    subprocess.run(["bash", "-n", str(tmp_path / made[0])], check=True, timeout=60)
