"""The settings of ``serve``: flags override the TOML file, which overrides defaults. Unknown keys are errors."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ninep.cli.errors import BadUsage
from ninep.cli.homes import config_home, data_home
from ninep.cli.sizes import parse_size
from venti.blocks.errors import BadSettings

ADDRESS = "/net.alt:17034"
SCRUB_RATE = 2 * 1024 * 1024
ARENA_SIZE = 512 * 1024 * 1024
MEMORY = 256 * 1024 * 1024
RESERVE = 64 * 1024 * 1024
REQUEST_BYTES = 8 * 1024 * 1024
REPLY_BYTES = 1024 * 1024
HANDSHAKE = 30.0
IDLE = math.inf
FILE = "venti.toml"
"""Its name in the directory of the user's settings."""


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("write a text in quotes")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("write true or false")
    return value


def _count(value: object) -> int:
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError("write a whole number above 0")
    return number


def _number(value: object) -> int:
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError("write a whole number, or 0 for none")
    return number


def _seconds(value: object) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except ValueError:
        number = -1.0
    if not number > 0:
        raise ValueError("write a number of seconds above 0, or inf")
    return number


def _size(value: object) -> int:
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError('write a number of bytes, or a text such as "800K", "20M" or "1G"')
    return parse_size(str(value))


class Setting(NamedTuple):
    """One setting: how it is read, what is usual, and what it is for. ``metavar`` is empty for a switch."""

    read: Callable[[object], Any]
    usual: object
    metavar: str
    help: str


SETTINGS: Mapping[str, Setting] = {
    "address": Setting(_text, ADDRESS, "ADDRESS", "where to listen"),
    "store": Setting(_text, None, "DIR", "where the blocks are; usually venti in your data directory"),
    "read-only": Setting(_flag, False, "", "take no new blocks, and change nothing in DIR"),
    "no-auth": Setting(_flag, False, "", "listen where strangers can come in"),
    "tls-cert": Setting(_text, "", "FILE", "for tls! addresses: certificate and private key, in PEM"),
    "tls-clients": Setting(_text, "", "FILE", "let in only who has a certificate of these authorities"),
    "mirror": Setting(_text, None, "ADDRESS", "an archive with the same blocks: what is damaged here comes from there"),
    "scrub": Setting(_size, SCRUB_RATE, "BYTES", "look through the store meanwhile, so much a second; 0: not at all"),
    "arena-size": Setting(_size, ARENA_SIZE, "BYTES", "seal an arena when it has so much"),
    "index-memory": Setting(_size, MEMORY, "BYTES", "keep so much of the index mapped at most"),
    "reserve": Setting(_size, RESERVE, "BYTES", "leave so much of the disk alone"),
    "workers": Setting(
        _number,
        None,
        "COUNT",
        "have so many processes hash and compress beside the server; usually one for each processor but one",
    ),
    "connections": Setting(_count, 256, "COUNT", "take no more clients at the same time"),
    "handshake": Setting(_seconds, HANDSHAKE, "SECONDS", "hang up on a client that has not said hello by then"),
    "idle": Setting(_seconds, IDLE, "SECONDS", "hang up on a client that asks nothing for so long"),
    "request-bytes": Setting(_size, REQUEST_BYTES, "BYTES", "requests of one client that may wait"),
    "reply-bytes": Setting(_size, REPLY_BYTES, "BYTES", "answers that may wait until a client takes them"),
}
"""By the names that they have in the file and, with two dashes before, on the command line."""

_SHARED = ("address", "no-auth", "tls-cert", "tls-clients")
"""Settings whose flags come from elsewhere."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags, and ``--config``."""
    parser.add_argument(
        "--config", metavar="FILE", help=f"read settings from FILE; usually {FILE} in your settings, if it is there"
    )
    for name, setting in SETTINGS.items():
        if name in _SHARED:
            continue
        usual = f"; usually {setting.usual}" if setting.usual not in (None, False) else ""
        if setting.metavar:
            parser.add_argument(f"--{name}", metavar=setting.metavar, help=setting.help + usual)
        else:
            parser.add_argument(f"--{name}", action="store_true", default=None, help=setting.help)


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Every setting by its name.

    Raises:
        BadSettings: the file or a flag cannot be understood; the text says which and what would be right.
    """
    found = {name: setting.usual for name, setting in SETTINGS.items()}
    for name, (place, value) in _settings_file(arguments.config).items():
        found[name] = _read(place, name, value)
    for name in SETTINGS:
        value = getattr(arguments, name.replace("-", "_"))
        if value not in (None, False, ""):
            found[name] = _read(f"--{name}", name, value)
    if found["workers"] is None:
        from venti.workers.pool import usual_number

        found["workers"] = usual_number()
    if found["store"] is None:
        found["store"] = str(data_home() / "venti")
    return found


def _settings_file(named: str | None) -> dict[str, tuple[str, Any]]:
    """What a file of settings says, with the place where it says so."""
    try:
        path = Path(named) if named else config_home() / FILE
    except BadUsage:
        # Whoever has no home has no settings there.
        return {}
    return {name: (f"{path}: {name}", value) for name, value in _from_file(path, needed=named is not None).items()}


def _read(place: str, name: str, value: object) -> Any:
    try:
        return SETTINGS[name].read(value)
    except ValueError as error:
        raise BadSettings(f"{place}: {value!r}: {error}") from error


def _from_file(path: Path, *, needed: bool) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        if needed:
            raise BadSettings(f"{path}: there is no such file") from error
        return {}
    except OSError as error:
        advice = "" if needed else ": see to its rights, or set HOME to your own"
        raise BadSettings(f"{path} cannot be read: {error.strerror}{advice}") from error
    # Hardly anybody has such a file.
    import tomllib

    try:
        table = tomllib.loads(text.decode())
    except ValueError as error:
        raise BadSettings(f"{path}: {error}") from error
    for name in table:
        if name not in SETTINGS:
            import difflib

            near = difflib.get_close_matches(name, SETTINGS, 1)
            advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(SETTINGS)}"
            raise BadSettings(f"{path}: there is no setting {name!r}: {advice}")
    return table
