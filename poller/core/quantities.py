"""Numbers, sizes and ages in words: the one way they are written for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta


def count(number: int, thing: str, things: str | None = None) -> str:
    """`1 org`, `1,200 orgs`; `things` where the plural is not an added s."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {things or f'{thing}s'}"


def age_of(span: timedelta, space: str = "") -> str:
    """A length of time in its largest unit of which there are two: `90s`, `15m`, `36h`, `12d`.

    `space`: what stands before the unit; pages write `15 m`.
    """
    seconds = max(int(span.total_seconds()), 0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:,}{space}{unit}"
    return f"{seconds}{space}s"


def size_of(number: int) -> str:
    """A number of bytes: `12 kB`, `3.4 MB`."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number / 1_000:.0f} kB"
