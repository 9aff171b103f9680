"""One clock for the worker, for PostgreSQL and for the simulated Zoho, that runs many times faster than the wall's.

PostgreSQL says what time it is in `now()`, which PgQueuer's statements ask for by that name alone: a function of this
name in a schema that is searched first is the clock of that database.
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
    """It showed `start` when it was `origin` (both in seconds since 1970), and runs `speed` times as fast."""

    origin: float
    start: float
    speed: float

    @classmethod
    def begin(cls, start: datetime, speed: float) -> Self:
        """It shows `start` now."""
        return cls(time.time(), start.timestamp(), speed)

    @classmethod
    def read(cls, text: str) -> Self:
        """As `str` wrote it, for another process."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    def seconds(self) -> float:
        """Since 1970."""
        return self.start + (time.time() - self.origin) * self.speed

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds(), UTC)

    def scaled(self, real_seconds: float) -> float:
        """Converts seconds of real time to seconds of this clock."""
        return real_seconds * self.speed

    async def sleep(self, seconds: float) -> None:
        """Seconds of this clock."""
        await asyncio.sleep(seconds / self.speed)

    @property
    def sql(self) -> str:
        """The same, as an expression of PostgreSQL's."""
        since = f"extract(epoch FROM pg_catalog.now()) - {self.origin!r}"
        return f"to_timestamp({self.start!r} + ({since}) * {self.speed!r})"
