"""The public names of each package: listed once, found when asked for, documented, known to type checkers."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from programs.processes import environment

ROOT = Path(__file__).parent.parent
PACKAGES = ("ninep", "venti", "fossil", "cfs")
HEAVY = {"trio", "lmdb", "sqlite3", "msgpack", "blake3", "rich"}
PROGRAM = """
from typing_extensions import assert_type
from ninep import Progress, Qid, RemoteTree, Stat, SyntheticTree, connect
from venti import BlockStore, BlockType, MemoryStore, Score

tree = SyntheticTree("glenda")

@tree.file("hello")
def hello() -> str:
    return "hello"

async def copy(store: BlockStore) -> Score:
    async with connect("tcp!localhost!564") as remote:
        assert_type(remote, RemoteTree)
        entry = await remote.stat("lib")
        assert_type(entry, Stat)
        assert_type(entry.qid, Qid)
        return await store.write(BlockType.DATA, await remote.read_bytes("lib/profile"))

store: BlockStore = MemoryStore()
"""


def written(package: str) -> ast.Module:
    return ast.parse((ROOT / package / "__init__.py").read_text())


def imported(package: str) -> dict[str, str]:
    """Names by what type checkers are told, with their modules."""
    return {
        alias.asname or alias.name: node.module or ""
        for block in written(package).body
        if isinstance(block, ast.If)
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_programs_and_type_checkers_find_the_same_names(package: str) -> None:
    module = importlib.import_module(package)
    told = imported(package)
    assert sorted(told) == sorted(module.__all__)
    assert set(module.__all__) <= set(dir(module))
    for name, origin in told.items():
        assert getattr(module, name) is getattr(importlib.import_module(origin), name), name


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_hides_a_module(package: str) -> None:
    modules = {path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not modules & set(importlib.import_module(package).__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_each_public_name_is_in_the_reference(package: str) -> None:
    page = (ROOT / "docs" / "api" / f"{package}.md").read_text()
    missing = [name for name in importlib.import_module(package).__all__ if f":: {name}\n" not in page]
    assert not missing


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_defined_has_a_docstring(package: str) -> None:
    module = importlib.import_module(package)
    defined = [getattr(module, name) for name in module.__all__]
    assert not [thing for thing in defined if isinstance(thing, type) and not (thing.__doc__ or "").strip()]


def test_other_names_are_not_there() -> None:
    import ninep

    with pytest.raises(AttributeError, match="nonsense"):
        ninep.nonsense  # noqa: B018
    with pytest.raises(ImportError):
        exec("from venti import nonsense")


@pytest.mark.process
def test_importing_a_package_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {', '.join(PACKAGES)}; print(*sys.modules)"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.process
def test_a_users_program_is_checked_strictly(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "mistaken.py").write_text("from ninep import nonsense\nfrom cfs import opened\nopened(1)\n")

    def check(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "mypy",
                "--strict",
                "--follow-imports",
                "silent",
                "--cache-dir",
                str(tmp_path / "cache"),
                name,
            ],
            cwd=tmp_path,
            # An editable installation is nothing that mypy can follow.
            env=environment() | {"MYPYPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    good = check("program.py")
    assert good.returncode == 0, good.stdout
    bad = check("mistaken.py")
    assert "nonsense" in bad.stdout
    assert "opened" in bad.stdout
