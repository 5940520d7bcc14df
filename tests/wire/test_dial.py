"""Dialing: who answers, who does not, and what is said then."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from ninep.net.dial import dial
from ninep.net.errors import BadAddress, Unreachable
from ninep.net.listen import listen, where
from ninep.net.networks import Networks


async def test_a_stream_to_the_listener_without_nagles_delay() -> None:
    (listener,) = await listen("/net.alt:0", service="9fs")
    async with listener, await dial(where(listener), service="9fs") as near, await listener.accept() as far:
        assert near.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await near.send_all(b"x")
        assert await far.receive_some() == b"x"


async def test_the_networks_own_address() -> None:
    networks = Networks.parse(["/net.alt=127.0.0.5"])
    (listener,) = await listen("/net.alt:0", service="9fs", networks=networks)
    port = listener.socket.getsockname()[1]
    async with listener, await dial(f"/net.alt:{port}", service="9fs", networks=networks) as near:
        assert near.socket.getpeername() == ("127.0.0.5", port)


async def test_a_unix_socket(tmp_path: Path) -> None:
    (listener,) = await listen(f"unix!{tmp_path}/s", service="9fs")
    async with listener, await dial(f"{tmp_path}/s", service="9fs") as near, await listener.accept() as far:
        await far.send_all(b"y")
        assert await near.receive_some() == b"y"


async def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with pytest.raises(Unreachable, match=rf"tcp!127.0.0.1!{port}: .*Connection refused.*; is the server running"):
            await dial(f"tcp!127.0.0.1!{port}", service="9fs")
    for missing in (tmp_path / "nosuch", tmp_path / "nosuch" / "s"):
        with pytest.raises(Unreachable, match=f"unix!{missing}"):
            await dial(f"unix!{missing}", service="9fs")


class Silence(trio.abc.HostnameResolver):
    """A name service that never answers."""

    async def getaddrinfo(self, *_: object, **__: object) -> list[tuple[object, ...]]:
        await trio.sleep_forever()
        return []

    async def getnameinfo(self, *_: object) -> tuple[str, str]:
        raise NotImplementedError


class Unknown(Silence):
    async def getaddrinfo(self, *_: object, **__: object) -> list[tuple[object, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def test_silence_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    trio.socket.set_custom_hostname_resolver(Silence())
    with pytest.raises(Unreachable, match="tcp!far!564: no answer within 3 seconds"):
        await dial("tcp!far!9fs", service="9fs", patience=3)
    assert trio.current_time() - autojump_clock.current_time() == 0


async def test_unknown_host() -> None:
    trio.socket.set_custom_hostname_resolver(Unknown())
    with pytest.raises(Unreachable, match="tcp!nosuch!564: Name or service not known"):
        await dial("nosuch", service="9fs")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tcp!*!564", "which machine"),
        ("/net.lab/tcp!fs!564", "unknown network"),
        ("/net.lab", "unknown network"),
        ("tcp!a..b!564", "cannot be the name of a machine"),
    ],
)
async def test_complaints(text: str, complaint: str) -> None:
    with pytest.raises(BadAddress, match=complaint):
        await dial(text, service="9fs")


async def test_a_caller_may_give_up(autojump_clock: trio.testing.MockClock) -> None:
    trio.socket.set_custom_hostname_resolver(Silence())
    with trio.move_on_after(1) as scope:
        await dial("far", service="9fs")
    assert scope.cancelled_caught
