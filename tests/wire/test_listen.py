"""Listening: where it is allowed, what it says where it is not, and whose Unix socket is replaced."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from ninep.cli.flags import add_listen_flags
from ninep.cli.networks import can_listen
from ninep.net.dial import dial
from ninep.net.errors import BadAddress, CannotListen, Unreachable
from ninep.net.listen import listen, where
from ninep.net.networks import Networks


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


@pytest.mark.parametrize("address", ["tcp!*!0", "tcp!0.0.0.0!0", "tcp![::]!0", "/net/tcp!*!0", "/net:0"])
async def test_strangers_need_a_word(address: str) -> None:
    with pytest.raises(BadAddress, match="--no-auth"):
        await listen(address, service="9fs")
    for listener in await listen(address, service="9fs", no_auth=True):
        await listener.aclose()


@pytest.mark.parametrize("everything", ["*", "0.0.0.0", "::/0"])
async def test_a_private_network_that_is_everything_is_not_private(everything: str) -> None:
    with pytest.raises(BadAddress, match="--no-auth"):
        await listen("/net.alt:0", service="9fs", networks=Networks.parse([f"/net.alt={everything}"]))


async def test_taken_port() -> None:
    (listener,) = await listen("tcp!127.0.0.1!0", service="9fs")
    async with listener:
        with pytest.raises(CannotListen, match=r"port is taken.*listen on another"):
            await listen(where(listener), service="9fs")


async def test_absent_address() -> None:
    with pytest.raises(CannotListen, match="no such address: see 'ip addr'"):
        await listen("tcp!203.0.113.1!0", service="9fs", no_auth=True)
    with pytest.raises(BadAddress, match=r"203\.0\.113\.1 is no address of this machine on /net.alt"):
        await listen("/net.alt/tcp!203.0.113.1!0", service="9fs")
    with pytest.raises(BadAddress, match="cannot be the name of a machine"):
        await listen("tcp!a..b!0", service="9fs")


class TwoAddresses(trio.abc.HostnameResolver):
    """A name of this machine of which one address is not configured, as ``localhost`` often has it."""

    async def getaddrinfo(self, *_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.113.1", 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.3", 0)),
        ]

    async def getnameinfo(self, *_: object) -> tuple[str, str]:
        raise NotImplementedError


async def test_one_of_two_addresses_is_enough() -> None:
    trio.socket.set_custom_hostname_resolver(TwoAddresses())
    (listener,) = await listen("tcp!us!0", service="9fs", no_auth=True)
    async with listener:
        assert where(listener).startswith("tcp!127.0.0.3!")


async def test_unix_socket(tmp_path: Path) -> None:
    path = f"unix!{tmp_path}/socket"
    assert await meet(path) == path
    assert await meet(path) == path, "a dead server's socket is replaced"
    (listener,) = await listen(path, service="9fs")
    async with listener:
        with pytest.raises(CannotListen, match="running there already"):
            await listen(path, service="9fs")


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("data")
    with pytest.raises(CannotListen, match="no socket"):
        await listen(f"unix!{precious}", service="9fs")
    assert precious.read_text() == "data"


async def test_unix_places_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(CannotListen, match=f"no directory {tmp_path}/nosuch"):
        await listen(f"unix!{tmp_path}/nosuch/s", service="9fs")
    with pytest.raises(CannotListen, match="too long"):
        await listen(f"unix!{tmp_path}/{'s' * 200}", service="9fs")


UNPRIVILEGED = textwrap.dedent(
    """
    import os, sys, trio
    from ninep.net.errors import WireError
    from ninep.net.listen import listen
    async def main():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            await listen(sys.argv[1], service="9fs")
            print("listening")
        except WireError as error:
            print(type(error).__name__, error)
    trio.run(main)
    """
)


def as_nobody(address: str) -> str:
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody")
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, address], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


@pytest.mark.process
def test_a_port_for_which_one_needs_a_right() -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 564:
        pytest.skip("this machine lets everybody bind port 564")
    said = as_nobody("/net.alt:9fs")
    assert said.startswith("CannotListen /net.alt/tcp!*!564: ")
    assert "'/net.alt/tcp!*!5640'" in said
    assert "sysctl net.ipv4.ip_unprivileged_port_start=564" in said


@pytest.mark.process
async def test_somebody_elses_live_socket_is_not_replaced() -> None:
    """Even where the directory would let us: it refuses our connection by its mode, not because it is dead."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o777)
        (listener,) = await listen(f"unix!{directory}/s", service="9fs")
        async with listener:
            Path(directory, "s").chmod(0o600)
            said = await trio.to_thread.run_sync(as_nobody, f"unix!{directory}/s")
            assert said.startswith("CannotListen")
            assert "somebody else's" in said
            async with await dial(where(listener), service="9fs"):
                pass


async def test_asking_whether_one_can_listen_keeps_nobody_waiting(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_listen_flags(parser)
    arguments = parser.parse_args([])
    (listener,) = await listen("tcp!127.0.0.1!0", service="9fs")
    with pytest.raises(CannotListen, match="taken"):
        await can_listen(arguments, where(listener), service="9fs")
    address = where(listener)
    await listener.aclose()
    for one in (address, f"unix!{tmp_path}/socket"):
        await can_listen(arguments, one, service="9fs")
        with pytest.raises(Unreachable):
            await dial(one, service="9fs")
    assert os.listdir(tmp_path) == []


async def test_asking_lets_no_client_in() -> None:
    """One that comes in between would be hung up on."""
    parser = argparse.ArgumentParser()
    add_listen_flags(parser)
    arguments = parser.parse_args([])
    (listener,) = await listen("tcp!127.0.0.1!0", service="9fs")
    host, port = listener.socket.getsockname()
    await listener.aclose()
    done = threading.Event()

    def knock() -> int:
        let_in = 0
        while not done.is_set():
            with suppress(OSError), socket.create_connection((host, port), timeout=5) as knocking:
                let_in += knocking.getsockname() != (host, port)
        return let_in

    async def ask() -> None:
        for _ in range(1000):
            await can_listen(arguments, f"tcp!{host}!{port}", service="9fs")
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        assert await trio.to_thread.run_sync(knock) == 0
