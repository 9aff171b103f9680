"""A table of figures, each beside its aim, in Markdown as the documents show it. A missed aim is shown as missed."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Figure:
    """`shape` is a format of `value`, unit and all. Of the two aims a figure has one, or none."""

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
        # By the number itself, not by what is left of it in print.
        met = self.value >= (self.at_least or 0.0) if self.at_most is None else self.value <= self.at_most
        return "met" if met else "**missed**"


def show(title: str, figures: Iterable[Figure], notes: Sequence[str] = ()) -> None:
    """Print them, at once: the next question takes a while."""
    print(f"\n### {title}\n\n| | figure | aim | |\n|---|--:|--:|---|")
    for one in figures:
        print(f"| {one.name} | {one.shape.format(one.value)} | {one.aim} | {one.verdict} |")
    print("".join(f"\n{note}" for note in notes), flush=True)


def of_pairs(figures: Iterable[float], others: Iterable[float]) -> float:
    """The median of the ratios, round by round: what disturbs the machine for longer than a round disturbs both."""
    return median(one / other for one, other in zip(figures, others, strict=True))
