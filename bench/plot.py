"""A drawing of results: one bar for each server and workload, as SVG."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

from bench.measure import Result

LEFT, BAR, WIDTH, ROW = 260, 480, 900, 15
OURS, PEER = "#2a6f97", "#bc6c25"


def as_svg(results: Sequence[Result], ours: Collection[str]) -> str:
    """Operations a second of all servers, workloads that only one server did left out.

    Bars of one workload are drawn against the fastest of them; the figures stand behind.
    """
    groups: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        groups.setdefault((result.workload, result.depth), []).append(result)
    shapes: list[str] = []
    at = 30
    for (workload, depth), group in groups.items():
        if len(group) < 2:
            continue
        best = max(result.rate for result in group)
        shapes.append(_text(LEFT - 8, at + 12, f"{workload}, {depth} in flight", "end"))
        for result in group:
            length = BAR * result.rate / best
            colour = OURS if result.server in ours else PEER
            shapes.append(f'<rect x="{LEFT}" y="{at}" width="{length:.1f}" height="{ROW - 3}" fill="{colour}"/>')
            ratios = [result.rate / other.rate for other in group if other is not result]
            label = f"{result.rate:,.0f}/s {result.server}"
            if result.server in ours:
                label += f", {min(ratios):.1f}x"
            shapes.append(_text(LEFT + length + 6, at + 11, label))
            at += ROW
        at += 8
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{at + 10}" font-family="sans-serif">'
    title = _text(LEFT, 18, "operations a second, longer is better")
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', title, *shapes, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y}" font-size="11" text-anchor="{anchor}">{escape(text)}</text>'
