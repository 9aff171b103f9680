"""Forecasts against what came next: ours beside statsforecast's, their seconds, and how still run-out days stand."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Final

import numpy as np
import orjson

from benchmarks.aims import Figure, show
from benchmarks.capacity.cuts import FUTURE, MADE, Cut, groups, made_cuts, read_cuts
from benchmarks.capacity.methods import INSTALL, methods
from benchmarks.capacity.scores import HORIZONS, run_outs, score
from poller.analysis.forecast import fleet_quantiles, forecast
from poller.analysis.run_out import run_out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_WATCHED: Final = 60
"""Days on which the run-out day is asked for again."""
_WEEK: Final = 7
_TENTH: Final = 0.1
_AIM_SECONDS: Final = 10.0
_AIM_MEGABYTES: Final = 600.0


async def main(series: Path | None, truth: Path | None) -> None:
    """Print the tables of made series, of the given ones, and what many series cost."""
    sets = {"made series": made_cuts(MADE)}
    if series is not None and truth is not None:
        sets[series.name] = read_cuts(series, truth)
    if len(methods()) == 1:
        print(f"\nstatsforecast is not installed: only ours runs. To compare: {INSTALL}")
    for name, cuts in sets.items():
        _compare(name, cuts)
        _stability(name, cuts)
    await _many()


def _compare(name: str, cuts: list[Cut]) -> None:
    head = " / ".join(map(str, HORIZONS))
    titles = ("series", "method", "scaled error", "80 % holds", "95 % holds", "interval score", "seconds")
    print(
        f"\n### Forecasts: {len(cuts):,} {name}, {head} days\n\n| {' | '.join(titles)} |\n|---|---|--:|--:|--:|--:|--:|"
    )
    made = {}
    seconds = {}
    for method, lines_of in methods().items():
        started = time.process_time()
        made[method] = lines_of([cut.history for cut in cuts])
        seconds[method] = time.process_time() - started
    for group, places in groups(cuts):
        for method, lines in made.items():
            errors, holds80, holds95, interval = score(cuts, lines, places)
            cells = (_row(errors, "{:.3f}"), _row(holds80, "{:.0%}"), _row(holds95, "{:.0%}"), _row(interval, "{:.1f}"))
            took = f"{seconds[method]:.1f}" if group == "all" else ""
            print(f"| {group}, {len(places)} | {method} | {' | '.join(cells)} | {took} |")
    heads = ("run-out day", "cases", "inside 80 %", "inside 95 %", "named", "named, and did not come")
    print(f"\n| {' | '.join(heads)} |\n|---|--:|--:|--:|--:|--:|")
    for method, lines in made.items():
        found = run_outs(cuts, lines)
        shares = " | ".join(f"{share:.0%}" for share in found[1:])
        print(f"| {method} | {found.cases:,} | {shares} |", flush=True)


def _row(figures: Sequence[float], shape: str) -> str:
    return " / ".join(shape.format(figure) for figure in figures)


def _stability(name: str, cuts: list[Cut]) -> None:
    """Asks for the run-out day daily: how often it moves by more than a week on a day without a change."""
    quantiles = fleet_quantiles([cut.history for cut in cuts])
    pairs = named = moved = far = begun = 0
    for cut in cuts:
        whole = np.concatenate([cut.history, cut.future[:_WATCHED]])
        ends = [end for end in range(len(cut.history), len(whole) + 1) if not np.isnan(whole[end - 1])]
        days = _run_out_days([whole[:end] for end in ends], np.array(ends), cut.seats[-1], quantiles)
        for place in range(1, len(ends)):
            if whole[ends[place] - 1] != whole[ends[place - 1] - 1]:
                continue
            before, after = days[place - 1], days[place]
            pairs += 1
            begun += (before == 0) != (after == 0)
            named += before > 0 and after > 0
            jumped = before > 0 and after > 0 and abs(after - before) > _WEEK
            moved += jumped
            far += jumped and abs(after - before) > _TENTH * (before - ends[place - 1])
    figures = [
        Figure("days without a change, on which it was asked for again", pairs, "{:,}"),
        Figure("- with a day named before and after", named, "{:,}"),
        Figure("- moved by more than a week, of those", moved / max(named, 1), "{:.2%}"),
        Figure("- by more than a week and a tenth of the days left", far / max(named, 1), "{:.2%}"),
        Figure("- began or ceased to be named, of all", begun / max(pairs, 1), "{:.2%}"),
    ]
    show(f"The named run-out day from one day to the next: {name}", figures)


def _run_out_days(
    histories: list[NDArray[np.float64]],
    ends: NDArray[np.int64],
    seats: float,
    quantiles: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> list[int]:
    """The named day as days from the beginning of the series; 0: none is named."""
    found: list[int] = []
    for one in forecast(histories, FUTURE, quantiles):
        days = run_out(one.mean, one.low80, one.high80, np.full(len(one.rows), seats)).day
        found += np.where(days > 0, days + ends[one.rows], 0).tolist()
    return found


async def _many() -> None:
    """In a process of its own, whose peak of memory is its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.capacity.many_series", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    told = orjson.loads(output)
    figures = [
        Figure("seconds of one core", told["seconds"], "{:.1f}", at_most=_AIM_SECONDS),
        Figure("peak memory of the process, MB", told["megabytes"], "{:,.0f}", at_most=_AIM_MEGABYTES),
    ]
    show(
        f"{told['series']:,} series of {told['days']} days, {told['horizon']} ahead, forecast and run-out day", figures
    )
