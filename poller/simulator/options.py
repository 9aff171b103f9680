"""The options of a simulator, as plain values. Reads no environment variables."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from poller.simulator.faults import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """The number of orgs, how Zoho behaves, and the clock.

    `now` returns seconds since 1970 and drives every rule. `speed` is how many times faster the counts change; nothing
    else does. The latency is log-normal, given by its median and 99th percentile; with 0, replies are sent at once.
    With `tls`, the servers use https. `retry_after` is the format of Retry-After in a 429, or `off` for none.
    """

    orgs: int = 50
    seed: int = 1
    port: int = 0
    data_centers: tuple[str, ...] = ("sim-us", "sim-eu")
    orgs_per_client: int = 1
    grant_share: float = 0.0
    soid_share: float = 0.0
    token_seconds: int = 3_600
    grant_code_seconds: int = 600
    throttle_seconds: int = 600
    latency_median_seconds: float = 0.0
    latency_p99_seconds: float = 0.0
    retry_after: Literal["off", "seconds", "date"] = "off"
    retry_after_seconds: int = 30
    faults: tuple[Fault, ...] = ()
    speed: float = 1.0
    tls: ssl.SSLContext | None = None
    now: Callable[[], float] = field(default=time.time, repr=False)

    def __post_init__(self) -> None:
        """Raise `ValueError` for options that cannot be simulated."""
        if self.orgs < 1 or not self.data_centers or self.orgs_per_client < 1:
            raise ValueError("a simulator needs at least one org, one data centre and one org per client")
        if self.latency_median_seconds < 0 or 0 < self.latency_p99_seconds < self.latency_median_seconds:
            raise ValueError("latency: the 99th percentile must be at least the median, and neither may be negative")
