"""The jobs that a worker has claimed, and how sure the worker is that they are still its own."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class ClaimedJobs:
    """The jobs of one worker by id; `polled` are those whose results are not committed yet."""

    def __init__(self, heartbeat_timeout_seconds: float) -> None:
        self.ids: set[int] = set()
        self.polled: set[int] = set()
        self._heartbeat_timeout_seconds = heartbeat_timeout_seconds
        self._heartbeat_at = self._claimed_at = -math.inf

    def add(self, job_ids: Iterable[int], claimed_at: float) -> None:
        """Adds jobs that were claimed at this moment of the loop's time, or later."""
        self._claimed_at = min(claimed_at, asyncio.get_running_loop().time())
        self.ids.update(job_ids)

    def remove(self, job_ids: Iterable[int]) -> None:
        """Removes jobs that are done, or that this worker has given back."""
        job_ids = set(job_ids)
        self.ids -= job_ids
        self.polled -= job_ids

    def note_heartbeat(self, sent_at: float) -> None:
        """PostgreSQL has taken a heartbeat that was sent at this moment of the loop's time."""
        self._heartbeat_at = max(self._heartbeat_at, sent_at)

    @property
    def may_expire(self) -> bool:
        """Whether other workers may soon take the jobs over, because PostgreSQL was slow since the last heartbeat."""
        alive_at = max(self._heartbeat_at, self._claimed_at)
        return asyncio.get_running_loop().time() - alive_at > self._heartbeat_timeout_seconds * 2 / 3
