"""Directories of the user, as the XDG base directory specification has them."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from ninep.cli.errors import BadUsage

NAME = "ninegrid"


def config_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The directory of the user's settings for ninegrid. Raises BadUsage, as the others do, where there is no home."""
    return _home("XDG_CONFIG_HOME", ".config", environment)


def data_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The directory where ninegrid keeps data unless told otherwise."""
    return _home("XDG_DATA_HOME", ".local/share", environment)


def cache_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The directory where ninegrid keeps what may be lost."""
    return _home("XDG_CACHE_HOME", ".cache", environment)


def _home(variable: str, usual: str, environment: Mapping[str, str]) -> Path:
    # The specification has relative ones ignored: they would be another directory for each place a command is run in.
    if os.path.isabs(said := environment.get(variable, "")):
        return Path(said) / NAME
    if os.path.isabs(home := environment.get("HOME", "")):
        return Path(home) / usual / NAME
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir) / usual / NAME
    except KeyError:
        raise BadUsage(
            f"you have no home directory on this machine: set {variable} or HOME, or name the directory with a flag"
        ) from None
