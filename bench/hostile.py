"""``python -m bench hostile``: what clients that mean no good, or are broken, cost a server and those beside them.

For each of our servers and each way to be a nuisance: the memory of the server before, at its height and a second after
the nuisance is gone, and how long another client, who asks one small thing after the other, had to wait at worst.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

from bench import servers
from bench.peers import Ninep, Peer, Venti
from bench.watched import MEBIBYTE, of_process
from ninep.cli.streams import print_result

SERVERS = ("ramfs", "export", "fossil", "cfs", "venti")
BURST = 11_000
"""Requests of one client that asks for gigabytes."""
MOST = 300 * MEBIBYTE
"""Bytes that a nuisance may cost a server."""
WAIT = 0.5
"""Seconds that a bystander may have to wait at worst; aimed at are 20 ms, where the machine has nothing else to do."""


class Figures(NamedTuple):
    """What one nuisance cost one server: bytes of memory, and seconds that a bystander waited."""

    server: str
    nuisance: str
    before: int
    peak: int
    after: int
    middle: float
    worst: float


class Running(NamedTuple):
    """A server: its process, and how to come to it."""

    name: str
    pid: int
    connect: Callable[[], Peer]


@contextlib.contextmanager
def running(name: str) -> Iterator[Running]:
    """Starts a server with a file, or a block, of the largest size."""
    with tempfile.TemporaryDirectory(prefix="ninegrid-hostile-") as folder, contextlib.ExitStack() as stack:
        root, port = Path(folder), servers.free_port()
        address = f"tcp!127.0.0.1!{port}"
        (root / "x").mkdir()
        (root / "x" / "big").write_bytes(b"q" * Ninep.LARGEST)
        os.chmod(root / "x", 0o777)
        words = {
            "ramfs": ("ninep", "ramfs", address),
            "export": ("ninep", "export", "--map-users", "*=root" if os.geteuid() == 0 else "", f"{root}/x", address),
            "fossil": ("fossil", "serve", "--data", f"{root}/data", "--listen", address, "--no-permissions"),
            "venti": ("venti", "serve", address, "--store", f"{root}/store", "--scrub", "0"),
        }
        words["cfs"] = ("cfs", "serve", "-a", address, "--listen", "tcp!127.0.0.1!PORT", "--cache", f"{root}/cache")
        if name == "cfs":
            below = stack.enter_context(started(words["ramfs"], port, root))
            del below
            first = Ninep(port)
            first.fill()
            first.close()
            port = servers.free_port()
            words["cfs"] = tuple(word.replace("PORT", str(port)) for word in words["cfs"])
        pid = stack.enter_context(started(tuple(word for word in words[name] if word), port, root))

        def connect() -> Peer:
            return Venti(port) if name == "venti" else Ninep(port)

        if name != "export":
            with contextlib.closing(connect()) as peer:
                peer.fill()
        yield Running(name, pid, connect)


@contextlib.contextmanager
def started(words: tuple[str, ...], port: int, root: Path) -> Iterator[int]:
    """Runs a program of ours until its port answers; gives its process id."""
    process = servers.Watched([sys.executable, "-m", *words], root / f"{port}.log")
    try:
        process.wait_for(port)
        yield process.pid
    finally:
        process.end()


# Nuisances: each gets the server and how many clients it has, and returns when it is over.


def asks_much_and_hangs_up(server: Running, _: int) -> None:
    """One client asks for 11 GB in small messages and hangs up without reading."""
    peer = server.connect()
    with contextlib.suppress(OSError):
        peer.socket.settimeout(2)
        peer.socket.sendall(b"".join(peer.read(number) for number in range(BURST)))
    time.sleep(0.5)
    peer.vanish()
    time.sleep(2)


def do_not_read(server: Running, clients: int) -> None:
    """Many ask for much and read nothing."""
    peers = [server.connect() for _ in range(clients)]
    for peer in peers:
        peer.socket.setblocking(False)
        with contextlib.suppress(OSError):
            peer.socket.send(b"".join(peer.read(number) for number in range(200)))
    time.sleep(3)
    for peer in peers:
        peer.close()


def vanish(server: Running, clients: int) -> None:
    """Many come, ask, and are gone in the middle of a message."""
    for _ in range(clients):
        peer = server.connect()
        with contextlib.suppress(OSError):
            peer.socket.sendall(b"".join(peer.read(number) for number in range(20)) + peer.read(20)[:9])
        peer.vanish()


def hold_the_line(server: Running, clients: int) -> None:
    """Many connect and say nothing."""
    peer = server.connect()
    held = [socket.create_connection(peer.socket.getpeername(), 10) for _ in range(4 * clients)]
    time.sleep(2)
    for one in held:
        one.close()
    peer.close()


def drip(server: Running, clients: int) -> None:
    """Many send a large message a few bytes at a time."""
    peers = [server.connect() for _ in range(clients)]
    for peer in peers:
        peer.socket.sendall(peer.large()[:64])
    for _ in range(60):
        for peer in peers:
            with contextlib.suppress(OSError):
                peer.socket.sendall(b"xy")
        time.sleep(0.02)
    for peer in peers:
        peer.close()


def all_at_once(server: Running, _: int) -> None:
    """One client makes all the fids, tags and walks that there are; the answers are read."""
    peer = server.connect()
    reader = threading.Thread(target=peer.swallow, daemon=True)
    reader.start()
    with contextlib.suppress(OSError):
        for many in peer.crowd():
            peer.socket.sendall(many)
    time.sleep(2)
    peer.close()
    reader.join(5)


def rubbish(server: Running, clients: int) -> None:
    """Many send what is no message."""
    chance = random.Random(1)
    for _ in range(2 * clients):
        peer = server.connect()
        with contextlib.suppress(OSError):
            peer.socket.sendall(chance.randbytes(chance.randrange(1, 2000)))
        peer.close()


NUISANCES: dict[str, Callable[[Running, int], None]] = {
    "asks 11 GB, hangs up": asks_much_and_hangs_up,
    "do not read": do_not_read,
    "vanish in mid-stream": vanish,
    "half-open": hold_the_line,
    "slow-loris": drip,
    "all fids, tags, walks": all_at_once,
    "rubbish": rubbish,
}


def stand_by(name: str, port: int, stop: Event, waits: multiprocessing.Queue[list[float]]) -> None:
    """The bystander, in a process of its own: asks one small thing after the other, on one connection."""
    peer: Peer = Venti(port) if name == "venti" else Ninep(port)
    found = []
    while not stop.is_set():
        begun = time.perf_counter()
        peer.ask_little()
        found.append(time.perf_counter() - begun)
        time.sleep(0.002)
    waits.put(found)
    peer.close()


def suffered(server: Running, nuisance: str, clients: int) -> Figures:
    """Lets one nuisance happen to a server."""
    probe = server.connect()
    port = probe.socket.getpeername()[1]
    probe.close()
    context = multiprocessing.get_context("spawn")
    stop, waits = context.Event(), context.Queue()
    bystander = context.Process(target=stand_by, args=(server.name, port, stop, waits), daemon=True)
    bystander.start()
    time.sleep(1.5)
    before = peak = of_process(server.pid)[0]
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.02):
            peak = max(peak, of_process(server.pid)[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        NUISANCES[nuisance](server, clients)
        time.sleep(1)
    finally:
        ended.set()
        watcher.join()
        stop.set()
    found = sorted(waits.get(timeout=60))
    bystander.join(10)
    return Figures(server.name, nuisance, before, peak, of_process(server.pid)[0], found[len(found) // 2], found[-1])


def line_of(figures: Figures) -> str:
    """One row of the table."""
    memory = "".join(f"{size / MEBIBYTE:9.0f}" for size in (figures.before, figures.peak, figures.after))
    wait = f"{figures.middle * 1000:12.2f}{figures.worst * 1000:12.1f}"
    return f"{figures.server:8}{figures.nuisance:24}{memory}{wait}"


def main(argv: list[str]) -> int:
    """Returns 0 if every server bore everything within bounds, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench hostile", description=__doc__)
    parser.add_argument("server", nargs="*", metavar="SERVER", help=f"{', '.join(SERVERS)}; default: all")
    parser.add_argument("--clients", type=int, default=50, help="how many come together; default: 50")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.server) - set(SERVERS):
        parser.error(f"unknown server {', '.join(sorted(unknown))}: choose from {', '.join(SERVERS)}")
    print_result(f"{'':32}{'memory, MiB':>27}{'bystander, ms':>24}")
    print_result(f"{'server':8}{'nuisance':24}{'before':>9}{'peak':>9}{'after':>9}{'middle':>12}{'worst':>12}")
    bad = []
    for name in arguments.server or SERVERS:
        with running(name) as server:
            for nuisance in NUISANCES:
                figures = suffered(server, nuisance, arguments.clients)
                print_result(line_of(figures))
                if figures.peak > MOST or figures.worst > WAIT:
                    bad.append(f"{name}, {nuisance}")
    for text in bad:
        print_result(f"hostile: out of bounds: {text}")
    return int(bool(bad))
