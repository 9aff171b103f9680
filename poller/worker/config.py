"""The numbers of a worker: how much at once, how often what, and how long anything is waited for.

They are for tests to turn, not for operators: what those may set is in `settings`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """How often what is done. `hands`: orgs polled side by side. `silence`: of a worker taken for dead.

    Slots are queued an interval ahead, between `least_ahead` and `most_ahead`: so long may the handing out stand still
    before a poll is late, and as long does a change of an interval take to show.
    """

    hands: int = 32
    schedule_interval_seconds: float = 5.0
    min_lookahead_seconds: float = 15.0
    max_lookahead_seconds: float = 60.0
    idle_seconds: float = 1.0
    claim_interval_seconds: float = 0.02
    """Between two looks into the queue, so that jobs come in batches and other workers get theirs."""
    batch_rows: int = 200
    """Written at once; while they cannot be, eight times as many readings are held, and one for each hand."""
    fairness_delay_seconds: float = 0.05
    """How long a job is left to the worker whose turn it is, before it is the next one's as well."""
    share_seconds: float = 15.0
    """How often the places are shared out among data centres, by what their orgs need."""
    keyless_seconds: float = 1.0
    """How much longer a worker that lacks a key in use leaves every job to the others."""
    heartbeat_timeout_seconds: float = 30.0
    worker_heartbeat_seconds: float = 10.0
    shutdown_grace_seconds: float = 20.0
    final_flush_seconds: float = 2.0
    """Beyond the grace, or where none is given: for what the database still takes."""
