"""Listening and dialing: on real sockets of this machine, and in network namespaces of the test's own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ninep.wire import BadAddress, CannotListen, Networks, Unreachable, dial, listen
from ninep.wire.listen import where
from ninep.wire.networks import Place


async def meet(address: str, networks: Networks | None = None) -> str:
    """Listens, dials what was listened on, sends a byte; returns where it was."""
    listeners = await listen(address, service="9fs", networks=networks)
    place = where(listeners[0])
    try:
        async with await dial(place, service="9fs") as near, await listeners[0].accept() as far:
            await near.send_all(b"x")
            assert await far.receive_some() == b"x"
    finally:
        for listener in listeners:
            await listener.aclose()
    return place


@pytest.mark.parametrize("address", ["tcp!127.0.0.1!0", "/net.alt/tcp!*!0", "/net.alt:0", "127.0.0.1:0", "localhost:0"])
async def test_loopback(address: str) -> None:
    assert (await meet(address)).startswith(("tcp!127.0.0.1!", "tcp!::1!"))


async def test_unix_socket(tmp_path: Path) -> None:
    path = f"unix!{tmp_path}/socket"
    assert await meet(path) == path
    assert await meet(path) == path, "a dead server's socket is replaced"
    (listener,) = await listen(path, service="9fs")
    async with listener:
        with pytest.raises(CannotListen, match="running there already"):
            await listen(path, service="9fs")


@pytest.mark.parametrize("address", ["tcp!*!0", "tcp!0.0.0.0!0", "/net/tcp!*!0", "/net:0"])
async def test_strangers_need_a_word(address: str) -> None:
    with pytest.raises(BadAddress, match="--no-auth"):
        await listen(address, service="9fs")
    for listener in await listen(address, service="9fs", no_auth=True):
        await listener.aclose()


async def test_taken_port() -> None:
    (listener,) = await listen("tcp!127.0.0.1!0", service="9fs")
    async with listener:
        with pytest.raises(CannotListen, match="port is taken"):
            await listen(where(listener), service="9fs")


async def test_nobody_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable, match="is the server running"):
            await dial(f"tcp!127.0.0.1!{probe.getsockname()[1]}", service="9fs")
    with pytest.raises(Unreachable):
        await dial("unix!/nonexistent/socket", service="9fs")
    with pytest.raises(BadAddress, match="which machine"):
        await dial("tcp!*!564", service="9fs")


def test_networks() -> None:
    assert Networks().places("/net") == [Place("*")]
    assert Networks().places("/net.alt") == [Place("127.0.0.1")]
    assert Networks.parse(["/net.alt=lo"]).places("/net.alt")[0] == Place("127.0.0.1")
    assert Networks.parse(["/net.alt=127.0.0.0/8"]).address("/net.alt") == "127.0.0.1"
    assert Networks.parse(["/net.lab=127.0.0.7"]).places("/net.lab") == [Place("127.0.0.7")]
    for network, setting, complaint in (
        ("/net.lab", "/net.alt=lo", "unknown network"),
        ("/net.alt", "/net.alt=nosuch0", "no such address or interface"),
        ("/net.alt", "/net.alt=192.0.2.77", "no such address or interface"),
    ):
        with pytest.raises(BadAddress, match=complaint):
            Networks.parse([setting]).places(network)
    for bad in ("/net.alt", "=x", "alt=lo", "/net.alt="):
        with pytest.raises(BadAddress, match="not a network"):
            Networks.parse([bad])


SERVER = textwrap.dedent(
    """
    import sys, trio
    from ninep.wire import Networks, listen
    async def main():
        listeners = await listen("/net.alt:7777", service="9fs", networks=Networks.parse(["/net.alt=" + sys.argv[1]]))
        async def greet(stream):
            await stream.send_all(b"hello")
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, greet, listeners)
            print("serving", flush=True)
    trio.run(main)
    """
)
CLIENT = textwrap.dedent(
    """
    import socket, sys
    try:
        with socket.create_connection((sys.argv[1], 7777), 2) as stream:
            stream.settimeout(2)
            print(stream.recv(5).decode())
    except OSError:
        print("refused")
    """
)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@pytest.fixture
def gateway() -> Iterator[tuple[str, str, str]]:
    """A gateway between two networks, each with one machine: (gateway, inside machine, outside machine)."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and the program ip")
    mark = uuid.uuid4().hex[:6]
    names = [f"nine-{mark}-{kind}" for kind in ("gw", "in", "out")]
    made = []
    try:
        try:
            for name in names:
                ip("netns", "add", name)
                made.append(name)
                ip("-n", name, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.decode()[:200]}")
        for name, device, prefix in ((names[1], "inner", "10.77.1"), (names[2], "outer", "10.77.2")):
            ip("-n", names[0], "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("-n", names[0], "addr", "add", f"{prefix}.1/24", "dev", device)
            ip("-n", names[0], "link", "set", device, "up")
            ip("-n", name, "addr", "add", f"{prefix}.2/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "route", "add", "default", "via", f"{prefix}.1")
        yield names[0], names[1], names[2]
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True, timeout=20)


@pytest.mark.process
@pytest.mark.parametrize("alternate", ["inner", "10.77.1.1", "10.77.1.0/24"])
def test_net_alt_is_never_reached_from_outside(gateway: tuple[str, str, str], alternate: str) -> None:
    """A machine outside that knows the inner address, and routes to it, still gets no connection."""
    machine, inside, outside = gateway
    server = subprocess.Popen(
        ["ip", "netns", "exec", machine, sys.executable, "-c", SERVER, alternate], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == "serving\n"

        def answer(where: str, host: str) -> str:
            done = subprocess.run(
                ["ip", "netns", "exec", where, sys.executable, "-c", CLIENT, host],
                capture_output=True,
                text=True,
                timeout=20,
            )
            return done.stdout.strip()

        assert answer(inside, "10.77.1.1") == "hello"
        assert answer(machine, "10.77.1.1") == "hello"
        assert answer(outside, "10.77.1.1") == "refused"
        assert answer(outside, "10.77.2.1") == "refused"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
