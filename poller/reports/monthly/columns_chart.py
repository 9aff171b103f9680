"""Draws one column a month as SVG, with its number above: the users of all customers together. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

from poller.core.quantities import MONTHS, UNKNOWN, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poller.core.calendar_month import CalendarMonth

WIDTH: Final = 720
HEIGHT: Final = 132
_TOP, _BOTTOM, _GAP = 18, 20, 8


def columns_chart(columns: Sequence[tuple[CalendarMonth, int | None]], label: str) -> Markup:
    """The columns from 0 on, the last one marked; nothing if no number is known. `label` says the same in words."""
    highest = max((value for _, value in columns if value is not None), default=None)
    if highest is None:
        return Markup()
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
    parts = [part for place in range(len(columns)) for part in _column(columns, place, max(highest, 1))]
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - numbers, and text that is escaped above


def height_of(value: int, highest: int) -> float:
    """The height of a column; a value that is not 0 can always be seen."""
    full = HEIGHT - _TOP - _BOTTOM
    return 0.0 if value == 0 else round(max(full * value / highest, 1.0), 1)


def _column(columns: Sequence[tuple[CalendarMonth, int | None]], place: int, highest: int) -> Iterator[str]:
    month, value = columns[place]
    step = WIDTH / len(columns)
    left, width = place * step + _GAP / 2, step - _GAP
    middle, ground = left + width / 2, HEIGHT - _BOTTOM
    tall = 0.0 if value is None else height_of(value, highest)
    kind = "column now" if place == len(columns) - 1 else "column"
    if value is not None:
        yield f'<rect class="{kind}" x="{left:.1f}" y="{ground - tall:.1f}" width="{width:.1f}" height="{tall:g}"/>'
    text = UNKNOWN if value is None else number(value)
    yield f'<text class="strong" x="{middle:.1f}" y="{ground - tall - 5:.1f}" text-anchor="middle">{text}</text>'
    year = f" {month.year % 100:02}" if month.number == 1 or place == 0 else ""
    name = f"{MONTHS[month.number - 1][:3]}{year}"
    yield f'<text x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{name}</text>'
