"""Dial strings: what people type to name a service. Pure. Source: dial(3), ndb(6).

=============================== =====================================================
``tcp!host!service``            a machine by name or number, a service by name or port
``net!host!service``, ``host!service``, ``host:port``, ``host``   the same, shorter
``tcp!*!564``                   listening: every address of the network
``/net.alt/tcp!*!17034``        on another network than ``/net``
``/net.alt:17034``, ``/net.alt`` the network's own address, as short as it gets
``unix!/path``, ``/path``       a Unix socket
``tls!host!service``            the same as ``tcp``, encrypted, and with proof of who it is
``exec!command``                a program that speaks on its standard input and output, say ``exec!ssh fs u9fs``
``-``                           listening: this program's own standard input and output
``systemd!name``, ``systemd!``  listening: sockets that were opened for this program, those of a name or all of them
=============================== =====================================================
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from ninep.net.errors import BadAddress

SERVICES = {
    "9fs": 564,
    "whoami": 565,
    "guard": 566,
    "ticket": 567,
    "secstore": 5356,
    "styx": 6666,
    "rstyx": 6668,
    "exportfs": 17007,
    "rexexec": 17009,
    "ncpu": 17010,
    "cpu": 17013,
    "rcpu": 17019,
    "t9fs": 17020,
    "venti": 17034,
    "wiki": 17035,
    "aan": 17037,
    "9fsa": 18008,
    "http": 80,
    "https": 443,
    "ssh": 22,
}
"""Service names of Plan 9's network database, and their TCP ports."""

ANY = "*"
"""As a host: every address of the network when listening, the network's own address when dialing."""

NETWORK = re.compile(r"/net(?:\.[A-Za-z0-9_-]+)?")
"""How networks are called."""

_SHORT = re.compile(rf"({NETWORK.pattern})(?::(.*))?")
_BELOW_NETWORK = re.compile(rf"{NETWORK.pattern}/.*")


class Address(NamedTuple):
    """What a dial string means.

    Attributes:
        network: which network it is on; ``/net`` is every address of the machine.
        host: a name or a number, or ``ANY``; empty for a Unix socket.
        port: 0 lets the system choose when listening.
        path: of a Unix socket, the command of ``exec``, the name of ``systemd``; else empty.
        protocol: ``tcp``, ``tls``, ``unix``, ``exec``, ``stdio`` or ``systemd``.
    """

    network: str
    host: str
    port: int
    path: str = ""
    protocol: str = "tcp"

    def __str__(self) -> str:
        if self.protocol == "stdio":
            return "-"
        if self.protocol not in ("tcp", "tls"):
            return f"{self.protocol}!{self.path}"
        prefix = "" if self.network == "/net" else f"{self.network}/"
        return f"{prefix}{self.protocol}!{self.host}!{self.port}"


def parse(text: str, service: str) -> Address:
    """Reads a dial string; ``service`` is the one to take where it names none.

    Raises:
        BadAddress: it cannot be understood; the text says what is wrong with it.
    """
    if not text or text != text.strip() or not text.isprintable():
        raise BadAddress(f"{text!r} is not an address: write for example 'tcp!fs.example.org!{service}'")
    if text == "-":
        return Address("/net", "", 0, "", "stdio")
    if "!" in text:
        return _dial_string(text, service)
    if short := _SHORT.fullmatch(text):
        return Address(short[1], ANY, _port(service if short[2] is None else short[2], text))
    if _BELOW_NETWORK.fullmatch(text):
        raise BadAddress(f"{text!r} names no host: write for example '/net.alt/tcp!*!{service}', or '/net.alt'")
    if text.startswith(("/", "./", "../")):
        return Address("/net", "", 0, text, "unix")
    if bracketed := re.fullmatch(r"\[([^]]*)\](?::(.*))?", text):
        return Address(
            "/net", _host(bracketed[1], text), _port(service if bracketed[2] is None else bracketed[2], text)
        )
    if text.count(":") > 1:
        return Address("/net", _host(text, text), _port(service, text))
    host, colon, port = text.partition(":")
    return Address("/net", _host(host, text), _port(port if colon else service, text))


def _dial_string(text: str, service: str) -> Address:
    head, _, rest = text.partition("!")
    if head == "systemd" or (head == "exec" and rest.strip()):
        return Address("/net", "", 0, rest, head)
    slash = head.rfind("/")
    network, protocol = ("/net", head) if slash < 0 else (head[:slash], head[slash + 1 :])
    if not NETWORK.fullmatch(network):
        raise BadAddress(f"{text!r} names no network: they are called /net, /net.alt or /net.NAME")
    if protocol == "unix":
        if not rest:
            raise BadAddress(f"{text!r} names no socket: write 'unix!/path'")
        return Address("/net", "", 0, rest, "unix")
    if protocol in ("tcp", "net", "tls", ""):
        host, _, port = rest.rpartition("!") if rest.count("!") == 1 else (rest, "", service)
        if "!" in host:
            raise BadAddress(f"{text!r} has too many parts: write 'tcp!host!service'")
        return Address(network, _host(host, text), _port(port, text), "", "tls" if protocol == "tls" else "tcp")
    if slash < 0 and "!" not in rest:
        return Address("/net", _host(protocol, text), _port(rest, text))
    raise BadAddress(f"{text!r} asks for {protocol!r}: there are only 'tcp', 'net', 'tls', 'unix' and 'exec'")


def _host(host: str, text: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if host in ("::", "0.0.0.0"):
        return ANY
    if not host or any(letter in host for letter in "/[] "):
        raise BadAddress(f"{text!r} names no host: write for example 'tcp!fs.example.org!9fs'")
    if ":" in host and not _is_number(host):
        raise BadAddress(f"{text!r}: {host!r} is no IPv6 address, and no other host has colons: write 'host:port'")
    if host.startswith("$"):
        raise BadAddress(f"{text!r} asks a network database for {host!r}, which is not supported: name the host")
    return host


def _port(port: str, text: str) -> int:
    known = SERVICES.get(port)
    if known is not None:
        return known
    if not port.isascii() or not port.isdecimal() or len(port) > 5 or int(port) > 65535:
        raise BadAddress(f"{text!r}: {port!r} is neither a port nor a service like {', '.join(list(SERVICES)[:3])}")
    return int(port)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
