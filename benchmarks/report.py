"""The table of the store's figures: one column per size, the aims beside; in Markdown, as the documents show it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.questions import QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_TYPES: Final = 10
_AIM_WRITE: Final = 0.30
_AIM_INSERT: Final = 0.55
_AIM_BYTES: Final = 14


@dataclass
class Measured:
    """What one size came to: seconds a row of each way in, bytes a reading, milliseconds a question."""

    orgs: int
    days: int
    readings: int = 0
    seconds_a_row: dict[str, list[float]] = field(default_factory=dict)
    bytes: dict[str, float] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)
    duckdb: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timing(self, way: str, rows: int) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds_a_row.setdefault(way, []).append((time.perf_counter() - started) / rows)

    def readings_a_second(self, way: str) -> float:
        return _TYPES / median(self.seconds_a_row[way])

    def of_copy(self, *ways: str) -> float:
        """The share of COPY's speed these ways have together, round by round."""
        rounds = zip(self.seconds_a_row["COPY"], *(self.seconds_a_row[way] for way in ways), strict=True)
        return float(median(copy / sum(others) for copy, *others in rounds))

    def of_duckdb(self, question: str) -> float:
        return self.milliseconds[question] / self.duckdb[question]


def report(sizes: Sequence[Measured]) -> None:
    """Print them side by side."""
    rows: list[tuple[str, Callable[[Measured], str], str]] = [
        ("readings", lambda one: f"{one.readings:,}", ""),
        ("bare COPY, readings/s", lambda one: f"{one.readings_a_second('COPY'):,.0f}", ""),
        ("- INSERT alone, of COPY", lambda one: f"{one.of_copy('INSERT'):.0%}", f"≥ {_AIM_INSERT:.0%}"),
        ("- with what is latest", lambda one: f"{one.of_copy('write'):.0%}", ""),
        ("- and rolled up", lambda one: f"{one.of_copy('write', 'roll up write'):.0%}", f"≥ {_AIM_WRITE:.0%}"),
    ]
    for name in sizes[0].bytes:
        aim = f"≤ {_AIM_BYTES}" if name == "org_snapshots, all" else ""
        rows.append((f"bytes a reading, {name}", lambda one, name=name: f"{one.bytes[name]:.2f}", aim))  # type: ignore[misc]
    for question in QUESTIONS:
        aim = f"≤ {question.aim:g}" if question.aim else ""
        rows.append((f"ms, {question.name}", lambda one, of=question.name: f"{one.milliseconds[of]:.2f}", aim))  # type: ignore[misc]
        if question.duckdb:
            aim = f"≤ {question.share:g}" if question.share else ""
            rows.append(("- of DuckDB's time", lambda one, of=question.name: f"{one.of_duckdb(of):.3f}", aim))  # type: ignore[misc]
    print(f"\nstore: 10 types, hourly, {sizes[0].days} days and today; medians\n")
    print("| |", " | ".join(f"{one.orgs:,} orgs" for one in sizes), "| aim |")
    print("|---|" + "--:|" * (len(sizes) + 1))
    for name, figure, aim in rows:
        print(f"| {name} |", " | ".join(figure(one) for one in sizes), f"| {aim} |")
