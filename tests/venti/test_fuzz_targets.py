"""Any bytes, and sound ones with damage, to everything that takes bytes from a peer, a disk or a person."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from contracts.fuzz_targets import TARGETS, seeds


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60)
@given(some.binary(max_size=600))
def test_any_bytes(name: str, data: bytes) -> None:
    TARGETS[name](data)


@pytest.mark.parametrize("name", [name for name in TARGETS if seeds(name)])
@settings(max_examples=60)
@given(some.data())
def test_sound_bytes_with_damage(name: str, data: some.DataObject) -> None:
    found = bytearray(data.draw(some.sampled_from(seeds(name))))
    for _ in range(data.draw(some.integers(0, 3))):
        if found:
            found[data.draw(some.integers(0, len(found) - 1))] = data.draw(some.integers(0, 255))
    TARGETS[name](bytes(found[: data.draw(some.integers(0, len(found)))] if data.draw(some.booleans()) else found))
