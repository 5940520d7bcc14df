"""Reads an archive through, and reports each block that is missing or damaged."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from ninep.cli.codes import DAMAGED, DONE
from venti.blocks.score import Score
from venti.cli.connection import archive
from venti.cli.gauge import Gauge
from venti.stores.interface import BlockStore
from venti.vac.check import ArchiveFault, Checker
from venti.vac.named import named


async def look(arguments: argparse.Namespace) -> int:
    """Checks the archive that the command line names; returns the exit code."""
    score = named(arguments.score)
    async with archive(arguments) as store:
        return await check(store, score, arguments)


async def check(
    store: BlockStore, score: Score, arguments: argparse.Namespace, more: Callable[[], dict[str, int]] = dict
) -> int:
    """Checks an archive and reports on standard output; returns the exit code. ``more`` is counts to report as well."""
    problems: Counter[str] = Counter()
    faults: list[dict[str, Any]] = []
    with Gauge("checked") as gauge:

        def report(fault: ArchiveFault) -> None:
            problems[fault.problem] += 1
            if arguments.json:
                faults.append(_object(fault))
            else:
                gauge.clear()
                print(printable(str(fault)), flush=True)

        checker = Checker(store, report, previous=arguments.previous, progress=gauge.add)
        await checker.run(score)
    if arguments.json:
        counts = {name: getattr(checker, name) for name in ("files", "directories", "blocks")}
        print(json.dumps({**counts, "bytes": checker.size, **more(), "faults": faults}))
    else:
        found = ", ".join(f"{count} {problem}" for problem, count in sorted(problems.items())) or "nothing wrong"
        done = (
            f"{checker.files} files, {checker.directories} directories, {checker.blocks} blocks, {checker.size} bytes"
        )
        print(f"{done}: {', '.join([found, *(f'{count} {name}' for name, count in more().items())])}")
    return DAMAGED if checker.faults else DONE


def _object(fault: ArchiveFault) -> dict[str, Any]:
    return {
        "path": fault.path,
        "score": None if fault.score is None else str(fault.score),
        "type": None if fault.type is None else int(fault.type),
        "problem": fault.problem,
        "detail": fault.detail,
    }


def printable(name: str) -> str:
    """The text with what a terminal would act on, and bytes that are no text, written as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode()
        for character in name
    )
