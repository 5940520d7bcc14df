"""Listens on an address, and refuses those where strangers could connect unless the caller allows it."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import ssl
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import trio
from trio.socket import SocketType

from ninep.net.address import ANY, Address, parse
from ninep.net.errors import BadAddress, CannotListen
from ninep.net.networks import Listening, Networks
from ninep.net.passed import passed

Listener: TypeAlias = trio.SocketListener | trio.SSLListener[trio.SocketStream]
"""What takes connections at one socket: plain, or with TLS. ``serve`` takes any number of them."""

BACKLOG = 1024

_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_DEAD = (errno.ECONNREFUSED, errno.ENOENT)


async def listen(
    text: str,
    *,
    service: str,
    networks: Networks | None = None,
    no_auth: bool = False,
    context: ssl.SSLContext | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[Listener]:
    """Listens on the address ``text``; see ``address.parse``.

    Where nobody who connects is asked for proof, only loopback, Unix sockets and named private networks are allowed
    unless ``no_auth`` says that the rest is meant, too. A socket for a private network accepts only from that
    network's interface and from this machine itself (SO_BINDTODEVICE, socket(7)): having the right destination is not
    enough, for a neighbour on another side can route packets to any of this machine's addresses.

    ``context`` is what a ``tls!`` address needs; one that asks clients for certificates is proof enough. For sockets
    from systemd, ``environment`` is this program's, and ``context`` makes them speak TLS.

    A name with several addresses is listened on at each that this machine has. A Unix socket that a dead server left
    behind is replaced. Where one of several sockets fails, none stays open.

    Raises:
        BadAddress: the text or the network cannot be understood, or is open to strangers.
        CannotListen: the address is taken, or needs a right.
    """
    address = parse(text, service)
    bound = await _bound(address, networks or Networks(), no_auth, context, environment or {})
    try:
        found = [_listening(made, address) for made in bound]
    except BaseException:
        _close(bound)
        raise
    return [trio.SSLListener(one, context) for one in found] if context is not None else [*found]


async def check_listen(
    text: str,
    *,
    service: str,
    networks: Networks | None = None,
    no_auth: bool = False,
    context: ssl.SSLContext | None = None,
) -> None:
    """Finds out whether ``listen`` would do: raises what that does.

    Nothing listens meanwhile, so no client is let in that would be hung up on; sockets from systemd are left alone.
    """
    address = parse(text, service)
    if address.protocol != "systemd":
        bound = await _bound(address, networks or Networks(), no_auth, context, {})
        _close(bound)
        if address.path:
            Path(address.path).unlink(missing_ok=True)


async def _bound(
    address: Address, networks: Networks, no_auth: bool, context: ssl.SSLContext | None, environment: Mapping[str, str]
) -> list[SocketType]:
    """Sockets that have the address and do not listen; those from systemd do."""
    if address.protocol in ("stdio", "exec"):
        raise BadAddress(
            f"'{address}' is no address that this program can listen on: name for example 'tcp!127.0.0.1!5640'"
        )
    if address.protocol == "tls" and context is None:
        raise BadAddress(f"{address} needs a certificate to prove who it is: give one with --tls-cert")
    if address.protocol in ("tcp", "unix") and context is not None:
        raise BadAddress(f"{address} is not encrypted, but a certificate was given: write a 'tls!' address")
    proof = no_auth or (context is not None and context.verify_mode == ssl.CERT_REQUIRED)
    if address.protocol == "systemd":
        return [listener.socket for listener in passed(address.path, environment)]
    if address.path:
        return [await _bind_unix(Path(address.path))]
    return await _bind_all(address, networks, proof)


def _listening(made: SocketType, address: Address) -> trio.SocketListener:
    if address.protocol != "systemd":
        try:
            made.listen(BACKLOG)
        except OSError as error:
            # Two sockets may have one address as long as neither listens.
            raise CannotListen(_advice(error, address)) from error
    return trio.SocketListener(made)


def _close(sockets: Sequence[SocketType]) -> None:
    for made in sockets:
        made.close()


async def _bind_all(address: Address, table: Networks, proof: bool) -> list[SocketType]:
    places = table.places(address.network) if address.host == ANY else await _numeric(address, table)
    if not proof:
        for place in places:
            if place.host == ANY or (address.network == "/net" and not _is_loopback(place.host)):
                raise BadAddress(
                    f"{address} is open to everybody who can reach this machine, and nobody has to prove who he is: "
                    "listen on '/net.alt' or 127.0.0.1, ask for certificates "
                    "(--tls-clients), or say --no-auth if that is what you want"
                )
    bound: list[SocketType] = []
    port = address.port
    absent: OSError | None = None
    try:
        for place in places:
            try:
                made = await _bind_tcp(place, port)
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise CannotListen(_advice(error, address)) from error
                absent = error
                continue
            bound.append(made)
            port = port or made.getsockname()[1]
        if absent is not None and not bound:
            raise CannotListen(_advice(absent, address)) from absent
    except BaseException:
        _close(bound)
        raise
    return bound


def where(listener: Listener) -> str:
    """The dial string that reaches a listener."""
    if isinstance(listener, trio.SSLListener):
        plain = listener.transport_listener
        assert isinstance(plain, trio.SocketListener)
        return where(plain).replace("tcp!", "tls!", 1)
    name = listener.socket.getsockname()
    if listener.socket.family == socket.AF_UNIX:
        return f"unix!{name}"
    host = "*" if name[0] in ("::", "0.0.0.0") else name[0]
    return f"tcp!{host}!{name[1]}"


async def _numeric(address: Address, table: Networks) -> list[Listening]:
    """The numeric addresses of a named host, which must be on the named network."""
    try:
        found = await trio.socket.getaddrinfo(address.host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise BadAddress(f"{address}: {address.host!r} cannot be the name of a machine") from error
    except OSError as error:
        raise BadAddress(f"{address}: no such host ({error.strerror}): use a number, or '*' for all") from error
    hosts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if address.network == "/net":
        return [Listening(host) for host in hosts]
    places = [place for place in table.places(address.network) if place.host in hosts]
    if not places:
        raise BadAddress(f"{address}: {address.host} is no address of this machine on {address.network}")
    return places


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


async def _bind_tcp(place: Listening, port: int) -> SocketType:
    host = ("::" if socket.has_dualstack_ipv6() else "0.0.0.0") if place.host == ANY else place.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if place.device:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, place.device.encode() + b"\0")
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(place.host != ANY))
        await made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made


def _advice(error: OSError, address: Address) -> str:
    if error.errno == errno.EACCES:
        other = address._replace(port=5640 if address.port == 564 else address.port + 5000)
        return (
            f"{address}: a port below 1024 needs a right that you do not have: listen on another, for example "
            f"'{other}', or as root allow it with "
            f"'sysctl net.ipv4.ip_unprivileged_port_start={address.port}'"
        )
    if error.errno == errno.EADDRINUSE:
        return (
            f"{address}: the port is taken, perhaps by the same server: stop that one (see 'ss -ltnp'), or listen on "
            f"another port"
        )
    if error.errno in _ABSENT:
        return f"{address}: this machine has no such address: see 'ip addr'"
    if error.errno == errno.EPERM:
        return f"{address}: this system does not let a socket be tied to one interface; run with CAP_NET_RAW"
    return f"{address}: cannot listen: {error.strerror}"


async def _bind_unix(path: Path) -> SocketType:
    try:
        if await _is_left_behind(path):
            path.unlink(missing_ok=True)
        made = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            await made.bind(os.fspath(path))
        except BaseException:
            made.close()
            raise
    except FileNotFoundError as error:
        raise CannotListen(f"unix!{path}: there is no directory {path.parent}: make it first") from error
    except OSError as error:
        raise CannotListen(f"unix!{path}: cannot listen: {error.strerror or error}") from error
    return made


async def _is_left_behind(path: Path) -> bool:
    """Whether there is a socket that nobody listens on. One that merely does not let us in is somebody's."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise CannotListen(f"unix!{path}: there is a file that is no socket: choose another name, or remove it")
    try:
        async with await trio.open_unix_socket(path):
            raise CannotListen(f"unix!{path}: a server is running there already: stop it, or choose another name")
    except OSError as error:
        if error.errno in _DEAD:
            return True
        raise CannotListen(f"unix!{path}: is it somebody else's? {error.strerror}: choose another name") from error
