"""The fuzzer's targets of 9P: all written conversations, cut and changed, and any bytes, without harm."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from contracts.ninep_fuzz_targets import NINEP_TARGETS, ninep_seeds


@pytest.mark.parametrize("name", NINEP_TARGETS)
def test_seeds_and_what_is_near_them(name: str) -> None:
    target, found = NINEP_TARGETS[name], ninep_seeds(name)
    assert found
    chance = random.Random(9)
    for seed in found:
        target(seed)
        target(seed[: chance.randrange(len(seed))])
        changed = bytearray(seed)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        target(bytes(changed))


@pytest.mark.parametrize("name", NINEP_TARGETS)
@given(data=some.binary(max_size=300))
def test_any_bytes(name: str, data: bytes) -> None:
    NINEP_TARGETS[name](data)


def test_all_dialects_have_seeds() -> None:
    assert {seed[0] for seed in ninep_seeds("ninep_server")} == {0, 1, 2}
