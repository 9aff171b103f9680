"""Precision and recall of anomalies: a year of orgs with events planted on known days. Every further alarm is false."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.aims import Figure, show
from benchmarks.capacity.planted_orgs import KINDS, LEAD, planted_org
from poller.analysis.anomalies import in_org

if TYPE_CHECKING:
    from benchmarks.capacity.planted_orgs import Org
    from poller.analysis.anomalies import DetectedAnomaly

ORGS: Final = 1_000
_AIM: Final = 0.9
_SEED: Final = 13


async def main(orgs: int | None) -> None:
    """Print precision and recall by kind."""
    count = orgs or ORGS
    rng = np.random.default_rng(_SEED)
    fleet = [planted_org(rng) for _ in range(count)]
    started = time.process_time()
    found = [in_org(org.counts) for org in fleet]
    seconds = time.process_time() - started
    planted: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    raised: Counter[str] = Counter()
    for org, alarms in zip(fleet, found, strict=True):
        planted.update(event.kind for event in org.events)
        late = [alarm for alarm in alarms if alarm.day >= LEAD]
        raised.update(alarm.kind for alarm in late)
        hits.update(_found(org, late))
    figures = []
    for kind in KINDS:
        figures.append(Figure(f"`{kind}`: precision", hits[kind] / max(raised[kind], 1), "{:.3f}", at_least=_AIM))
        figures.append(Figure("- recall", hits[kind] / max(planted[kind], 1), "{:.3f}", at_least=_AIM))
        figures.append(Figure("- planted", planted[kind], "{:,}"))
    figures.append(Figure("seconds of one core, 545 days of ten types", seconds, "{:.1f}"))
    false = raised.total() - hits.total()
    note = f"{count:,} orgs, {planted.total():,} events; {false:,} false alarms, {false / count:.3f} an org and year."
    show("Anomalies: planted events", figures, [note])


def _found(org: Org, alarms: list[DetectedAnomaly]) -> list[str]:
    """The kinds of the events that were found; an alarm finds one event, and a second of the same event is false."""
    left = list(alarms)
    found = []
    for event in org.events:
        hit = next((one for one in left if one.kind == event.kind and event.day <= one.day <= event.last), None)
        if hit is not None:
            left.remove(hit)
            found.append(event.kind)
    return found
