"""`python -m benchmarks [GROUP…]`: run the groups of benchmarks and print a table for each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from benchmarks import alerts, fleet, grafana, isolation, memory, monthly, store, web
from benchmarks.capacity import anomalies, forecast
from benchmarks.poll import group as poll

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

GROUPS: dict[str, Callable[[argparse.Namespace], Coroutine[None, None, None]]] = {
    "poll": lambda given: poll.main(given.orgs, given.rounds, given.question),
    "isolation": lambda given: isolation.main(given.orgs),
    "fleet": lambda given: fleet.main(given.orgs),
    "alerts": lambda given: alerts.main(given.orgs),
    "monthly": lambda given: monthly.main(given.orgs),
    "web": lambda given: web.main(given.orgs),
    "grafana": lambda given: grafana.main(given.orgs),
    "memory": lambda given: memory.main(given.orgs),
    "store": lambda given: store.main(given.orgs, given.days, explain=given.explain),
    "anomalies": lambda given: anomalies.main(given.orgs),
    "forecast": lambda given: forecast.main(given.series, given.truth),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="all, if none is named")
    parser.add_argument("--orgs", type=int, help="the size of the fleet, where a group has one")
    parser.add_argument("--days", type=int, help="of history, where a group has one")
    parser.add_argument("--rounds", type=int, help="poll: how often each figure is taken; the median counts")
    parser.add_argument(
        "--question", action="append", choices=[*poll.QUESTIONS], help="poll: this one; may be repeated"
    )
    parser.add_argument("--explain", action="store_true", help="store: how PostgreSQL answers each question")
    parser.add_argument("--series", type=Path, help="forecast: a CSV file of series,day,value, .gz or not")
    parser.add_argument("--truth", type=Path, help="forecast: what came next, a JSON object a line")
    arguments = parser.parse_args()
    if (arguments.series is None) != (arguments.truth is None):
        parser.error("--series and --truth go together")
    for group in arguments.groups or GROUPS:
        uvloop.run(GROUPS[group](arguments))


if __name__ == "__main__":
    main()
