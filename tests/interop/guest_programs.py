"""Programs for the guest beyond busybox: git and make of this machine, and a C compiler that is small enough.

They come with the libraries that they need, at the places where they are here. The compiler is Debian's ``tcc``, of
this machine or fetched once with ``apt-get download``; it makes programs that need no C library.
"""

from __future__ import annotations

import os
import re
import shutil
import stat as unix
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from interop.guest import Entry, Unavailable

COMPILER = "tcc"


def with_folders(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The same, each after the directories that it is in; the first of two with one name counts."""
    seen = {"bin", "dev", "etc", "mnt", "modules", "proc", "sys", "tmp"}
    for path, mode, data in entries:
        for folder in reversed(PurePosixPath(path).parents[:-1]):
            if str(folder) not in seen:
                seen.add(str(folder))
                yield str(folder), 0o040755, b""
        if path not in seen:
            seen.add(path)
            yield path, mode, data


def program(path: Path, at: str) -> Iterator[Entry]:
    """A program of this machine under the path ``at``, with its libraries."""
    yield at, 0o100755, path.read_bytes()
    listed = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False, timeout=60)
    for library in re.findall(r"(/\S+) \(0x", listed.stdout):
        yield library.lstrip("/"), 0o100755, Path(library).read_bytes()


def git() -> Iterator[Entry]:
    """Git, with what it takes to clone from a path."""
    found = shutil.which("git")
    if found is None:
        raise Unavailable("there is no git")
    yield from program(Path(found).resolve(), "usr/bin/git")
    for name in ("git", "git-upload-pack"):
        yield f"usr/lib/git-core/{name}", 0o120777, b"/usr/bin/git"


def make() -> Iterator[Entry]:
    """GNU make."""
    found = shutil.which("make")
    if found is None:
        raise Unavailable("there is no make")
    yield from program(Path(found).resolve(), "usr/bin/make")


def compiler() -> Iterator[Entry]:
    """The C compiler and its own headers."""
    root = Path("/")
    if not shutil.which(COMPILER):
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ninegrid" / "guest-compiler"
        if not (root / "usr/bin" / COMPILER).exists():
            _fetch(root)
    yield from program(root / "usr/bin" / COMPILER, f"usr/bin/{COMPILER}")
    for path in sorted(root.glob(f"usr/lib/*/{COMPILER}/**/*")):
        if unix.S_ISREG(path.stat().st_mode):
            yield str(path.relative_to(root)), 0o100644, path.read_bytes()


def _fetch(cache: Path) -> None:
    """Unpacks the compiler's package below ``cache``, which then has all of it or nothing."""
    for needed in ("apt-get", "dpkg-deb"):
        if shutil.which(needed) is None:
            raise Unavailable(f"there is no {COMPILER}, and no {needed} to fetch it")
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache.parent) as scratch:
        try:
            subprocess.run(
                ["apt-get", "download", "-q", COMPILER], cwd=scratch, check=True, capture_output=True, timeout=100
            )
            (package,) = Path(scratch).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", package, Path(scratch, "new")], check=True, timeout=100)
        except (subprocess.SubprocessError, OSError) as error:
            raise Unavailable(f"there is no {COMPILER}, and none could be fetched: {error}") from error
        shutil.rmtree(cache, ignore_errors=True)
        Path(scratch, "new").rename(cache)
