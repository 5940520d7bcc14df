"""The table of users: what it takes, who is in which group, and what clients see of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fossil.errors import ConsoleRefused
from fossil.live.users import Users, first_table
from ninep.protocol import messages as m
from programs.opened_fossil import Opened, client


@pytest.mark.parametrize("text", ["adm:adm", "adm:adm:adm:\n", ":x::\nadm:adm::\nnone:none::"])
def test_bad_user_tables(text: str) -> None:
    with pytest.raises(ConsoleRefused):
        Users.parse(text)


def test_groups() -> None:
    users = Users.parse(first_table("alice") + "dev:dev:bob:alice\nbob:bob::\n")
    assert users.is_member("alice", "adm")
    assert users.is_leader("adm", "adm")
    assert not users.is_leader("alice", "adm")
    assert users.is_member("alice", "dev")
    assert users.is_leader("bob", "dev")
    assert not users.is_leader("alice", "dev")
    assert not users.is_member("none", "none")
    assert users.uid("stranger") == "none"


def test_table_is_printed_in_the_order_of_ids() -> None:
    users = Users.parse("sys:sys::glenda\nadm:adm:adm:sys\nglenda:glenda:glenda:\nnone:none::\nnoworld:noworld::\n")
    assert (len(users), len(users.text())) == (5, 84)
    assert users.text().splitlines()[0] == "adm:adm:adm:sys"
    added = users.added("upas", "upas").joined("adm", "glenda").joined("upas", "glenda")
    assert len(added.text()) == 109
    assert Users.parse(added.text()).text() == added.text()


@pytest.mark.parametrize("uid", ["adm", "none", "noworld", "sys"])
def test_mandatory_users(uid: str) -> None:
    from fossil.errors import ConsoleRefused

    lines = [line for line in first_table("glenda").splitlines() if not line.startswith(uid + ":")]
    with pytest.raises(ConsoleRefused, match=uid):
        Users.parse("\n".join(lines))
    with pytest.raises(ConsoleRefused, match="mandatory"):
        Users.parse(first_table("glenda")).renamed(uid, "other")


def test_lines_that_cannot_be_used_are_told_and_left_out() -> None:
    told: list[str] = []
    bad = "\nno colons\nx:y:z\n # all comment\na(b:ab::\nglenda:other::\nbob:bob:nobody:carol,glenda , bob\n"
    users = Users.parse(first_table("glenda") + bad, told.append)
    assert [text.partition(":")[0] for text in told] == [f"users, line {n}" for n in (7, 8, 10, 11)]
    assert "bob:bob:bob:glenda" in users.text().splitlines()


async def test_ids_are_stored_and_names_are_shown(tmp_path: Path) -> None:
    with Opened(tmp_path) as fossil:
        system = fossil.system
        system.users = Users.parse(first_table("glenda") + "dev:dev:rob:rob,ken\nrob:rob::\nken:ken::\nout:out::\n")
        system.create(system.node(2), "file", 0o640, "rob", "dev")
        system.users = system.users.renamed("rob", "robert")
        async with client(fossil, "robert") as raw:
            assert (await raw.stat("file")).uid == "robert"
            assert [entry.uid for entry in await raw.list() if entry.name == "file"] == ["robert"]
            assert await raw.content("file") == b""
        async with client(fossil, "rob") as raw:
            assert await raw.refused(m.Topen(await raw.walk("file"), m.OREAD)) == "permission denied"
        system.users = Users.parse(first_table("glenda"))
        async with client(fossil) as raw:
            entry = await raw.stat("file")
            assert (entry.uid, entry.gid) == ("(rob)", "(dev)")
