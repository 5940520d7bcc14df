"""Where the settings of a server come from, and what is said about those that cannot be."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from ninep.cli.codes import USAGE
from venti.__main__ import PROGRAM, main
from venti.blocks.errors import BadSettings
from venti.cli.settings import SETTINGS, settings_of


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "config/ninegrid").mkdir(parents=True)
    return tmp_path / "config/ninegrid"


def parsed(*words: str) -> argparse.Namespace:
    return PROGRAM.parser().parse_args(["serve", *words])


def test_what_is_usual(tmp_path: Path) -> None:
    settings = settings_of(parsed())
    assert settings["address"] == "/net.alt:17034"
    assert settings["store"] == str(tmp_path / "data/ninegrid/venti")
    assert settings["read-only"] is False
    assert settings.keys() == SETTINGS.keys()


def test_flags_before_the_file_before_what_is_usual(home: Path, tmp_path: Path) -> None:
    (home / "venti.toml").write_text('store = "/file"\naddress = "/net.alt:1"\nconnections = 7\nread-only = true\n')
    settings = settings_of(parsed("--store", "/flag", "--scrub", "0", "--reserve", "3m"))
    assert (settings["store"], settings["address"], settings["connections"]) == ("/flag", "/net.alt:1", 7)
    assert (settings["read-only"], settings["scrub"], settings["reserve"]) == (True, 0, 3 << 20)
    other = tmp_path / "other.toml"
    other.write_text('handshake = 2\nidle = inf\narena-size = "20m"\nindex-memory = 1000\n')
    settings = settings_of(parsed("--config", str(other), "tcp!127.0.0.1!9"))
    assert (settings["connections"], settings["address"]) == (SETTINGS["connections"].usual, "tcp!127.0.0.1!9")
    assert (settings["handshake"], settings["arena-size"], settings["index-memory"]) == (2.0, 20 << 20, 1000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("adress = 'x'", "there is no setting 'adress': did you mean 'address'?"),
        ("zzzz = 1", "there is no setting 'zzzz': there are address, "),
        ("connections = 0", "connections: 0: write a whole number above 0"),
        ("connections = true", "write a whole number"),
        ("connections = 1.5", "write a whole number"),
        ("read-only = 'yes'", "write true or false"),
        ("store = 3", "write a text in quotes"),
        ("store = ''", "write a text in quotes"),
        ("arena-size = 'big'", "write a number of bytes"),
        ("arena-size = true", "write a number of bytes"),
        ("idle = 0", "seconds above 0"),
        ("idle = nan", "seconds above 0"),
        ("handshake = 'soon'", "seconds above 0"),
        ("[store]\npath = 'x'", "write a text in quotes"),
        ("store = ", "Invalid value"),
        ("store = 'x'\nstore = 'y'", "Cannot overwrite"),
    ],
)
def test_mistakes_in_the_file(home: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "venti.toml"
    path.write_text(text)
    with pytest.raises(BadSettings) as error:
        settings_of(parsed())
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert main(["serve"]) == USAGE
    assert capsys.readouterr().err == f"venti: {error.value}\n"


def test_mistakes_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--connections", "many"]) == USAGE
    assert "--connections: 'many': write a whole number above 0" in capsys.readouterr().err
    assert main(["serve", "--config", "/nowhere/x.toml"]) == USAGE
    assert "/nowhere/x.toml: there is no such file" in capsys.readouterr().err


def test_the_reference_has_every_setting() -> None:
    page = Path(__file__).parents[2] / "docs/reference/venti-settings.md"
    rows = [line.split("`")[1] for line in page.read_text().splitlines() if line.startswith("| `")]
    assert rows == list(SETTINGS)
