"""One clock for the worker, PostgreSQL and the simulated Zoho, many times faster than real time.

Statements of PgQueuer call `now()` without a schema. A function of this name in a schema that is first in the search
path is the clock of the database.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, Self

DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock that showed `start` at `origin` (both in seconds since 1970), and runs `speed` times as fast."""

    origin: float
    start: float
    speed: float

    @classmethod
    def begin(cls, start: datetime, speed: float) -> Self:
        """A clock that shows `start` now."""
        return cls(time.time(), start.timestamp(), speed)

    @classmethod
    def read(cls, text: str) -> Self:
        """Reads a clock as written by `str`, for another process."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    def seconds(self) -> float:
        """The time in seconds since 1970."""
        return self.start + (time.time() - self.origin) * self.speed

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds(), UTC)

    def scaled(self, real_seconds: float) -> float:
        """Converts seconds of real time to seconds of this clock."""
        return real_seconds * self.speed

    async def sleep(self, seconds: float) -> None:
        """Sleeps for seconds of this clock."""
        await asyncio.sleep(seconds / self.speed)

    @property
    def sql(self) -> str:
        """The time as an SQL expression."""
        since = f"extract(epoch FROM pg_catalog.now()) - {self.origin!r}"
        return f"to_timestamp({self.start!r} + ({since}) * {self.speed!r})"
