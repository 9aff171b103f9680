"""A simulated Zoho on the soak's clock, as a process until SIGTERM: `… zoho.py CLOCK ORGS`.

Most calls succeed; a few fail in each way every day, and once a week a data centre is unreachable for an hour.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

from poller.cli.output import terminal
from poller.simulator import Fault, Simulator, SimulatorOptions
from tests.soak.clock import DAY_SECONDS, Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST_AWAY_DAY: Final = 3.0
_WEEKS: Final = 53
LATENCY_SECONDS: Final = 0.005
LATENCY_P99_SECONDS: Final = 0.05


def options(clock: Clock, orgs: int) -> SimulatorOptions:
    """The options of the simulated fleet."""
    return SimulatorOptions(
        orgs=orgs,
        now=clock.seconds,
        latency_median_seconds=LATENCY_SECONDS,
        latency_p99_seconds=LATENCY_P99_SECONDS,
        faults=tuple(_faults(clock)),
    )


def _faults(clock: Clock) -> Iterator[Fault]:
    for week in range(_WEEKS):
        since = clock.start + (_FIRST_AWAY_DAY + 7 * week) * DAY_SECONDS
        yield Fault(name="unavailable", data_center="sim-eu", since=since, until=since + 3_600)
    yield Fault(name="too_many_requests", probability=0.0005)
    yield Fault(name="internal_error", probability=0.002)
    yield Fault(name="truncated", probability=0.001)
    yield Fault(name="reset", probability=0.0005)
    yield Fault(name="invalid_token", probability=0.0002)
    yield Fault(name="token_500", probability=0.001)


async def main(clock: Clock, orgs: int) -> None:
    async with Simulator(options(clock, orgs)) as simulator:
        with terminal.stop_signals() as stopped:
            terminal.out(json.dumps(simulator.data_centers_setting()))
            await stopped.wait()


if __name__ == "__main__":
    terminal.run(main(Clock.read(sys.argv[1]), int(sys.argv[2])))
