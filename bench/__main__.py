"""``python -m bench [SUITE]...``: our servers and their peers on the same work in one run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio

from bench import backup, cfs, curves, export, fossil, growth, hostile, index, mount, ninep, servers, soak, venti
from bench.measure import Result
from bench.plan import Suite
from bench.plot import as_svg
from bench.report import as_json, as_table
from ninep.cli.program import framed
from ninep.cli.streams import print_result
from ninep.disk import check_writable, write_text
from ninep.wire import busypoll

SUITES: dict[str, Suite] = {
    "venti": venti.plan,
    "venti-index": index.plan,
    "9p": ninep.plan,
    "ninep": export.plan,
    "mount": mount.plan,
    "fossil": fossil.plan,
    "growth": growth.plan,
    "backup": backup.plan,
    "cfs": cfs.plan,
}
"""What there is to measure, by name; a new suite is a module with a ``plan`` and a line here."""

DEFAULT = ("venti", "9p")


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0 when everything asked for was measured, 1 when a server did not start or gave wrong data."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words and words[0] in ("soak", "hostile"):
        command = {"soak": soak.main, "hostile": hostile.main}[words[0]]
        return framed("bench", lambda: command(words[1:]))
    return framed("bench", lambda: run(words))


def run(words: Sequence[str]) -> int:
    """Measures what the command line says, and prints it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "suite",
        nargs="*",
        metavar="SUITE",
        help=f"{', '.join(SUITES)}, or all; default: {' and '.join(DEFAULT)}; or soak, or hostile, with own flags",
    )
    parser.add_argument("--scale", type=float, default=1.0, help="how much work: 1 is the full run, 0.1 a quick look")
    parser.add_argument("--json", action="store_true", help="print figures for programs")
    parser.add_argument("--save", metavar="FILE", help="write the figures for programs to a file as well")
    parser.add_argument("--plot", metavar="FILE", help="draw it as an SVG file: beside peers, or growing")
    parser.add_argument(
        "--keep", metavar="DIR", type=Path, help="venti-index: leave the store in DIR, and go on with what is there"
    )
    arguments = parser.parse_args(words)
    suites = arguments.suite or list(DEFAULT)
    suites = list(SUITES) if "all" in suites else suites
    if unknown := set(suites) - set(SUITES):
        parser.error(f"unknown suite {', '.join(sorted(unknown))}: choose from {', '.join(SUITES)}")
    if arguments.scale <= 0:
        parser.error("--scale must be above 0")
    for file in (arguments.save, arguments.plot):
        if file:
            check_writable(file)

    results: list[Result] = []
    ours: set[str] = set()
    failed = False
    try:
        plans = SUITES | {"venti-index": partial(index.plan, kept=arguments.keep)}
        for step in (step for name in suites for step in plans[name](arguments.scale)):
            print(f"measuring {step.name} ...", file=sys.stderr)
            if step.ours:
                ours.add(step.name)
            try:
                with step.server() as port:
                    results += trio.run(step.work, port, instruments=busypoll.instruments())
            except (servers.PeerFailed, AssertionError) as error:
                print(f"bench: {step.name}: {error}", file=sys.stderr)
                failed = True
    finally:
        # What was measured before an interruption is worth showing.
        if arguments.save:
            write_text(arguments.save, as_json(results) + "\n")
        if arguments.plot:
            drawing = curves.as_svg(results) if suites == ["growth"] else as_svg(results, ours)
            write_text(arguments.plot, drawing)
        print_result(as_json(results) if arguments.json else as_table(results, ours))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
