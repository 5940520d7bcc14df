"""The house rules that a program can check: who imports whom, what pure modules stay away from, sizes and names."""

from __future__ import annotations

import ast
import fnmatch
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("ninep", "venti", "fossil", "cfs", "grid", "bench")

GROUND = {"ninep.disk", "ninep.tasks"}
"""The ground floor: rooms that import no other room, and that everybody may import."""
WIRE = {*GROUND, "trio", "ninep.net", "ninep.wire"}
PROTOCOL = {*WIRE, "ninep.protocol"}
SERVER = {*PROTOCOL, "ninep.server"}
CLIENT = {*PROTOCOL, "ninep.client", "ninep.server.files", "ninep.server.host_ids", "ninep.lazy"}
BLOCKS = {*WIRE, "venti.blocks", "venti.errors"}
STORES = {*BLOCKS, "venti.protocol", "venti.stores", "venti.workers"}
TREES = {*STORES, "venti.trees"}
LOG = {*STORES, "venti.log", "msgpack", "blake3", "lmdb", "lz4"}
DATA = {*GROUND, "trio", "ninep.wire", "ninep.protocol", "fossil.errors", "fossil.data", "blake3", "msgpack"}
LIVE = {*DATA, "fossil.metadata", "fossil.live"}
PAST = {*LIVE, "fossil.past"}
ARCHIVE = {*PAST, *TREES, "venti.vac", "fossil.archive"}
CACHE = {*PROTOCOL, "blake3", "cfs.errors", "cfs.statistics"}
ROOMS: dict[str, set[str]] = {
    "ninep.disk": set(),
    "ninep.tasks": {"trio"},
    "ninep.net": {*GROUND, "trio"},
    "ninep.wire": WIRE,
    "ninep.cli": WIRE,
    "ninep.protocol": {"ninep.net.errors", "ninep.wire"},
    "ninep.server": SERVER,
    "ninep.client": CLIENT,
    "ninep.copy": {*CLIENT, "rich"},
    "ninep.ram": SERVER,
    "ninep.synthetic": SERVER,
    "ninep.export": SERVER,
    "ninep.mount": {*CLIENT, "pyfuse3"},
    "ninep.fsspec": {*CLIENT, "ninep.copy", "ninep.blocking", "fsspec"},
    "ninep.commands": {"trio", "ninep", "rich"},
    "ninep": {"trio", "ninep"},
    "venti.blocks": {"ninep.net.errors", "ninep.wire.dialect", "venti.errors", "lz4"},
    "venti.protocol": {*BLOCKS},
    "venti.workers": {*BLOCKS, "blake3"},
    "venti.stores": {*STORES},
    "venti.trees": TREES,
    "venti.vac": {*TREES, "venti.vac"},
    "venti.plan9": {*BLOCKS},
    "venti.log": LOG,
    "venti.upkeep": {*LOG, "venti.upkeep"},
    "venti.cli": {*LOG, "ninep.cli", "venti", "rich"},
    "venti.commands": {*LOG, "ninep.cli", "venti", "rich"},
    "venti": {*LOG, "ninep.cli", "ninep.lazy", "venti"},
    "fossil.data": DATA,
    "fossil.metadata": {*DATA, "venti.trees"},
    "fossil.live": LIVE,
    "fossil.past": PAST,
    "fossil.archive": ARCHIVE,
    "fossil.files": {*ARCHIVE, "ninep.server"},
    "fossil.console": {*PROTOCOL, "fossil.errors"},
    "fossil.server": {*ARCHIVE, "ninep.server", "ninep.client", "venti.log", "fossil.files", "fossil.console"},
    "fossil.commands": {*ARCHIVE, "ninep.server", "fossil.files", "fossil.console", "fossil.server"},
    "fossil.cli": {"trio", "ninep", "venti", "fossil", "rich"},
    "fossil": {"trio", "ninep", "venti", "fossil", "rich"},
    "cfs.disk": {*GROUND, "trio", "ninep.wire", "blake3", "cfs.errors", "cfs.statistics"},
    "cfs.known": {*CACHE, "cfs.disk"},
    "cfs.upstream": {*CACHE, "ninep.client", "ninep.server", "cfs.known"},
    "cfs.files": {*CACHE, "ninep.client", "ninep.server", "cfs.disk", "cfs.known", "cfs.upstream"},
    "cfs.cli": {"trio", "ninep", "cfs", "rich"},
    "cfs": {"trio", "ninep", "cfs", "rich"},
    "grid": {"ninep", "venti", "fossil", "cfs", "shtab"},
    "bench": {"trio", "aio9p", "pyroute2", "ninep", "venti", "fossil", "cfs", "rich"},
}
"""What each folder may import beside itself and the standard library; a name stands for what is below it, too."""
MOST_MODULES = 20
"""Modules of one folder: where there are more, there are two nouns in it."""
CROWDED = {"bench": 30}
"""Folders that are no rooms of a library, with what they may have."""

REMOTE_FILES = [
    f"ninep.client.{name}" for name in ("connection", "remote", "remote_linux", "remote_methods", "remote_unix")
]
"""A connection makes the files of its dialect, and its files ask it."""
CIRCLES = {"ninep": [REMOTE_FILES], "venti": [], "fossil": [], "cfs": [], "grid": [], "bench": []}
"""The modules of each package that import each other: these, and no others."""

PURE = (
    "ninep.net.address",
    "ninep.wire.dialect",
    "ninep.net.errors",
    "ninep.wire.frames",
    "fossil.live.accesses",
    "fossil.console.messagetext",
    "fossil.metadata.pending",
    "fossil.past.qidspace",
    "fossil.metadata.redo",
    "fossil.metadata.walheader",
    "fossil.files.rules",
    "fossil.live.ids",
    "fossil.past.shelf",
    "fossil.live.users",
    "fossil.archive.vacmode",
    "cfs.disk.filetable",
    "cfs.known.frozen",
    "cfs.known.note",
    "cfs.disk.recent",
    "cfs.disk.row",
    "cfs.disk.stored",
    "cfs.disk.waiting",
    "ninep.protocol.attributes",
    "ninep.protocol.codec",
    "ninep.protocol.dialect",
    "ninep.server.directory",
    "ninep.protocol.emulation",
    "ninep.export.filenumber",
    "ninep.server.files",
    "ninep.protocol.ids",
    "ninep.protocol.linux_errno",
    "ninep.protocol.locks",
    "ninep.wire.maybe",
    "ninep.protocol.permissions",
    "ninep.ram.node",
    "ninep.protocol.stat",
    "ninep.synthetic.entry",
    "venti.blocks.blocksize",
    "venti.blocks.compression",
    "venti.protocol.dialect",
    "venti.log.clump",
    "venti.log.lately",
    "venti.log.seen",
    "venti.trees.entry",
    "venti.trees.geometry",
    "venti.trees.links",
    "venti.workers.prepared",
    "venti.plan9.layout",
    "venti.plan9.whack",
    "venti.trees.root",
    "venti.trees.truncate",
    "venti.vac.direntry",
    "venti.vac.label",
    "venti.vac.metablock",
    "venti.vac.mode",
    "venti.vac.patterns",
    "*.blocktype",
    "*.errors",
    "*.extents",
    "*.format",
    "*.layout",
    "*.messages",
    "*.qid",
    "*.score",
)
"""Patterns of the modules that only compute: bytes in, values out."""

OUTSIDE_WORLD = {
    *("asyncio", "trio", "threading", "multiprocessing", "concurrent", "subprocess", "signal"),
    *("os", "io", "shutil", "tempfile", "glob", "mmap", "fcntl", "sqlite3", "lmdb"),
    *("socket", "select", "selectors", "ssl", "time", "random", "secrets"),
}
OUTSIDE_CALLS = {"open", "now", "utcnow", "today", "read_bytes", "read_text", "write_bytes", "write_text"}

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "base", "core", "stuff", "lib"}
MOST_LINES = 500
EDGE = ("*.__main__", "*.commands.*", "ninep.net.identity", "*.cli.*", "grid.*", "bench.*")
"""The only modules that may look at the environment or the command line."""
SQL = re.compile(
    r"\b(SELECT\b.+\bFROM|INSERT\b.*\bINTO|DELETE FROM|UPDATE \w+ SET|CREATE (TABLE|INDEX)|DROP TABLE|PRAGMA|WHERE \w+"
    r"|ORDER BY|BEGIN IMMEDIATE|COMMIT|ROLLBACK)\b"
)
SQL_ROOMS = ("fossil.metadata", "fossil.past", "fossil.archive", "cfs.disk", "cfs.known.notebook")
"""The only rooms that speak SQL. Each table of fossil belongs to one of them: see the map in ``docs/design.md``."""
PUBLIC_ALL_THE_SAME = ("_replace", "_asdict", "_fields", "_make")
"""Methods of named tuples."""
ENVIRONMENT = ("os.environ", "os.getenv", "sys.argv", "Path.home", "os.getlogin")
BARE_MARK = re.compile(r"# (type: ignore(\[[^]]*\])?|noqa(: [A-Z0-9]+)?|pragma: [a-z ]+)\s*$")


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(tree: ast.Module, module: str, *, package: bool = False) -> Iterator[str]:
    """Every imported module by its full name, wherever in the file the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                above = module.split(".")
                above = above[: len(above) - node.level + package]
                origin = ".".join([*above, *([origin] if origin else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def package_of(module: str) -> str:
    """The key of ``ROOMS`` that a module falls under."""
    return max((name for name in ROOMS if is_below(module, name)), key=len)


def is_below(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")


def forbidden(module: str, imported: str) -> bool:
    top = imported.split(".")[0]
    if top in sys.stdlib_module_names:
        return False
    package = package_of(module)
    return not any(is_below(imported, name) for name in (package, *ROOMS[package]))


def is_pure(module: str) -> bool:
    return any(fnmatch.fnmatchcase(module, pattern) for pattern in PURE) and ".commands." not in module


def reaches_outside(tree: ast.Module) -> list[str]:
    """What a pure module must not do, as it does it."""
    found = [name for name in imports(tree, "") if name.split(".")[0] in OUTSIDE_WORLD]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = (
                called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            )
            if name in OUTSIDE_CALLS:
                found.append(f"{name}() in line {node.lineno}")
    return found


MODULES = [pytest.param(path, id=name_of(path)) for path in sources()]


@pytest.mark.parametrize("path", MODULES)
def test_imports_go_one_way(path: Path) -> None:
    module = name_of(path)
    wrong = [
        name for name in imports(tree_of(path), module, package=path.name == "__init__.py") if forbidden(module, name)
    ]
    assert not wrong, f"{module} may not import {wrong}"


@pytest.mark.parametrize("folder", sorted({path.parent for path in sources()}), ids=lambda path: path.name)
def test_a_folder_is_one_noun(folder: Path) -> None:
    name = name_of(folder / "__init__.py")
    modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= CROWDED.get(name, MOST_MODULES), "there are two nouns in it, split them"
    assert ast.get_docstring(tree_of(folder / "__init__.py")), "say what it is, and what it may import"
    assert name in ROOMS, "say in ROOMS what it may import"


@pytest.mark.parametrize("path", [case for case in MODULES if is_pure(str(case.id))])
def test_pure_modules_touch_nothing(path: Path) -> None:
    assert not reaches_outside(tree_of(path))


@pytest.mark.parametrize("path", MODULES)
def test_size_and_name(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MOST_LINES, f"{lines} lines: there are two nouns in it, split them"
    assert not VAGUE & set(path.relative_to(ROOT).with_suffix("").parts), "name it after the one thing it is about"


def test_test_modules_are_small_and_named_well_too() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        assert path.stem.removeprefix("test_") not in VAGUE, path
        assert len(path.read_text().splitlines()) <= 2 * MOST_LINES, path


@pytest.mark.parametrize("path", [case for case in MODULES if str(case.id) != "ninep.tasks.nursery"])
def test_exceptions_come_in_no_groups(path: Path) -> None:
    """Users of a library write ``except FileNotFound``; a group from some task behind it would pass them by."""
    if name_of(path).startswith("bench"):
        return
    for node in ast.walk(tree_of(path)):
        assert not (isinstance(node, ast.Attribute) and node.attr == "open_nursery"), (
            f"line {node.lineno}: take the nursery of ninep.tasks, which raises one exception as it is"
        )


@pytest.mark.parametrize(
    "path", [case for case in MODULES if not any(fnmatch.fnmatchcase(str(case.id), pattern) for pattern in EDGE)]
)
def test_only_the_edge_looks_at_the_environment(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            looked_at = f"{node.value.id}.{node.attr}"
            assert looked_at not in ENVIRONMENT, f"line {node.lineno}: {looked_at}"
    assert not [name for name in imports(tree_of(path), "") if name.split(".")[0] == "getpass"]


def sql_in(tree: ast.Module) -> list[str]:
    """The strings of a module that are SQL, but for docstrings."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        f"line {node.lineno}: {node.value}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if id(node) not in told and SQL.search(node.value)
    ]


@pytest.mark.parametrize(
    "path", [case for case in MODULES if not any(is_below(str(case.id), room) for room in SQL_ROOMS)]
)
def test_sql_stays_where_the_tables_are(path: Path) -> None:
    assert not sql_in(tree_of(path)), f"ask {SQL_ROOMS[0]} by a function with a name"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = 'SELECT 1 FROM node'", True),
        ("x = f'WHERE path=? AND {y}'", True),
        ("x = f'DELETE FROM {y}'", True),
        ("'SELECT 1 FROM node'", False),
        ("x = 'select a file from the list, where you like'", False),
    ],
)
def test_the_rule_of_sql_itself(source: str, found: bool) -> None:
    assert bool(sql_in(ast.parse(source))) is found


def strange_privates(tree: ast.Module) -> list[str]:
    """Private attributes of other objects that no class of the module has."""
    own: set[str] = set()
    asked: list[ast.Attribute] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            own.add(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            own.add(node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own.add(node.target.id)
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                own.add(node.attr)
            elif ast.unparse(node) != "os._exit" and node.attr not in PUBLIC_ALL_THE_SAME:
                asked.append(node)
    return [f"line {node.lineno}: {ast.unparse(node)}" for node in asked if node.attr not in own]


@pytest.mark.parametrize("path", MODULES)
def test_what_is_private_is_its_modules_own(path: Path) -> None:
    # What a parser takes, argparse tells only by these names; shtab and sphinx ask for it by them, too.
    known = {"parser._actions", "argparse._SubParsersAction", "action._choices_actions"}
    allowed = known if name_of(path) == "grid.pages" else set()
    assert not [found for found in strange_privates(tree_of(path)) if found.partition(": ")[2] not in allowed]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("class A:\n  def f(self, other):\n    return self._x == other._x", False),
        ("class A:\n  __slots__ = ('_x',)\ndef f(a):\n  return a._x", False),
        ("def f(a):\n  return a._replace(x=1)", False),
        ("def f(a):\n  return a._x", True),
        ("class A:\n  def f(self):\n    return self.other._x", True),
    ],
)
def test_the_rule_of_privates_itself(source: str, found: bool) -> None:
    assert bool(strange_privates(ast.parse(source))) is found


@pytest.mark.parametrize("package", PACKAGES)
def test_a_class_name_stands_for_one_thing(package: str) -> None:
    """Names that begin with an underscore are their module's own."""
    where: dict[str, list[str]] = {}
    for path in sources():
        if is_below(name_of(path), package):
            for node in tree_of(path).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    where.setdefault(node.name, []).append(name_of(path))
    assert not {name: modules for name, modules in where.items() if len(modules) > 1}


@pytest.mark.parametrize("path", MODULES)
def test_what_the_tools_are_told_to_overlook_has_its_reason(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        assert not BARE_MARK.search(line), f"line {number}: say why behind it"


def circles(imported: Mapping[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or by way of others."""
    reached: dict[str, set[str]] = {}
    for module in imported:
        found: set[str] = set()
        waiting = [module]
        while waiting:
            new = imported[waiting.pop()] - found
            found |= new
            waiting += new
        reached[module] = found
    groups = {
        tuple(sorted({module, *(other for other in reached[module] if module in reached[other])}))
        for module in imported
        if module in reached[module]
    }
    return [list(group) for group in sorted(groups)]


@pytest.mark.parametrize("package", CIRCLES)
def test_no_modules_import_each_other(package: str) -> None:
    """Not for types either: whoever needs a name of a module depends on it."""
    modules = {name_of(path): path for path in sources() if is_below(name_of(path), package)}
    imported: dict[str, set[str]] = {module: set() for module in modules}
    for module, path in modules.items():
        for name in imports(tree_of(path), module, package=path.name == "__init__.py"):
            whole = name if name in modules else name.rpartition(".")[0]
            if whole in modules and whole != module:
                imported[module].add(whole)
    assert circles(imported) == CIRCLES[package]


def test_every_pattern_of_a_pure_module_is_in_use() -> None:
    modules = [str(case.id) for case in MODULES]
    for pattern in PURE:
        if "*" not in pattern:
            assert pattern in modules, f"there is no {pattern} any more"


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("ninep.wire.x", "import trio", False),
        ("ninep.wire.x", "from ninep.wire.y import z", False),
        ("ninep.wire.x", "from . import y", False),
        ("ninep.wire.x", "from ninep.protocol.stat import Stat", True),
        ("ninep.wire.x", "from .. import stat", True),
        ("ninep.wire.x", "from ninep import stat", True),
        ("ninep.disk.x", "from ninep.disk.y import z", False),
        ("ninep.disk.x", "from ninep.wire.dialect import Buffer", True),
        ("ninep.wire.x", "import msgpack", True),
        ("ninep.x", "from ninep.wire.y import z", False),
        ("ninep.tasks.x", "from ninep.wire.y import z", True),
        ("ninep.wire.x", "from ninep.tasks.y import z", False),
        ("venti.x", "from ninep.tasks.y import z", False),
        ("ninep.x", "import venti", True),
        ("venti.x", "from ninep.wire import Client", False),
        ("venti.x", "from ninep import wire", False),
        ("venti.x", "from ninep.protocol.stat import Stat", True),
        ("venti.x", "def f():\n  import fossil.x", True),
        ("cfs.x", "from ninep.client.tree import connect", False),
        ("cfs.x", "from venti import score", True),
        ("fossil.x", "from cfs import extents", True),
        ("fossil.x", "import sqlite3, venti.trees.tree", False),
        ("fossil.x", "import requests", True),
    ],
)
def test_the_import_rule_itself(module: str, source: str, wrong: bool) -> None:
    assert any(forbidden(module, name) for name in imports(ast.parse(source), module)) is wrong


@pytest.mark.parametrize(
    ("imported", "found"),
    [
        ({"a": {"b"}, "b": set()}, []),
        ({"a": {"b"}, "b": {"a"}}, [["a", "b"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}, [["b", "c"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}}, [["a", "b", "c"]]),
    ],
)
def test_the_rule_of_circles_itself(imported: dict[str, set[str]], found: list[list[str]]) -> None:
    assert circles(imported) == found


@pytest.mark.parametrize(
    "source",
    ["import trio", "from os import path", "open('x')", "datetime.now()", "p.read_bytes()", "import time as t"],
)
def test_the_rule_of_pure_modules_itself(source: str) -> None:
    assert reaches_outside(ast.parse(source))
