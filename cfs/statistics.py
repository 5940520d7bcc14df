"""The counters of the cache, and their text form. Source of the names: cfs(4)."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import Any, NamedTuple


class Statistics(NamedTuple):
    """What the store holds and has seen.

    Attributes:
        size: the bound, bytes.
        used: bytes held on disk, index included.
        stored: bytes entered since the start.
        evicted: extents that gave way to others.
        damaged: extents that failed their checksum.
        refused: bytes not cached, because the disk was full or too slow.
    """

    size: int
    used: int
    stored: int
    evicted: int
    damaged: int
    refused: int


FILE = "cfsctl"
"""The file in the root of every attach that has the figures."""

VALUES = (
    "hits",
    "misses",
    "ndirread",
    "ndelegateread",
    "ninsert",
    "ndelete",
    "nupdate",
    "bytesread",
    "byteswritten",
    "bytesfromserver",
    "bytesfromdirs",
    "bytesfromcache",
    "bytestocache",
    "bytessaved",
    "nlocalwalk",
    "nlocalopen",
    "nlocalstat",
    "nlocaldir",
    "nfetch",
    "nshared",
    "nahead",
    "nredial",
    "nrevived",
    "nstale",
)
"""Names of what is counted, in the order in which they are told; the original's where it has them.

``hits`` and ``misses`` are reads of plain files that were answered wholly from the cache, and not; ``bytesfromcache``
is what was there when it was asked for, be it that it had just been fetched ahead, and ``bytessaved`` what the link was
spared: what clients got, less what came over it. ``ndelete`` are extents that gave way, ``nupdate`` files found in a
new version.
``nlocal...`` are requests answered without asking, ``nshared`` reads that waited for a fetch of somebody else's,
``nahead`` files fetched before anybody asked; what they take is counted like requests of clients.
"""

MESSAGES = ("Tauth", "Tattach", "Twalk", "Topen", "Tcreate", "Tread", "Twrite", "Tclunk", "Tremove", "Tstat", "Twstat")


class Counts:
    """Counters since the start.

    Attributes:
        values: by the names in ``VALUES``.
        asked: requests of clients, by message.
        sent: requests to the file server, by message.
        seconds: how long its answers took, all together, by message.
    """

    def __init__(self) -> None:
        self.values: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.seconds: dict[str, float] = defaultdict(float)
        self._last: dict[str, Any] = {}

    def begin(self, kind: type) -> float:
        """A request to the file server leaves; the result is for ``end``."""
        self.sent[kind.__name__] += 1
        return time.perf_counter()

    def end(self, kind: type, begun: float) -> None:
        """Its answer has come."""
        self.seconds[kind.__name__] += time.perf_counter() - begun

    def sample(self, store: Statistics) -> str:
        """All counts as text, with what they grew by since the last sample.

        Lines of six fields are messages: requests of clients, growth, requests to the file server, growth, milliseconds
        per answer, name. Lines of three are values: value, growth, name.
        """
        lines = ["  client   +last   server   +last  ms/call  message"]
        now: dict[str, Any] = {}
        for name in MESSAGES:
            asked, sent = self.asked[name], self.sent[name]
            if not asked and not sent:
                continue
            now[f"{name} asked"], now[f"{name} sent"] = asked, sent
            mean = self.seconds[name] / sent * 1000 if sent else 0.0
            lines.append(
                f"{asked:8} {self._growth(now, f'{name} asked'):7} {sent:8} {self._growth(now, f'{name} sent'):7}"
                f" {mean:8.3f}  {name}"
            )
        values = {name: self.values[name] for name in VALUES}
        values["ndelete"], values["bytestocache"] = store.evicted, store.stored
        values["bytessaved"] = max(0, values["bytesread"] - values["bytesfromserver"])
        values["upstream_us"] = round(sum(self.seconds.values()) * 1e6)
        for name in ("size", "used", "damaged", "refused"):
            values[name] = getattr(store, name)
        for name, value in values.items():
            now[name] = value
            lines.append(f"{value:12} {self._growth(now, name):12}  {name}")
        self._last = now
        return "\n".join(lines) + "\n"

    def _growth(self, now: dict[str, Any], name: str) -> int:
        return int(now[name] - self._last.get(name, 0))


def parse(text: str) -> dict[str, Any]:
    """A sample as an object for programs.

    Raises:
        ValueError: that is no sample.
    """
    messages: dict[str, Any] = {}
    values: dict[str, Any] = {}
    head, *lines = text.splitlines() or [""]
    if not head.endswith("message"):
        raise ValueError("this is no statistics file of a cache")
    for line in lines:
        fields = line.split()
        if len(fields) == 6:
            messages[fields[5]] = {
                "client": int(fields[0]),
                "server": int(fields[2]),
                "ms_per_call": float(fields[4]),
            }
        else:
            values[fields[2]] = int(fields[0])
    return {"messages": messages, "values": values}
