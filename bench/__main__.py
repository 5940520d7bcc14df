"""``python -m bench [venti|9p|fossil]...``: our servers and their peers on the same work in one run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence

import trio

from bench import fossil, ninep, servers, venti
from bench.measure import Result
from bench.report import as_json, as_table

SUITES = {"venti", "9p", "fossil"}
OURS = ("venti", "fossil", "ramfs")


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0 when everything asked for was measured, 1 when a server did not start or gave wrong data."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("suite", nargs="*", metavar="SUITE", help="venti, 9p or fossil; default: venti and 9p")
    parser.add_argument("--scale", type=float, default=1.0, help="how much work: 1 is the full run, 0.1 a quick look")
    parser.add_argument("--json", action="store_true", help="print figures for programs")
    arguments = parser.parse_args(argv)
    suites = arguments.suite or ["venti", "9p"]
    if unknown := set(suites) - SUITES:
        parser.error(f"unknown suite {', '.join(sorted(unknown))}: choose from {', '.join(sorted(SUITES))}")
    if arguments.scale <= 0:
        parser.error("--scale must be above 0")

    results: list[Result] = []
    failed = False
    for name, server, work in _planned(suites, arguments.scale):
        print(f"measuring {name} ...", file=sys.stderr)
        try:
            with server() as port:
                results += trio.run(work, port)
        except (servers.PeerFailed, AssertionError) as error:
            print(f"bench: {name}: {error}", file=sys.stderr)
            failed = True
    print(as_json(results) if arguments.json else as_table(results, OURS))
    return int(failed)


def _planned(
    suites: Sequence[str], scale: float
) -> list[tuple[str, servers.Server, Callable[[int], Awaitable[list[Result]]]]]:
    plan: list[tuple[str, servers.Server, Callable[[int], Awaitable[list[Result]]]]] = []

    def blocks(name: str, server: servers.Server) -> None:
        plan.append((name, server, lambda port: venti.run(port, name, scale)))

    def files(name: str, server: servers.Server, aname: str) -> None:
        plan.append((name, server, lambda port: ninep.run(port, name, aname, scale)))

    if "venti" in suites:
        blocks("venti", servers.our_venti)
        if servers.plan9("venti/venti"):
            blocks("C venti", servers.c_venti)
    if "9p" in suites:
        files("fossil", servers.our_fossil, "main/active")
        files("ramfs", servers.our_ramfs, "")
        if servers.plan9("fossil/fossil"):
            files("C fossil", servers.c_fossil, "main/active")
    if "fossil" in suites:
        plan.append(("fossil", servers.our_fossil, lambda port: fossil.run(port, "fossil", "main/active", scale)))
        if servers.plan9("fossil/fossil"):
            plan.append(("C fossil", servers.c_fossil, lambda port: fossil.run(port, "C fossil", "main/active", scale)))
    return plan


if __name__ == "__main__":
    sys.exit(main())
