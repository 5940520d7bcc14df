"""Start-up configurations: lines are looked at first, and what cannot be done is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from fossil.commands.interpreter import Interpreter, understand
from fossil.commands.startup import read_configuration, start, understood
from fossil.errors import BadConfiguration, NotStarted
from programs.console_talk import OPEN, served


def test_lines_that_are_no_commands_are_all_named(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.write_text("fsys main config *\nfsys main opn\n\n# fine\nsrv -q x\nlisten a b\nfoo\necho 'x\nfsys\n")
    with pytest.raises(BadConfiguration) as caught:
        understood(read_configuration(path))
    assert str(caught.value).splitlines() == [
        f"{path}:2: unknown command - 'opn'",
        f"{path}:5: usage: srv [-AINPWdp] [service]",
        f"{path}:6: usage: listen [-dIN] [address]",
        f"{path}:7: foo: - eh? (say help)",
        f"{path}:8: unmatched quote",
    ]


def test_a_stored_configuration_of_the_original(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.write_bytes(b"fossil config\nfsys main config *\n" + bytes(100))
    assert [(line.where, line.text) for line in understood(read_configuration(path))] == [
        (f"{path}:2", "fsys main config *")
    ]


@pytest.mark.parametrize(("content", "text"), [(b"ok\n\xff\n", ":2: is no text"), (None, "No such file")])
def test_configurations_that_cannot_be_read(tmp_path: Path, content: bytes | None, text: str) -> None:
    path = tmp_path / "conf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadConfiguration, match=text):
        read_configuration(path)


async def test_a_server_that_cannot_be_what_it_should_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for line in ("fsys main open", f"fsys x config {tmp_path}/file/x\nfsys x open", "listen tcp!*!5640", "srv ''"):
        lines = understood(("conf:1", part) for part in line.splitlines())
        async with served(tmp_path / "data") as server:
            with pytest.raises(NotStarted, match="conf:1: "):
                await start(Interpreter(server), lines)


@pytest.mark.expects_errors
async def test_other_lines_may_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Such as those that were needed once."""
    lines = understood([(f"conf:{n}", line) for n, line in enumerate((*OPEN.splitlines(), "uname adm :adm", "df"), 1)])
    async with served(tmp_path) as server:
        assert "used" in (await start(Interpreter(server), lines))[-1]
    assert "conf:4: uname adm :adm: uname: uname 'adm' already exists" in caplog.text


def test_understanding_does_nothing() -> None:
    assert understand("fsys main open -c 3000").vital
    assert understand("listen tcp!*!564").vital
    assert not understand("uname rob :rob").vital
    assert not understand("").vital
