"""Prints a table of figures and their aims in Markdown, as the documents show it. A missed aim is marked as missed."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure. `shape` formats `value` with its unit. A figure has one of the two aims, or none."""

    name: str
    value: float
    shape: str = "{:,.2f}"
    at_least: float | None = None
    at_most: float | None = None

    @property
    def aim(self) -> str:
        if self.at_least is not None:
            return f"≥ {self.shape.format(self.at_least)}"
        return "" if self.at_most is None else f"≤ {self.shape.format(self.at_most)}"

    @property
    def verdict(self) -> str:
        if self.at_least is None and self.at_most is None:
            return ""
        # Compare the number itself, not the rounded one that is printed.
        met = self.value >= (self.at_least or 0.0) if self.at_most is None else self.value <= self.at_most
        return "met" if met else "**missed**"


def show(title: str, figures: Iterable[Figure], notes: Sequence[str] = ()) -> None:
    """Print the table at once, because the next measurement takes a while."""
    print(f"\n### {title}\n\n| | figure | aim | |\n|---|--:|--:|---|")
    for one in figures:
        print(f"| {one.name} | {one.shape.format(one.value)} | {one.aim} | {one.verdict} |")
    print("".join(f"\n{note}" for note in notes), flush=True)


def of_pairs(figures: Iterable[float], others: Iterable[float]) -> float:
    """The median of the ratios of each round: other work on the machine usually disturbs both values of a round."""
    return median(one / other for one, other in zip(figures, others, strict=True))
