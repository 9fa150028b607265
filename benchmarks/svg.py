"""Line charts as SVG text: enough for the plots of these benchmarks, and nothing to install."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 680, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 190, 40, 52
_COLOURS = ("#1f6feb", "#d9480f", "#2b8a3e", "#9c36b5", "#0b7285", "#5f3dc4")


@dataclass(frozen=True, slots=True)
class Line:
    """A named line through points (x, y), in the order they are drawn; `is_theory` draws it dashed."""

    name: str
    points: Sequence[tuple[float, float]]
    is_theory: bool = False


def chart(
    title: str,
    x_label: str,
    y_label: str,
    lines: Sequence[Line],
    *,
    log_x: bool = True,
    log_y: bool = False,
) -> str:
    """An SVG document with all lines over common axes; linear axes begin at zero."""
    across = _Axis([x for line in lines for x, _ in line.points], log_x, _LEFT, _WIDTH - _RIGHT)
    up = _Axis([y for line in lines for _, y in line.points], log_y, _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#333">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, x_label, "middle"),
        f'<text transform="translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_label)}</text>',
    ]
    for value in across.ticks():
        x = across.at(value)
        parts.append(_rule(x, _TOP, x, _HEIGHT - _BOTTOM))
        parts.append(_text(x, _HEIGHT - _BOTTOM + 16, short(value), "middle"))
    for value in up.ticks():
        y = up.at(value)
        parts.append(_rule(_LEFT, y, _WIDTH - _RIGHT, y))
        parts.append(_text(_LEFT - 6, y + 4, short(value), "end"))
    colours: dict[str, str] = {}
    for number, line in enumerate(lines):
        # A theory has the colour of what it is about: the line named before its ':'.
        about = line.name.partition(":")[0]
        colour = colours.setdefault(about, _COLOURS[len(colours) % len(_COLOURS)])
        places = [(across.at(x), up.at(y)) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dashes = ' stroke-dasharray="5 4" opacity="0.7"' if line.is_theory else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        if not line.is_theory:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        y = _TOP + 12 + 20 * number
        x = _WIDTH - _RIGHT + 10
        parts.append(
            f'<line x1="{x}" y1="{y}" x2="{x + 22}" y2="{y}" stroke="{colour}" stroke-width="2"{dashes}/>'
        )
        parts.append(_text(x + 28, y + 4, line.name, "start"))
    return "\n".join([*parts, "</svg>", ""])


def short(value: float) -> str:
    """A number as a label: 1500000 -> 1.5M.

    >>> short(1_500_000), short(250), short(0.5), short(0)
    ('1.5M', '250', '0.5', '0')
    """
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


class _Axis:
    """Values to places between two ends of the drawing, in pixels."""

    def __init__(self, values: Sequence[float], is_log: bool, begin: float, end: float) -> None:
        self._is_log = is_log
        self._begin, self._end = begin, end
        low, high = min(values), max(values)
        if is_log:
            self._low, self._high = math.log10(low), math.log10(high)
        else:
            self._low, self._high = 0.0, high * 1.08
        if self._high <= self._low:
            self._high = self._low + 1

    def at(self, value: float) -> float:
        scaled = math.log10(value) if self._is_log else value
        return self._begin + (scaled - self._low) / (self._high - self._low) * (self._end - self._begin)

    def ticks(self) -> list[float]:
        if self._is_log:
            steps = (1.0,) if self._high - self._low > 2 else (1.0, 2.0, 5.0)
            powers = range(math.floor(self._low), math.ceil(self._high) + 1)
            found = [step * 10.0**power for power in powers for step in steps]
            return [v for v in found if self._low - 1e-9 <= math.log10(v) <= self._high + 1e-9]
        raw = self._high / 5
        size = 10 ** math.floor(math.log10(raw))
        step = next(s * size for s in (1, 2, 5, 10) if s * size >= raw)
        return [step * i for i in range(int(self._high / step) + 1)]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e3e3e3"/>'
