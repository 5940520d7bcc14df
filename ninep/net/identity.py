"""Finds out which user runs this program; every program uses the same answer."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

from ninep.net.errors import WireError

VARIABLES = ("LOGNAME", "USER", "LNAME", "USERNAME")
"""Where the name is looked for, before the accounts of this machine."""
ANONYMOUS = "anonymous"
"""The name for places where nothing depends on it, as the original programs have it."""


class Nameless(WireError):
    """Neither the environment nor the accounts of this machine know the user's name."""


def user_name(environment: Mapping[str, str] = os.environ) -> str:
    """The name of the user who runs this program.

    Raises:
        Nameless: the text says what to set.
    """
    for variable in VARIABLES:
        if name := environment.get(variable):
            return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise Nameless(
            f"the account with the number {os.getuid()} has no name on this machine: set the variable USER to one"
        ) from None


def user_name_or_anonymous(environment: Mapping[str, str] = os.environ) -> str:
    """The same, for greetings in which the name is only told."""
    try:
        return user_name(environment)
    except Nameless:
        return ANONYMOUS
