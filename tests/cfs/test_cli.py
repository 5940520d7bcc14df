"""The command line with real processes: serving, statistics, warming, and what is said when something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from programs.processes import Program, environment, free_port, run

pytestmark = pytest.mark.process


class Site:
    """A file server and a cache before it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server_port, self.cache_port = free_port(), free_port()
        self.server_address = f"tcp!127.0.0.1!{self.server_port}"
        self.cache_address = f"tcp!127.0.0.1!{self.cache_port}"

    def server(self) -> Program:
        return Program(self.server_port, "ninep", "ramfs", self.server_address, log=self.root / "server.log")

    def cache(self, *flags: str) -> Program:
        words = ("cfs", "serve", "-a", self.server_address, "--listen", self.cache_address)
        where = ("--cache", f"{self.root}/cache")
        return Program(self.cache_port, *words, *where, *flags, log=self.root / "cache.log")

    def fails(self, *words: str) -> tuple[int, str]:
        """How ``python -m cfs`` with these words ends, and the one line that it says."""
        done = subprocess.run(
            [sys.executable, "-m", "cfs", *words], capture_output=True, env=environment(), timeout=60, check=False
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return done.returncode, done.stderr.decode().strip()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def serving(site: Site) -> Iterator[Site]:
    server = site.server()
    cache = site.cache("--size", "64M")
    yield site
    cache.stop()
    server.stop()


def test_warm_stats_and_pins(serving: Site, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    for number in range(20):
        (source / "deep" / f"{number}").write_bytes(bytes([number]) * 10_000)
    (source / "deep" / "er" / "f").write_bytes(b"x" * 100_000)
    run("ninep", "-a", serving.server_address, "put", "-r", str(source), "tree")

    def cfs(command: str, *words: str) -> str:
        return run("cfs", command, "-a", serving.cache_address, *words)

    def values() -> dict[str, int]:
        found: dict[str, int] = json.loads(cfs("stats", "--json"))["values"]
        return found

    assert cfs("warm", "--pin", "tree") == "21 files, 300000 bytes\n"
    before = values()
    assert before["bytesfromserver"] == 300_000
    assert before["bytesread"] == 300_000
    assert run("ninep", "-a", serving.cache_address, "cat", "tree/deep/er/f") == "x" * 100_000
    after = values()
    assert after["bytesfromserver"] == 300_000
    assert after["bytesfromcache"] >= before["bytesfromcache"] + 100_000
    assert "bytesfromcache" in cfs("stats")
    assert cfs("warm", "tree/deep/3") == "1 files, 10000 bytes\n"
    assert cfs("unpin", "tree") == ""
    assert serving.fails("unpin", "-a", serving.cache_address, "tree")[0] == 1
    code, text = serving.fails("warm", "-a", serving.cache_address, "nowhere")
    assert (code, text) == (5, "cfs: nowhere: file does not exist")


def test_who_is_no_cache(serving: Site) -> None:
    code, text = serving.fails("stats", "-a", serving.server_address)
    assert code == 3
    assert text == "cfs: what answers there is no cfs: say with -a where the cache serves"
    code, text = serving.fails("stats", "-a", f"tcp!127.0.0.1!{free_port()}")
    assert code == 3
    assert "cannot reach" in text


def test_a_directory_in_use(serving: Site) -> None:
    words = ("serve", "-a", serving.server_address, "--listen", f"tcp!127.0.0.1!{free_port()}")
    code, text = serving.fails(*words, "--cache", f"{serving.root}/cache")
    assert code == 1
    assert "is in use by process" in text
    assert text.endswith("stop it, or name another with --cache")
    code, text = serving.fails(*words, "--cache", str(Path(__file__).parent))
    assert code == 1
    assert "holds files that are no cache" in text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--size", "1k"), "is too small: give at least"),
        (("--size", "much"), "is not a size: write"),
        (("--trust", "-1"), "is no number of seconds"),
        (("--offline", "long"), "is no number of seconds"),
    ],
)
def test_flags_that_make_no_sense(serving: Site, words: tuple[str, str], text: str) -> None:
    listen = ("--listen", f"tcp!127.0.0.1!{free_port()}", "--cache", f"{serving.root}/new")
    code, said = serving.fails("serve", "-a", serving.server_address, *listen, *words)
    assert code == 2
    assert text in said


def test_a_server_that_cannot_be_reached_at_the_start(site: Site) -> None:
    words = ("serve", "-a", site.server_address, "--listen", site.cache_address, "--cache", f"{site.root}/cache")
    code, text = site.fails(*words)
    assert code == 3
    assert text.startswith(f"cfs: cannot reach {site.server_address}")
    assert not (site.root / "cache").exists()
    begun = time.monotonic()
    assert site.fails(*words, "--wait", "1.5")[0] == 3
    assert time.monotonic() - begun > 1.4


def test_waiting_for_a_server_at_the_start(site: Site) -> None:
    log = site.root / "waiting.log"
    words = ["-m", "cfs", "serve", "-a", site.server_address, "--listen", site.cache_address, "--wait"]
    with log.open("wb") as out:
        waiting = subprocess.Popen(
            [sys.executable, *words, "--cache", f"{site.root}/cache"], stdout=out, stderr=out, env=environment()
        )
    try:
        deadline = time.monotonic() + 60
        while b"waiting for it" not in log.read_bytes():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert waiting.poll() is None
        server = site.server()
        try:
            while b"serving" not in log.read_bytes():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert run("ninep", "-a", site.cache_address, "ls") == ""
        finally:
            server.stop()
    finally:
        waiting.terminate()
        assert waiting.wait(60) == 0


def test_the_file_server_is_started_anew(site: Site) -> None:
    """A client that stays does not notice; here one that comes after."""
    server = site.server()
    cache = site.cache()
    try:
        run("ninep", "-a", site.cache_address, "write", "f", stdin=b"before")
        server.stop()
        server = site.server()
        run("ninep", "-a", site.cache_address, "write", "g", stdin=b"after")
        assert run("ninep", "-a", site.cache_address, "ls") == "g\n"
    finally:
        cache.stop()
        server.stop()
