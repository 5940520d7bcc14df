"""Pages are run as they stand: each ``sh`` block in order; what it prints is compared with the plain block after it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from programs.processes import environment

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ("tutorial.md", "howto/synthetic-trees.md", "howto/use-from-python.md")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def steps(page: str) -> list[tuple[str, str | None]]:
    """(commands, expected output or None) in the order of the page."""
    found: list[tuple[str, str | None]] = []
    for kind, text in BLOCK.findall((DOCS / page).read_text()):
        if kind == "sh":
            found.append((text, None))
        elif not kind:
            commands, expected = found.pop()
            assert expected is None
            found.append((commands, text))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_output_belongs_to_commands(page: str) -> None:
    assert len(steps(page)) >= 4
    assert sum(expected is not None for _, expected in steps(page)) >= 3


@pytest.mark.process
@pytest.mark.parametrize("page", PAGES)
def test_tutorial_does_what_it_says(page: str, tmp_path: Path) -> None:
    shell = subprocess.Popen(
        ["bash"],
        cwd=tmp_path,
        env=environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert shell.stdin is not None
    assert shell.stdout is not None
    mark = "---end of step---"
    try:
        for number, (commands, expected) in enumerate(steps(page)):
            log = tmp_path / f"server-{number}.log"
            background = re.sub(r"&\s*$", f">{log} 2>&1 &", commands) if commands.rstrip().endswith("&") else commands
            shell.stdin.write(f"{{\n{background}\n}} </dev/null\necho '{mark}'\n")
            shell.stdin.flush()
            printed = ""
            while not printed.endswith(f"{mark}\n"):
                line = shell.stdout.readline()
                assert line, f"the shell ended in {commands}"
                printed += line
            printed = printed.removesuffix(f"{mark}\n")
            if background is not commands:
                deadline = time.monotonic() + 60
                while "serving" not in (log.read_text() if log.exists() else ""):
                    assert time.monotonic() < deadline, (commands, log.read_text())
                    time.sleep(0.05)
            if expected is not None:
                assert printed.strip() == expected.strip(), commands
    finally:
        shell.stdin.close()
        os.killpg(shell.pid, signal.SIGTERM)
        time.sleep(0.5)
        os.killpg(shell.pid, signal.SIGKILL)
        shell.stdout.close()
        shell.wait()
