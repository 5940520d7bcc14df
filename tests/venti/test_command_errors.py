"""What people get wrong on the command line: one line that says what to do, and an exit code for programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ninep.cli.codes import DAMAGED, FAILED, NOT_FOUND, UNREACHABLE, USAGE
from programs.processes import free_port
from venti.__main__ import main

SCORE = "da39a3ee5e6b4b0d3255bfef95601890afd80709"


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("venti", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "file").write_text("no directory")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/format").write_text("ninegrid venti store 99\n")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["read", "zz"], USAGE, "'zz' is not a score: 40 hexadecimal digits are"),
        (["read", SCORE[:-1] + "g"], USAGE, "is not a score"),
        (["read", SCORE], USAGE, "which archive? say -h ADDRESS, or set the variable 'venti'"),
        (["read", "-h", "tcp!127.0.0.1!PORT", SCORE], UNREACHABLE, "is the server running, and is the address right?"),
        (["sync", "-h", "bogus!!x"], USAGE, "'bogus!!x' asks for 'bogus'"),
        (["serve", "0.0.0.0:PORT"], USAGE, "nobody has to prove who he is"),
        (["serve", "tcp!127.0.0.1!70000"], USAGE, "'70000' is neither a port nor a service"),
        (
            ["serve", "tcp!127.0.0.1!PORT", "--store", "DIR/file"],
            FAILED,
            "DIR/file/arenas: see to that",
        ),
        (["serve", "tcp!127.0.0.1!PORT", "--store", "/etc"], NOT_FOUND, "/etc holds other files ("),
        (["serve", "tcp!127.0.0.1!PORT", "--store", "/proc/x"], FAILED, "cannot have a store in /proc/x: "),
        (
            ["serve", "tcp!127.0.0.1!PORT", "--store", "DIR/other"],
            DAMAGED,
            "store 99', which this program",
        ),
        (["serve", "tcp!127.0.0.1!PORT", "--read-only", "--store", "DIR/none"], NOT_FOUND, "DIR/none holds no store"),
    ],
)
def test_mistakes(words: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = str(free_port())
    filled = [word.replace("PORT", port).replace("DIR", str(tmp_path)) for word in words]
    assert main(filled) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("venti: ")
    assert err.count("\n") == 1
    assert said.replace("DIR", str(tmp_path)) in err
