"""``/net.alt`` between two real networks, made of network namespaces: the other side never gets in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator

import pytest

SERVER = textwrap.dedent(
    """
    import os, sys, trio
    from ninep.net.networks import Networks
    from ninep.net.listen import listen
    async def main():
        if sys.argv[2] == "unprivileged":
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        listeners = await listen("/net.alt:7777", service="9fs", networks=Networks.parse(["/net.alt=" + sys.argv[1]]))
        async def greet(stream):
            await stream.send_all(b"hello")
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, greet, listeners)
            print("serving", flush=True)
    trio.run(main)
    """
)
PLAIN_SERVER = textwrap.dedent(
    """
    import socket
    with socket.create_server(("10.77.1.1", 7777)) as server:
        print("serving", flush=True)
        server.accept()[0].send(b"hello")
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
@pytest.mark.parametrize("rights", ["root", "unprivileged"])
@pytest.mark.parametrize("alternate", ["inner", "10.77.1.1", "10.77.1.0/24"])
def test_net_alt_is_never_reached_from_outside(gateway: tuple[str, str, str], alternate: str, rights: str) -> None:
    """A machine outside that knows the inner address, and routes to it, still gets no connection."""
    machine, inside, outside = gateway
    server = subprocess.Popen(
        ["ip", "netns", "exec", machine, sys.executable, "-c", SERVER, alternate, rights],
        stdout=subprocess.PIPE,
        text=True,
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
        assert answer(machine, "10.77.2.1") == "refused"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@pytest.mark.process
def test_a_plain_bind_would_let_the_outside_in(gateway: tuple[str, str, str]) -> None:
    """Why the address alone is not enough: the same gateway lets the outside reach an inner address.

    Without this the test above could pass because packets do not get there at all.
    """
    machine, _, outside = gateway
    server = subprocess.Popen(
        ["ip", "netns", "exec", machine, sys.executable, "-c", PLAIN_SERVER], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == "serving\n"
        done = subprocess.run(
            ["ip", "netns", "exec", outside, sys.executable, "-c", CLIENT, "10.77.1.1"],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.stdout.strip() == "hello"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
