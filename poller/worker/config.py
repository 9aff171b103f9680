"""Timing and concurrency of a worker. Tests change these numbers; what operators may change is in `settings`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Timing and concurrency of a worker.

    Slots enter the queue one interval before they are due, but at least `min_lookahead_seconds` and at most
    `max_lookahead_seconds` before. For that long the scheduler may stop without a late poll, and for that long a
    changed interval takes to have an effect.
    """

    max_concurrent_polls: int = 32
    schedule_interval_seconds: float = 5.0
    min_lookahead_seconds: float = 15.0
    max_lookahead_seconds: float = 60.0
    idle_seconds: float = 1.0
    alert_interval_seconds: float = 30.0
    """How often the alert rules are evaluated; the same for all workers of a database."""
    alert_idle_seconds: float = 5.0
    """How often a worker looks whether an evaluation is due."""
    claim_interval_seconds: float = 0.02
    """The pause between two claims, so that jobs come in batches and other workers get their share."""
    batch_rows: int = 200
    """Rows of one write. While PostgreSQL is unreachable, eight times as many results and one per running poll are kept
    in memory."""
    fairness_delay_seconds: float = 0.05
    """How long a job is reserved for one worker before the next worker may claim it too."""
    share_seconds: float = 15.0
    """How often the places for polls are divided among data centres, in proportion to the polls their orgs need."""
    keyless_seconds: float = 1.0
    """How much later a worker that lacks an encryption key claims jobs, so that workers with the key come first."""
    heartbeat_timeout_seconds: float = 30.0
    """Without a heartbeat of a worker for this long, its jobs go to other workers."""
    worker_heartbeat_seconds: float = 10.0
    shutdown_grace_seconds: float = 20.0
    final_flush_seconds: float = 2.0
    """Extra time after the grace period to write results that are in memory."""
