"""A drawing of how costs grow: one line for each workload, time against size, both logarithmic, as SVG."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape

from bench.measure import Result

LEFT, TOP, WIDTH, HEIGHT = 70, 40, 420, 320
COLOURS = ("#2a6f97", "#bc6c25", "#588157", "#9d4edd", "#c1121f")
_SIZE = re.compile(r"([\d,]+) (\w+): (.+)")


def as_svg(results: Sequence[Result]) -> str:
    """Results whose workloads are called ``1,000 files: what``; each point is the time of one operation.

    That is the median where operations were done one after the other, and the mean where many were in flight.
    """
    lines: dict[str, list[tuple[int, float]]] = {}
    memory: dict[int, int] = {}
    what = "files"
    for result in results:
        if found := _SIZE.fullmatch(result.workload):
            size, what = int(found[1].replace(",", "")), found[2]
            lines.setdefault(found[3], []).append((size, result.p50 if result.depth == 1 else 1 / result.rate))
            memory[size] = max(memory.get(size, 0), result.memory)
    if not lines:
        return '<svg xmlns="http://www.w3.org/2000/svg"/>\n'
    low, high = (f([math.log10(seconds) for points in lines.values() for _, seconds in points]) for f in (min, max))
    low, high = math.floor(low), math.ceil(high)
    first, last = math.log10(min(memory)), max(math.log10(max(memory)), math.log10(min(memory)) + 1)

    def place(size: int, seconds: float) -> tuple[float, float]:
        across = (math.log10(size) - first) / (last - first)
        return LEFT + WIDTH * across, TOP + HEIGHT * (high - math.log10(seconds)) / max(1, high - low)

    shapes = [f'<text x="{LEFT}" y="20" font-size="12">time of one operation against the number of {what}</text>']
    for power in range(low, high + 1):
        y = place(min(memory), 10.0**power)[1]
        shapes.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + WIDTH}" y2="{y:.1f}" stroke="#ddd"/>')
        shapes.append(_text(LEFT - 6, y + 4, _time(10.0**power), "end"))
    for size, held in sorted(memory.items()):
        x = place(size, 10.0**low)[0]
        shapes.append(_text(x, TOP + HEIGHT + 18, f"{size:,}", "middle"))
        shapes.append(_text(x, TOP + HEIGHT + 34, f"{held / 2**20:,.0f} MiB", "middle"))
    for colour, (name, points) in zip(COLOURS, lines.items(), strict=False):
        places = [place(*point) for point in points]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        shapes.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        shapes += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        shapes.append(_text(places[-1][0] + 8, places[-1][1] + 4, f"{name}, {_time(points[-1][1])}"))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 230}" height="{TOP + HEIGHT + 50}" '
        'font-family="sans-serif"><rect width="100%" height="100%" fill="white"/>'
    )
    return "\n".join([head, *shapes, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="11" text-anchor="{anchor}">{escape(text)}</text>'


def _time(seconds: float) -> str:
    for unit, name in ((1, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= unit * 0.9999:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1e9:.3g} ns"
