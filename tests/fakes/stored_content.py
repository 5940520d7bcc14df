"""What is put into a store and taken from it, known by its path."""

from __future__ import annotations

import os
import random
from pathlib import Path

from cfs.disk.layout import Version
from cfs.disk.store import Store

MIB = 1 << 20
SERVER = "tcp!files!564"


def content(path: int, length: int) -> bytes:
    return random.Random(path).randbytes(length)


def version(length: int, number: int = 1) -> Version:
    return Version(number, 1000, length)


def put(store: Store, path: int, data: bytes, number: int = 1) -> None:
    file = store.file("main", path, version(len(data), number))
    assert store.add(file, 0, data)
    store.release(file)


def get(store: Store, path: int, length: int, number: int = 1) -> bytes | None:
    file = store.file("main", path, version(length, number))
    try:
        data = store.read(file, 0, length)
        return None if data is None else bytes(data)
    finally:
        store.release(file)


def taken(directory: Path) -> int:
    """Bytes that the directory's files really take on disk."""
    return sum(entry.stat().st_blocks * 512 for entry in os.scandir(directory))
