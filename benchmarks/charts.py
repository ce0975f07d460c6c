"""Charts as SVG, written by hand: bars with their spread, and lines over logarithmic axes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_GREY, _INK, _RULE = "#9aa0a6", "#202124", "#dadce0"


@dataclass(frozen=True)
class Bar:
    """One figure with its spread."""

    label: str
    """What it is of."""
    median: float
    low: float
    high: float
    note: str = ""
    """A few words behind the figure."""
    ours: bool = False
    """In colour; others are grey."""


@dataclass(frozen=True)
class Curves:
    """How one thing grows with another."""

    title: str
    """What grows along x."""
    lines: Mapping[str, Sequence[tuple[float, float]]]
    """Points of each line, by its name."""


def bars(title: str, panels: Mapping[str, Sequence[Bar]], foot: str = "") -> str:
    """Panels of horizontal bars below each other, each with a scale of its own."""
    left, width, room, step = 190, 400, 210, 26
    body = [_text(12, 26, title, size=16, weight="bold")]
    y = 44
    for name, panel in panels.items():
        y += 22
        body.append(_text(12, y, name, weight="bold"))
        y += 10
        scale = width / max((bar.high for bar in panel), default=1)
        for bar in panel:
            middle, end = y + step / 2, left + bar.median * scale
            body += [
                _text(left - 8, middle + 4, bar.label, anchor="end"),
                f'<rect x="{left}" y="{y + 4}" width="{bar.median * scale:.1f}" height="{step - 8}"'
                f' fill="{_COLOURS[0] if bar.ours else _GREY}"/>',
                _line(left + bar.low * scale, middle, left + bar.high * scale, middle, _INK),
                _text(max(end, left + bar.high * scale) + 8, middle + 4, f"{bar.median:,.0f} {bar.note}"),
            ]
            y += step
    body.append(_text(12, y + 22, foot, size=11))
    return _svg(left + width + room, y + 36, body)


def lines(title: str, y_title: str, panels: Sequence[Curves], foot: str = "", columns: int = 3) -> str:
    """Panels of lines beside each other, all with one scale along y."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    values = [y for panel in panels for line in panel.lines.values() for _, y in line]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))
    width, height, gap, top = 240, 190, 66, 78
    body = [_text(12, 26, title, size=16, weight="bold"), _text(12, 50, f"{y_title}:")]
    for number, name in enumerate(names):
        x = 190 + 100 * number
        body += [_line(x, 46, x + 24, 46, _COLOURS[number % 4], 2), _text(x + 30, 50, name)]
    for number, panel in enumerate(panels):
        left, upper = gap + (number % columns) * (width + gap), top + (number // columns) * (height + gap)
        body += _panel(panel, names, (left, upper, width, height), (low, high))
    rows = -(-len(panels) // columns)
    bottom = top + rows * (height + gap)
    body.append(_text(12, bottom - 4, foot, size=11))
    return _svg(gap + min(columns, len(panels)) * (width + gap), bottom + 10, body)


def _panel(
    panel: Curves, names: Sequence[str], box: tuple[int, int, int, int], scale: tuple[float, float]
) -> list[str]:
    left, top, width, height = box
    xs = sorted({x for line in panel.lines.values() for x, _ in line})
    across = math.log(xs[-1] / xs[0]) or 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        share = math.log(y / scale[0]) / math.log(scale[1] / scale[0])
        return left + width * math.log(x / xs[0]) / across, top + height * (1 - share)

    body = []
    for power in range(round(math.log10(scale[0])), round(math.log10(scale[1])) + 1):
        _, y = at(xs[0], 10.0**power)
        body += [_line(left, y, left + width, y, _RULE), _text(left - 6, y + 4, _short(10.0**power), "end", 11)]
    for x in xs:
        place, _ = at(x, scale[0])
        body += [
            _line(place, top + height, place, top + height + 4, _INK),
            _text(place, top + height + 17, _short(x), "middle", 11),
        ]
    body.append(_text(left + width / 2, top + height + 36, panel.title, "middle"))
    for name, line in panel.lines.items():
        colour, points = _COLOURS[names.index(name) % 4], [at(x, y) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
    return body


def _short(value: float) -> str:
    """A number for an axis: 500, 10k, 1M."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


def _text(x: float, y: float, words: str, anchor: str = "start", size: int = 13, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}"'
        f' fill="{_INK}">{escape(words)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width:g}"/>'


def _svg(width: float, height: float, body: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif">'
    )
    # A ground of its own: pages may be dark.
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *body, "</svg>"]) + "\n"
