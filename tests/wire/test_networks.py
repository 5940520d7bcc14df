"""The table of networks: what a name stands for on this machine."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ninep.net.errors import BadAddress
from ninep.net.networks import Listening, Networks, interface_addresses


@pytest.mark.parametrize(
    ("settings", "network", "places"),
    [
        ([], "/net", [Listening("*")]),
        ([], "/net.alt", [Listening("127.0.0.1")]),
        (["/net.alt=127.0.0.9"], "/net.alt", [Listening("127.0.0.9")]),
        (["/net.lab=127.0.0.7"], "/net.lab", [Listening("127.0.0.7")]),
        (["/net.alt=127.0.0.7", "/net.alt=127.0.0.8"], "/net.alt", [Listening("127.0.0.8")]),
        (["/net=127.0.0.1"], "/net", [Listening("127.0.0.1")]),
        (["/net.alt=::1"], "/net.alt", [Listening("::1")]),
        (["/net.alt=*"], "/net.alt", [Listening("*")]),
        (["/net.alt=0.0.0.0/0"], "/net.alt", [Listening("*")]),
    ],
)
def test_places(settings: list[str], network: str, places: list[Listening]) -> None:
    assert Networks.parse(settings).places(network) == places


def test_an_interface_and_a_prefix_are_this_machines_addresses_on_them() -> None:
    assert Networks.parse(["/net.alt=lo"]).places("/net.alt")[0] == Listening("127.0.0.1")
    assert Networks.parse(["/net.alt=127.0.0.0/8"]).address("/net.alt") == "127.0.0.1"


def test_interface_addresses_are_numbers() -> None:
    found = interface_addresses()
    assert ("lo", "127.0.0.1") in found
    assert all(device and ipaddress.ip_address(host) for device, host in found)


@pytest.mark.parametrize(
    ("network", "setting", "complaint"),
    [
        ("/net.lab", "/net.alt=lo", "unknown network.*known: /net, /net.alt.*--net /net.lab="),
        ("/net.alt", "/net.alt=nosuch0", "no such address or interface.*--net"),
        ("/net.alt", "/net.alt=203.0.113.77", "no such address or interface"),
        ("/net.alt", "/net.alt=203.0.113.0/24", "no such address or interface"),
        ("/net.alt", "/net.alt=203.0.113.0/99", "no such address or interface"),
    ],
)
def test_what_this_machine_does_not_have(network: str, setting: str, complaint: str) -> None:
    with pytest.raises(BadAddress, match=complaint):
        Networks.parse([setting]).places(network)


@pytest.mark.parametrize("bad", ["/net.alt", "=x", "alt=lo", "/net.alt=", "/network=lo", "/net/alt=lo", "/net.=lo", ""])
def test_what_is_no_setting(bad: str) -> None:
    with pytest.raises(BadAddress, match="is not a network: write for example"):
        Networks.parse([bad])


@given(some.text(max_size=20), some.text(max_size=20))
def test_any_setting_is_understood_or_complained_about(name: str, value: str) -> None:
    try:
        places = Networks.parse([f"{name}={value}", f"/net.x={value}"]).places("/net.x")
    except BadAddress:
        return
    assert places
