"""Backup workloads: our ``vac`` and ``unvac``, the original ones, restic and borg, on the same trees, as processes.

``vac`` of both kinds store in archives of ours, which are empty before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import trio

from bench.blocks import textual
from bench.measure import Result, Timing
from bench.plan import Step
from bench.servers import PeerFailed, ours, plan9

LIMIT = 1800
"""Seconds that one command gets."""

SECRET = {"RESTIC_PASSWORD": "bench", "BORG_PASSPHRASE": "bench", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Programs start as they do where they are installed: not compiled anew each time."""

Command = Callable[[str], Sequence[str]]


def plan(scale: float) -> list[Step]:
    """The standard library's tree and one large file, by every program that is here."""
    steps = [_vac_step("vac", _ours, scale, True)]
    if plan9("vac"):
        steps.append(_vac_step("C vac", _original, scale, False))
    if shutil.which("restic"):
        steps.append(Step("restic", _nothing, lambda _: trio.to_thread.run_sync(_restic, scale), False))
    if shutil.which("borg"):
        steps.append(Step("borg", _nothing, lambda _: trio.to_thread.run_sync(_borg, scale), False))
    return steps


@contextlib.contextmanager
def _nothing() -> Iterator[int]:
    yield 0


def _ours(program: str) -> list[str]:
    return [sys.executable, "-m", "venti", program]


def _original(program: str) -> list[str]:
    return [f"{plan9(program)}"]


def _vac_step(name: str, command: Command, scale: float, ours: bool) -> Step:
    archive = _Archive()
    return Step(name, archive, lambda port: trio.to_thread.run_sync(_vac, name, port, command, archive, scale), ours)


class _Archive:
    """A venti of ours; calling it starts one."""

    def __init__(self) -> None:
        self.store = Path()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[int]:
        with tempfile.TemporaryDirectory(prefix="ninegrid-bench-") as scratch:
            self.store = Path(scratch, "store")
            yield from ours("venti", "serve", "tcp!127.0.0.1!PORT", "--store", f"{self.store}")


def _vac(server: str, port: int, command: Command, archive: _Archive, scale: float) -> list[Result]:
    """``vac``, again with ``-d``, and ``unvac``."""
    results: list[Result] = []
    address = {"venti": f"tcp!127.0.0.1!{port}"}
    for name, source, scratch in _sources(scale):
        vac, unvac = command("vac"), command("unvac")
        hidden = os.path.join(scratch, "first.vac")
        before = _on_disk(archive.store)
        first = _timed(server, f"{name}: first", source, [*vac, "-f", hidden, source.name], source.parent, address)
        results.append(dataclasses.replace(first, stored=_on_disk(archive.store) - before))
        again = [*vac, "-q", "-d", hidden, "-f", f"{hidden}.2", source.name]
        results.append(_timed(server, f"{name}: unchanged", source, again, source.parent, address))
        results.append(_restored(server, name, source, [*unvac, hidden], scratch, source.name, address))
    return results


def _restic(scale: float) -> list[Result]:
    results: list[Result] = []
    for name, source, scratch in _sources(scale):
        base = ["restic", "-q", "-r", os.path.join(scratch, "repository")]
        _run([*base, "init"], source.parent, SECRET)
        backup = [*base, "backup", source.name]
        first = _timed("restic", f"{name}: first", source, backup, source.parent, SECRET)
        results.append(dataclasses.replace(first, stored=_on_disk(Path(scratch, "repository"))))
        results.append(_timed("restic", f"{name}: unchanged", source, backup, source.parent, SECRET))
        restore = [*base, "restore", "latest", "--target", "."]
        results.append(_restored("restic", name, source, restore, scratch, source.name, SECRET))
    return results


def _borg(scale: float) -> list[Result]:
    results: list[Result] = []
    for name, source, scratch in _sources(scale):
        repository = os.path.join(scratch, "repository")
        environment = SECRET | {"BORG_BASE_DIR": scratch}
        _run(["borg", "init", "-e", "none", repository], source.parent, environment)
        for number, kind in enumerate(("first", "unchanged")):
            create = ["borg", "create", f"{repository}::{number}", source.name]
            result = _timed("borg", f"{name}: {kind}", source, create, source.parent, environment)
            results.append(dataclasses.replace(result, stored=0 if number else _on_disk(Path(repository))))
        extract = ["borg", "extract", f"{repository}::0"]
        results.append(_restored("borg", name, source, extract, scratch, source.name, environment))
    return results


def _sources(scale: float) -> Iterator[tuple[str, Path, str]]:
    """What is backed up, by name, with a directory for everything else. Made anew for each program."""
    with tempfile.TemporaryDirectory(prefix="ninegrid-bench-") as scratch:
        tree = Path(scratch, "source", "library")
        shutil.copytree(
            sysconfig.get_path("stdlib"),
            tree,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__", "site-packages"),
        )
        if scale < 1:
            for entry in sorted(tree.iterdir())[int(len(list(tree.iterdir())) * scale) + 1 :]:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        _settle(tree)
        yield "library", tree, scratch
    with tempfile.TemporaryDirectory(prefix="ninegrid-bench-") as scratch:
        large = Path(scratch, "source", "large")
        large.parent.mkdir()
        source = random.Random(1)
        with large.open("wb") as file:
            for seed in range(max(1, int(512 * scale))):
                file.write(source.randbytes(1 << 20))
                file.write(b"".join(textual(16, 1 << 16, seed)))
        _settle(large)
        yield "1 GiB" if scale == 1 else f"{large.stat().st_size >> 20} MiB", large, scratch


def _settle(path: Path) -> None:
    """Nothing waits to be written when the clock starts, and no file is so young that it must be read twice."""
    os.sync()
    time.sleep(3)
    sum(1 for _ in path.parent.rglob("*"))


def _run(command: Sequence[str], where: Path | str, environment: Mapping[str, str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=where,
        env={**_ENVIRONMENT, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        said = (done.stdout + done.stderr)[-500:].decode(errors="replace")
        raise PeerFailed(f"{' '.join(command)} ended with {done.returncode}: {said}")
    return seconds


def _timed(
    server: str, workload: str, source: Path, command: Sequence[str], where: Path, environment: Mapping[str, str]
) -> Result:
    count, size = _amount(source)
    seconds = _run(command, where, environment)
    return Timing(seconds, [seconds / count] * count).result(server, workload, 1, size)


def _restored(
    server: str,
    name: str,
    source: Path,
    command: Sequence[str],
    scratch: str,
    place: str,
    environment: Mapping[str, str],
) -> Result:
    target = Path(scratch, "restored")
    target.mkdir()
    result = _timed(server, f"{name}: back", source, command, target, environment)
    if _digest(target / place) != _digest(source):
        raise AssertionError(f"{server} gave back something else than {name}")
    shutil.rmtree(target)
    return result


def _amount(path: Path) -> tuple[int, int]:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return len(files), sum(one.stat().st_size for one in files)


def _digest(path: Path) -> str:
    whole = hashlib.sha256()
    for one in [path] if path.is_file() else sorted(path.rglob("*")):
        if one.is_file() and not one.is_symlink():
            with one.open("rb") as file:
                whole.update(f"{one.relative_to(path)}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def _on_disk(place: Path) -> int:
    """Bytes that everything below takes; of files with holes only the rest."""
    return sum(one.stat().st_blocks * 512 for one in place.rglob("*") if one.is_file())
