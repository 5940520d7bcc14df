"""Knows which addresses belong to ``/net``, ``/net.alt`` and the other networks that a person has named."""

from __future__ import annotations

import array
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ninep.net.address import ANY, NETWORK
from ninep.net.errors import BadAddress

DEFAULTS: Mapping[str, str] = {"/net": ANY, "/net.alt": "127.0.0.1"}
"""``/net`` is everything. ``/net.alt`` is the private side: this machine alone, as long as nobody says otherwise."""

_EVERYTHING = frozenset((ANY, "0.0.0.0", "::", "0.0.0.0/0", "::/0"))
_SIOCGIFCONF = 0x8912
_IFREQ = 40


class Listening(NamedTuple):
    """One address to listen on.

    Attributes:
        host: a numeric address; ``*`` is all of them.
        device: the interface to accept from, or empty for any.
    """

    host: str
    device: str = ""


class Networks:
    """A table from a network's name to an address, a prefix or an interface's name."""

    def __init__(self, table: Mapping[str, str] = DEFAULTS) -> None:
        self._table = {**DEFAULTS, **table}

    @classmethod
    def parse(cls, settings: Iterable[str]) -> Networks:
        """From settings like ``/net.alt=eth1`` or ``/net.alt=192.168.9.0/24``; of two for one name the later counts.

        Raises:
            BadAddress: one of them is something else.
        """
        table: dict[str, str] = {}
        for setting in settings:
            name, equals, value = setting.strip().partition("=")
            if not equals or not value or not NETWORK.fullmatch(name):
                raise BadAddress(
                    f"{setting!r} is not a network: write for example '/net.alt=eth1' or '/net.alt=10.0.0.5'"
                )
            table[name] = value
        return cls(table)

    def value(self, network: str) -> str:
        """What was said that ``network`` is.

        Raises:
            BadAddress: there is no such network.
        """
        value = self._table.get(network)
        if value is None:
            known = ", ".join(sorted(self._table))
            raise BadAddress(f"unknown network {network!r} (known: {known}): define it with --net {network}=ADDRESS")
        return value

    def places(self, network: str) -> list[Listening]:
        """Where to listen for ``network``, for its own machine and its neighbours but for nobody else.

        Raises:
            BadAddress: there is no such network, or this machine has no address on it.
        """
        value = self.value(network)
        if value in _EVERYTHING:
            return [Listening(ANY)]
        found = _matching(value)
        if not found:
            raise BadAddress(
                f"{network} is {value!r}, but this machine has no such address or interface: see 'ip addr', "
                f"and say --net {network}=ADDRESS"
            )
        places = []
        for device, host in found:
            if ipaddress.ip_address(host.partition("%")[0]).is_loopback:
                places.append(Listening(host))
            else:
                # The machine's own connections to the address come in through lo.
                places += [Listening(host, device), Listening(host, "lo")]
        return places

    def address(self, network: str) -> str:
        """The address to dial for the network itself. Raises ``BadAddress``."""
        host = self.places(network)[0].host
        if host == ANY:
            raise BadAddress(f"which machine? '{network}' alone can only be listened on: write 'tcp!host!service'")
        return host


def _matching(value: str) -> list[tuple[str, str]]:
    """(interface, address) of this machine for an address, a prefix or an interface's name."""
    present = interface_addresses()
    try:
        if "/" in value:
            prefix = ipaddress.ip_network(value, strict=False)
            return [(device, host) for device, host in present if ipaddress.ip_address(host) in prefix]
        wanted = ipaddress.ip_address(value)
    except ValueError:
        return [(device, host) for device, host in present if device == value]
    if wanted.is_loopback:
        return [("lo", value)]
    return [(device, host) for device, host in present if ipaddress.ip_address(host) == wanted]


def interface_addresses() -> list[tuple[str, str]]:
    """(interface, numeric address) for every address of this machine. Source: netdevice(7)."""
    found: list[tuple[str, str]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        room = size = 64 * _IFREQ
        while size >= room:
            room *= 2
            space = array.array("B", bytes(room))
            start, _ = space.buffer_info()
            size = struct.unpack("iL", fcntl.ioctl(probe.fileno(), _SIOCGIFCONF, struct.pack("iL", room, start)))[0]
    for at in range(0, size, _IFREQ):
        entry = space[at : at + _IFREQ].tobytes()
        name = entry[:16].split(b"\0", 1)[0].decode().partition(":")[0]
        found.append((name, socket.inet_ntoa(entry[20:24])))
    with suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            digits, _, _, scope, _, name = line.split()
            host = str(ipaddress.IPv6Address(bytes.fromhex(digits)))
            if scope != "20":
                found.append((name, host))
    return found
