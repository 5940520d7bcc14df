"""The reference of messages says what the codecs do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from ninep.protocol import codec, codec_linux, codec_unix
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.attributes import Attributes, Statfs
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat

PAGE = (Path(__file__).parent.parent.parent / "docs/reference/9p-messages.md").read_text()
ROW = re.compile(r"^\| ([TR]\w+) \| (\d+) \| (.*) \| ([\w+]+) \|$", re.M)
FIELD = re.compile(r"`([\w+]+) (\w+)\[(\w+)\](\*?)`")
SECTIONS = {
    name: list(ROW.finditer(text))
    for name, text in re.findall(r"^## (9P2000(?:\.[uL])?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
}
ROWS = [pytest.param(name, row, id=f"{name} {row[1]}") for name, rows in SECTIONS.items() for row in rows]
CODECS: dict[str, Any] = {m.VERSION: codec, m.VERSION_UNIX: codec_unix, lm.VERSION: codec_linux}
QID = Qid(1, 2, 3)
SPECIAL: dict[type, Any] = {
    m.Twalk: m.Twalk(1, 2, ["names"]),
    m.Rwalk: m.Rwalk([QID]),
    m.Rread: m.Rread(b"data"),
    m.Twrite: m.Twrite(1, 2, b"data"),
    m.Rstat: m.Rstat(Stat(name="n")),
    m.Twstat: m.Twstat(1, Stat(name="n")),
    lm.Rreaddir: lm.Rreaddir(b"data"),
    lm.Rgetattr: lm.Rgetattr(Attributes(QID, 1, 2, 3)),
    lm.Rstatfs: lm.Rstatfs(Statfs()),
}


def sample(kind: Any) -> Any:
    """A message of this kind; every string in it is the name of its field."""
    if kind in SPECIAL:
        return SPECIAL[kind]
    values = {"str": "x", "int": 1, "Qid": QID}
    fields = {name: values[type_.__name__] for name, type_ in get_type_hints(kind).items()}
    return kind(**{name: name if value == "x" else value for name, value in fields.items()})


def test_every_message_has_its_row() -> None:
    told = {row[1]: int(row[2]) for rows in SECTIONS.values() for row in rows}
    assert told == {kind.__name__: number for kind, number in (m.NUMBERS | lm.NUMBERS).items()}


@pytest.mark.parametrize(("dialect", "row"), ROWS)
def test_row(dialect: str, row: re.Match[str]) -> None:
    kind = next(kind for kind in (m.NUMBERS | lm.NUMBERS) if kind.__name__ == row[1])
    message = sample(kind)
    pieces: list[Any] = []
    CODECS[dialect].encode(5, message, pieces)
    frame = b"".join(pieces)
    assert frame[4] == int(row[2])
    at = 7
    offset = "7"
    for told, name, size, many in FIELD.findall(row[3]):
        assert told == offset, f"{name} is at {offset}"
        fixed, *texts = offset.split("+")
        if size == "s":
            text = "names" if many else name
            assert frame[at : at + 2 + len(text)] == len(text).to_bytes(2, "little") + text.encode()
            at += 2 + len(text)
            offset = "+".join((fixed if many else str(int(fixed) + 2), *texts, name))
        elif not size.isdigit():
            at = len(frame)
            offset = "+".join((fixed, *texts, size))
        elif many:
            at += int(size)
            offset = "+".join((fixed, *texts, name))
        else:
            at += int(size)
            offset = "+".join((str(int(fixed) + int(size)), *texts))
    assert at == len(frame)
    assert offset == row[4]
