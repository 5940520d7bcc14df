"""Dial strings: a table of what they mean."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ninep.net.address import SERVICES, Address, parse
from ninep.net.errors import BadAddress


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("tcp!fs!9fs", Address("/net", "fs", 564)),
        ("tcp!fs", Address("/net", "fs", 564)),
        ("net!fs!venti", Address("/net", "fs", 17034)),
        ("fs!17034", Address("/net", "fs", 17034)),
        ("fs", Address("/net", "fs", 564)),
        ("fs:1234", Address("/net", "fs", 1234)),
        ("10.0.0.1", Address("/net", "10.0.0.1", 564)),
        ("10.0.0.1:venti", Address("/net", "10.0.0.1", 17034)),
        ("::1", Address("/net", "::1", 564)),
        ("[::1]", Address("/net", "::1", 564)),
        ("[::1]:5640", Address("/net", "::1", 5640)),
        ("tcp![::1]!5640", Address("/net", "::1", 5640)),
        ("tcp!::1!5640", Address("/net", "::1", 5640)),
        ("tcp!*!564", Address("/net", "*", 564)),
        ("tcp!0.0.0.0!564", Address("/net", "*", 564)),
        ("tcp!*!0", Address("/net", "*", 0)),
        ("/net/tcp!*!564", Address("/net", "*", 564)),
        ("/net.alt/tcp!*!17034", Address("/net.alt", "*", 17034)),
        ("/net.alt/tcp!host!venti", Address("/net.alt", "host", 17034)),
        ("/net.alt:17034", Address("/net.alt", "*", 17034)),
        ("/net.alt:venti", Address("/net.alt", "*", 17034)),
        ("/net.alt", Address("/net.alt", "*", 564)),
        ("fe80::1%eth0", Address("/net", "fe80::1%eth0", 564)),
        ("/network/socket", Address("/net", "", 0, "/network/socket", "unix")),
        ("./socket", Address("/net", "", 0, "./socket", "unix")),
        ("unix!/tmp/ns/fossil", Address("/net", "", 0, "/tmp/ns/fossil", "unix")),
        ("tls!fs!9fs", Address("/net", "fs", 564, "", "tls")),
        ("tls!fs", Address("/net", "fs", 564, "", "tls")),
        ("/net.alt/tls!*!5640", Address("/net.alt", "*", 5640, "", "tls")),
        ("exec!ssh fs ninep export /a!b -", Address("/net", "", 0, "ssh fs ninep export /a!b -", "exec")),
        ("-", Address("/net", "", 0, "", "stdio")),
        ("systemd!", Address("/net", "", 0, "", "systemd")),
        ("systemd!files", Address("/net", "", 0, "files", "systemd")),
        ("/tmp/ns/fossil", Address("/net", "", 0, "/tmp/ns/fossil", "unix")),
    ],
)
def test_meaning(text: str, meaning: Address) -> None:
    assert parse(text, "9fs") == meaning
    assert parse(str(meaning), "9fs") == meaning


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not an address"),
        (" fs", "not an address"),
        ("tcp!fs!nosuch", "neither a port nor a service"),
        ("tcp!fs!65536", "neither"),
        ("tcp!fs!-1", "neither"),
        ("tcp!fs!564!9", "too many parts"),
        ("tcp!!564", "names no host"),
        ("tcp!", "names no host"),
        ("udp!fs!564", "only 'tcp'"),
        ("unix!", "names no socket"),
        ("tcp!$auth!564", "name the host"),
        ("fs:", "neither"),
        ("/net.alt:", "neither"),
        ("[::1]:", "neither"),
        ("fs:564:9", "no IPv6 address"),
        ("tcp!fs:564!9", "no IPv6 address"),
        ("/net.alt/tcp:564", "write for example '/net.alt/tcp"),
        ("/other/tcp!fs!564", "called /net, /net.alt or"),
        ("tcp!fs!" + "9" * 5000, "neither"),
        ("unix!/a\0b", "not an address"),
        ("fs\n", "not an address"),
        ("[::1", "names no host"),
    ],
)
def test_complaints(text: str, complaint: str) -> None:
    with pytest.raises(BadAddress, match=complaint.replace("$", r"\$")):
        parse(text, "9fs")


@given(some.text(max_size=30))
def test_any_text_is_an_address_or_a_complaint(text: str) -> None:
    with contextlib.suppress(BadAddress):
        assert 0 <= parse(text, "9fs").port <= 65535


def test_the_manual_lists_the_services() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "addresses.md").read_text()
    listed = {name: int(port) for name, port in re.findall(r"\| `(\w+)` \| (\d+) ", page)}
    assert listed == SERVICES
