"""Words, options and modes of the console's language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fossil.console import modetext
from fossil.console.words import Usage, number, quoted, split_words
from fossil.errors import ConsoleRefused
from ninep.protocol import stat as st

WORDS = [
    ("", []),
    ("snap -a", ["snap", "-a"]),
    ("  snap\t-a  ", ["snap", "-a"]),
    ("create '/active/a b' glenda sys 664", ["create", "/active/a b", "glenda", "sys", "664"]),
    ("echo 'it''s'", ["echo", "it's"]),
    ("echo ''", ["echo", ""]),
    ("a'b c'd", ["ab cd"]),
    ("# all of it", []),
    ("  # all of it, too", []),
    ("fsys main config #S/sdF0/fossil", ["fsys", "main", "config", "#S/sdF0/fossil"]),
    ("a#b", ["a#b"]),
]


@pytest.mark.parametrize(("line", "words"), WORDS)
def test_words(line: str, words: list[str]) -> None:
    assert split_words(line) == words


def test_open_quote_is_refused() -> None:
    with pytest.raises(ConsoleRefused, match="quote"):
        split_words("echo 'oops")


@given(some.lists(some.text(some.characters(blacklist_characters="\n", blacklist_categories=["Cs"]))))
def test_quoted_words_come_back(words: list[str]) -> None:
    assert split_words("x " + " ".join(map(quoted, words))) == ["x", *words]


USAGE = Usage("test [-ab] [-c count] word ...", flags="ab", valued="c", least=1, most=2)


@pytest.mark.parametrize(
    ("words", "options", "rest"),
    [
        (["x"], {}, ["x"]),
        (["-a", "-b", "x", "y"], {"a": "", "b": ""}, ["x", "y"]),
        (["-ab", "x"], {"a": "", "b": ""}, ["x"]),
        (["-c", "5", "x"], {"c": "5"}, ["x"]),
        (["-c5", "x"], {"c": "5"}, ["x"]),
        (["-ac", "5", "x"], {"a": "", "c": "5"}, ["x"]),
        (["-", "-a"], {}, ["-", "-a"]),
        (["x", "-a"], {}, ["x", "-a"]),
        (["--", "-a"], {}, ["-a"]),
    ],
)
def test_options(words: list[str], options: dict[str, str], rest: list[str]) -> None:
    given = USAGE.parse(words)
    assert (dict(given.options), list(given.words)) == (options, rest)


@pytest.mark.parametrize("words", [[], ["-z", "x"], ["-c"], ["x", "y", "z"], ["-a"]])
def test_usage_is_told(words: list[str]) -> None:
    with pytest.raises(ConsoleRefused, match=r"usage: test \[-ab\]"):
        USAGE.parse(words)


@pytest.mark.parametrize(("word", "value"), [("0", 0), ("10", 10), ("0x10", 16), ("010", 8)])
def test_numbers(word: str, value: int) -> None:
    assert number(word, USAGE) == value


@pytest.mark.parametrize("word", ["", "x", "-1", "1.5", "0x", "09"])
def test_no_numbers(word: str) -> None:
    with pytest.raises(ConsoleRefused, match="usage"):
        number(word, USAGE)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("664", 0o664),
        ("d775", st.DMDIR | 0o775),
        ("a600", st.DMAPPEND | 0o600),
        ("alT640", st.DMAPPEND | st.DMEXCL | st.DMTMP | 0o640),
        ("YUGd755", st.DMSETVTX | st.DMSETUID | st.DMSETGID | st.DMDIR | 0o755),
        ("0", 0),
    ],
)
def test_modes(text: str, mode: int) -> None:
    assert modetext.parse(text) == mode
    assert modetext.text(mode) == text


def test_mode_of_a_link() -> None:
    assert modetext.text(st.DMSYMLINK | 0o777) == "L777"


def test_mode_of_a_snapshot() -> None:
    assert modetext.text(st.DMDIR | 0o555, snapshot=True) == "ds555"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("alt640", "temporary file has T"),
        ("ds555", "snapshot"),
        ("H755", "no meaning"),
        ("L777", "link"),
        ("", "octal"),
        ("d", "octal"),
    ]
    + [(text, "octal") for text in ("778", "x", "1777", "00777", "7 7")],
)
def test_no_modes(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        modetext.parse(text)
