"""The documentation leads somewhere, and tells of each command what its parser takes, and nothing else.

Every link between its pages has something at its other end.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import fossil.commands.interpreter  # noqa: F401 which enters the commands of the console
from fossil.commands.registry import FSYS, SERVER

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """What the headings of a page can be linked to as."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), f"{target}: there is no such file"
        assert not anchor or anchor in anchors(other), f"{target}: there is no such heading"


def in_navigation() -> set[Path]:
    """The pages that the site's index leads to."""
    index = ROOT / "docs" / "index.md"
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```$", index.read_text(), re.DOTALL | re.MULTILINE)
    return {
        index.parent / f"{line}.md" for tree in trees for line in tree.splitlines() if line and not line.startswith(":")
    }


def test_the_navigation_of_the_site_has_every_page() -> None:
    docs = ROOT / "docs"
    assert in_navigation() == set(docs.rglob("*.md")) - {docs / "index.md"}


@pytest.mark.process
def test_the_site_can_be_built(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="needs the extra docs")
    pytest.importorskip("myst_parser", reason="needs the extra docs")
    pytest.importorskip("furo", reason="needs the extra docs")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "searchindex.js").exists()


def test_every_page_can_be_found() -> None:
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for target in LINK.findall(page.read_text())
    } | in_navigation()
    lost = [str(page.relative_to(ROOT)) for page in PAGES if page not in linked and page.name != "README.md"]
    assert not lost


IMPORTED = re.compile(r"^from ((?:ninep|venti|fossil|cfs)[\w.]*) import (.+)$", re.MULTILINE)
MODULE = re.compile(r"`((?:ninep|venti|fossil|cfs|bench|tests)/[\w/]+\.py)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_imports_is_there(page: Path) -> None:
    text = page.read_text()
    for module, names in IMPORTED.findall(text):
        for name in names.split(","):
            assert hasattr(import_module(module), name.strip()), f"{module} has no {name}"
    assert not [path for path in MODULE.findall(text) if not (ROOT / path).exists()]


PROGRAMS = {"ninep": "ninep-cli", "venti": "venti-cli", "fossil": "fossil", "cfs": "cfs"}
"""Each program and its page."""
EVERYWHERE = frozenset(("-h", "--help", "--verbose"))
FLAG = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")


def text_of(page: str) -> str:
    return (ROOT / "docs" / "reference" / f"{page}.md").read_text()


def parser_of(program: str) -> argparse.ArgumentParser:
    """The parser of a program with all commands."""
    return import_module(f"{program}.__main__").PROGRAM.parser()


def flags_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {flag: action for action in parser._actions for flag in action.option_strings}


def commands_of(program: str) -> dict[str, argparse.ArgumentParser]:
    actions = parser_of(program)._actions
    found = next(action for action in actions if isinstance(action, argparse._SubParsersAction))
    return {min(name for name, other in found.choices.items() if other is one): one for one in found.choices.values()}


COMMANDS = [(program, name) for program in PROGRAMS for name in commands_of(program)]


def told_of(page: str, name: str) -> str:
    """What a page says of one command: its rows of tables, the section of its name, and what is said of all of them."""
    top, *sections = re.split(r"^## ", text_of(page), flags=re.MULTILINE)
    titles = [section.partition("\n")[0].split(" and ") for section in sections]
    names = {name for program, name in COMMANDS if PROGRAMS[program] == page}
    own = [
        section
        for title, section in zip(titles, sections, strict=True)
        if name in title or not names.intersection(title)
    ]
    lines = [
        line
        for line in "\n".join((top, *own)).splitlines()
        if (found := re.match(r"\| `([a-z-]+)[ `]", line)) is None or found[1] not in names or found[1] == name
    ]
    return "\n".join(lines)


@pytest.mark.parametrize(("program", "name"), COMMANDS)
def test_every_flag_of_a_command_is_told(program: str, name: str) -> None:
    told = set(FLAG.findall(told_of(PROGRAMS[program], name)))
    if program == "venti" and name == "serve":
        told |= {f"--{key}" for key in re.findall(r"^\| `([a-z-]+)`", text_of("venti-settings"), re.MULTILINE)}
    letters = {f"-{letter}" for flag in told if not flag.startswith("--") for letter in flag[1:]}
    for action in {id(action): action for action in flags_of(commands_of(program)[name]).values()}.values():
        assert {*action.option_strings} & (told | letters | EVERYWHERE), action.option_strings


@pytest.mark.parametrize(("program", "name"), COMMANDS)
def test_help_is_for_people(program: str, name: str) -> None:
    assert "Raises:" not in commands_of(program)[name].format_help()


@pytest.mark.parametrize(("program", "name"), COMMANDS)
def test_no_usage_has_a_flag_that_is_none(program: str, name: str) -> None:
    known = flags_of(commands_of(program)[name])
    page = text_of(PROGRAMS[program])
    usages = re.findall(rf"^\| `{name} ([^`]*)` \|", page, re.MULTILINE)
    usages += re.findall(rf"^(?:    |python -m ){program} {name} (.*(?:\n    \[.*)*)$", page, re.MULTILINE)
    for flag in FLAG.findall(" ".join(usages)):
        assert flag in known or all(f"-{letter}" in known for letter in flag[1:]), flag


@pytest.mark.parametrize("name", sorted({**SERVER, **FSYS}))
def test_every_command_of_the_console_is_told_once(name: str) -> None:
    usage = {**SERVER, **FSYS}[name].usage
    page = text_of("fossil-console").partition("## Commands to the server")[2]
    rows = [line for line in page.splitlines() if re.match(rf"\|[^|]*`{re.escape(name)}[ `]", line)]
    if "no meaning" in ({**SERVER, **FSYS}[name].run.__doc__ or ""):
        assert f"`{name}`" in page
        return
    (row,) = rows
    letters = {letter for flag in re.findall(r"(?<![\w-])-([A-Za-z]+)", row) for letter in flag}
    assert letters >= {*usage.flags, *usage.valued}
