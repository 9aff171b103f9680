"""`python -m benchmarks.capacity.many_series`: forecasts 10,000 series, prints the seconds and the peak of memory."""

from __future__ import annotations

import resource
import time
from typing import Final

import numpy as np
import orjson

from poller.analysis.forecast import forecast
from poller.analysis.run_out import run_out

SERIES: Final = 10_000
DAYS: Final = 400
HORIZON: Final = 365


def main() -> None:
    rng = np.random.default_rng(1)
    moved = rng.random((SERIES, DAYS)) < rng.uniform(0.01, 0.5, (SERIES, 1))
    moves = moved * rng.choice([-1.0, 1.0, 1.0], (SERIES, DAYS))
    values = np.maximum(rng.integers(5, 1_000, (SERIES, 1)) + np.cumsum(moves, axis=1), 0.0)
    del moved, moves
    histories = list(values)
    started = time.process_time()
    for one in forecast(histories, HORIZON):
        run_out(one.mean, one.low80, one.high80, one.level + 20)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"series": SERIES, "days": DAYS, "horizon": HORIZON, "seconds": seconds, "megabytes": peak}
    print(orjson.dumps(told).decode())


if __name__ == "__main__":
    main()
