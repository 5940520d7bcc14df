"""What a suite is made of: servers, and the work each of them is to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeAlias

from bench.measure import Result
from bench.servers import Server


class Step(NamedTuple):
    """One server and its work.

    Attributes:
        name: of the server, as the results name it.
        server: starts it and ends it.
        work: gets its port and returns what was measured.
        ours: whether it is one of this project's; results of ours are compared with those that are not.
    """

    name: str
    server: Server
    work: Callable[[int], Awaitable[list[Result]]]
    ours: bool = True


Suite: TypeAlias = Callable[[float], Sequence[Step]]
"""Gives the steps for a scale: 1 is the full run. Peers that this machine does not have are left out."""
