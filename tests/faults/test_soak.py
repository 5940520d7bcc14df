"""The whole chain under mixed load with kills for half a minute: longer runs are ``python -m bench soak``."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.soak import main


def test_nothing_grows_and_nobody_meets_what_he_should_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--minutes", "0.6", "--growth", "40", "--no-mount", "--save", f"{tmp_path}/samples"])
    said = capsys.readouterr()
    assert status == 0, said.out + said.err
    assert (tmp_path / "samples").exists()
