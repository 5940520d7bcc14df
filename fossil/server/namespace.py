"""Resolves the device names of a configuration to directories. Source: ``bind`` of fossilcons(8), bind(1)."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

DEVICES = ("/dev", "#S")
"""Where devices of Plan 9 are: here they are directories in the data directory."""


class Order(Enum):
    """Whether what is bound to a name takes its place, or is looked at before or after what is there."""

    REPLACE = ""
    BEFORE = "b"
    AFTER = "a"


class NameSpace:
    """Of one server."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is the data directory."""
        self._folder = folder
        self._bound: list[tuple[str, str, Order]] = []

    def bind(self, new: str, old: str, order: Order) -> None:
        """Names that begin with ``old`` lead to ``new`` from now on."""
        self._bound.append((old.rstrip("/"), new.rstrip("/"), order))

    def find(self, device: str) -> Path:
        """The directory that the name of a device means; the first of several that is there, or would be."""
        if device == "*":
            return self._folder
        names = [device]
        for old, new, order in reversed(self._bound):
            names = [each for name in names for each in _bound(name, old, new, order)]
        places = [self._place(name) for name in names]
        return next((place for place in places if place.is_dir()), places[0])

    def _place(self, name: str) -> Path:
        for root in DEVICES:
            if (name == root or name.startswith(f"{root}/")) and (name == root or not Path(name).is_dir()):
                return self._folder / name.removeprefix(root).lstrip("/")
        return Path(name)


def _bound(name: str, old: str, new: str, order: Order) -> list[str]:
    if name != old and not name.startswith(f"{old}/"):
        return [name]
    there = new + name[len(old) :]
    return {Order.REPLACE: [there], Order.BEFORE: [there, name], Order.AFTER: [name, there]}[order]
