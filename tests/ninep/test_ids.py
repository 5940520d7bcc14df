"""Names and numbers of users: the rule that ``docs/reference/9p-ids.md`` states."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ninep.protocol.ids import MADE_UP, NOBODY, Ids, number_of

names = some.text(some.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def test_the_table_comes_first() -> None:
    ids = Ids({"glenda": 1000, "root": 0}, {"wheel": 10})
    assert (ids.uid("glenda"), ids.user(1000)) == (1000, "glenda")
    assert (ids.uid("root"), ids.user(0)) == (0, "root")
    assert (ids.gid("wheel"), ids.group(10)) == (10, "wheel")
    assert ids.gid("glenda") != 1000, "groups are not users"


def test_two_names_of_one_number() -> None:
    ids = Ids({"root": 0, "toor": 0})
    assert ids.uid("toor") == 0
    assert ids.user(0) == "root"


@pytest.mark.parametrize(
    ("name", "number"), [("0", 0), ("1000", 1000), ("4294967294", 4294967294), ("none", NOBODY), ("", NOBODY)]
)
def test_names_that_are_numbers(name: str, number: int) -> None:
    assert number_of(name) == number
    assert Ids().user(number) == (name or "none")


@pytest.mark.parametrize("name", ["007", "-1", "4294967295", "99999999999999999999", "٣", "1.5", "glenda"])
def test_names_that_are_none(name: str) -> None:
    assert MADE_UP <= number_of(name) < 2 * MADE_UP


def test_made_up_numbers_are_the_same_everywhere() -> None:
    assert number_of("glenda") == 0x4D641A7B
    assert Ids().uid("glenda") == Ids({"other": 5}).uid("glenda") == number_of("glenda")


@given(names)
def test_there_and_back(name: str) -> None:
    ids = Ids({"glenda": 1000})
    assert ids.user(ids.uid(name)) == name
    assert ids.group(ids.gid(name)) == name


@given(some.integers(0, 2**32 - 2))
def test_a_number_nobody_has_is_its_digits(number: int) -> None:
    if number != NOBODY:
        ids = Ids()
        assert ids.user(number) == str(number)
        assert ids.uid(ids.user(number)) == number
        assert ids.user(number, "mallory") == "mallory"
