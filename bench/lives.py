"""What programs held over time as an SVG file: a row for each figure, a line for each program. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from bench.watched import MEBIBYTE, Sample

WIDTH, HEIGHT, LEFT, GAP = 900, 120, 90, 34
COLOURS = ("#1b6ca8", "#c2571a", "#2e7d32", "#7b1fa2", "#5d4037")
ROWS = (
    ("memory, MiB", "memory", 1 / MEBIBYTE),
    ("descriptors", "descriptors", 1.0),
    ("threads", "threads", 1.0),
    ("files", "files", 1.0),
    ("on disk, MiB", "size", 1 / MEBIBYTE),
    ("bystander, ms", "latency", 1000.0),
)


def as_svg(lives: Mapping[str, Sequence[Sequence[Sample]]]) -> str:
    """``lives`` are the samples of each process that a program has had."""
    end = max((sample.time for runs in lives.values() for run in runs for sample in run), default=1.0) or 1.0
    out = []
    for row, (title, field, unit) in enumerate(ROWS):
        top = GAP + row * (HEIGHT + GAP)
        most = (
            max((getattr(s, field) * unit for runs in lives.values() for run in runs for s in run), default=1.0) or 1.0
        )
        out.append(f'<text x="4" y="{top + 12}">{title}</text><text x="4" y="{top + 28}">{most:,.0f}</text>')
        out.append(f'<path d="M{LEFT} {top}V{top + HEIGHT}H{LEFT + WIDTH}" fill="none" stroke="#999"/>')
        for colour, runs in zip(COLOURS, lives.values(), strict=False):
            for run in runs:
                points = " ".join(
                    f"{LEFT + s.time / end * WIDTH:.1f},{top + HEIGHT * (1 - getattr(s, field) * unit / most):.1f}"
                    for s in run
                )
                out.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
    for column, (colour, name) in enumerate(zip(COLOURS, lives, strict=False)):
        out.append(f'<text x="{LEFT + 100 * column}" y="16" fill="{colour}">{escape(name)}</text>')
    out.append(f'<text x="{LEFT + WIDTH - 90}" y="16">{end / 60:.1f} minutes</text>')
    height = GAP + len(ROWS) * (HEIGHT + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 10}" height="{height}" '
        f'font-family="sans-serif" font-size="12">{"".join(out)}</svg>\n'
    )
