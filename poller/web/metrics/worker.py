"""The metrics of a worker: its slots, polls, requests, tokens and credits, counted as they happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Histogram

from poller.core.admission import CRASHED, NOT_RUNNING, TOO_LATE
from poller.core.model import Outcome
from poller.core.reply import NoReply
from poller.polling.instrumentation import NullInstrumentation
from poller.web.metrics.counters import FastCounter, FastHistogram
from poller.web.metrics.process import ProcessMetrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from prometheus_client import CollectorRegistry

    from poller.core.reply import Classification, Reply
    from poller.core.schedule import Due
    from poller.polling.instrumentation import PostToken
    from poller.polling.results import PollResult
    from poller.zoho.token_request import Form

# Known reasons exist from the start with the value 0: otherwise `rate()` would miss the first event.
_PUT_BACK_FOR: Final = ("busy", "clock", "cool_down", "data_center", "early", "hold", "slow", "stopped")
_MISSED_FOR: Final = (CRASHED, NOT_RUNNING, TOO_LATE)
_LATENESS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 900, 3_600)
_DURATIONS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80)
_WAITS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
"""The bounds of waits, up to the longest wait of a poll for its org's rate limit."""


class WorkerMetrics(ProcessMetrics, NullInstrumentation):
    """All metrics of a process with a worker, as its instrumentation."""

    def __init__(self) -> None:
        super().__init__()
        registry = self.registry
        self._count_slots(registry)
        self._polls = Counter(
            "poller_polls", "Polls whose row is committed, by outcome.", ["outcome"], registry=registry
        )
        for outcome in Outcome:
            self._polls.labels(outcome.value)
        self._durations = Histogram(
            "poller_poll_duration_seconds", "One org's poll, all requests.", buckets=_DURATIONS, registry=registry
        )
        self._requests = FastCounter(
            "poller_requests",
            "Requests for counts, by outcome, and by HTTP status or the reason why there was no reply.",
            ["outcome", "status"],
        )
        self._waits = FastHistogram(
            "poller_limiter_wait_seconds",
            "Time that requests waited for their org's limits or for a permit of this process.",
            _WAITS,
        )
        for collector in (self._requests, self._waits):
            registry.register(collector)
        self._token_requests = Counter(
            "poller_token_requests", "Requests to token endpoints, by HTTP status.", ["status"], registry=registry
        )
        self._tokens = Counter("poller_tokens_issued", "Access tokens Zoho issued to this worker.", registry=registry)
        self._credits = Counter("poller_credits_spent", "Credits of the orgs that the poller spent.", registry=registry)
        self._database_errors = Counter(
            "poller_database_errors", "Errors of PostgreSQL or of the connection to it.", registry=registry
        )

    def _count_slots(self, registry: CollectorRegistry) -> None:
        self._due = Counter(
            "poller_slots_due", "Slots added to the queue, and slots found to be missed.", registry=registry
        )
        self._claimed = Counter(
            "poller_slots_claimed",
            "Slots this worker claimed; a slot that was put back counts again.",
            registry=registry,
        )
        self._put_back = Counter(
            "poller_slots_put_back", "Slots put back into the queue to wait, by reason.", ["reason"], registry=registry
        )
        for reason in _PUT_BACK_FOR:
            self._put_back.labels(reason)
        self._late = Counter("poller_slots_late", "Slots polled a second late or more.", registry=registry)
        self._missed = Counter(
            "poller_slots_missed", "Slots recorded as missed, by reason.", ["reason"], registry=registry
        )
        for reason in _MISSED_FOR:
            self._missed.labels(reason)
        self._lateness = Histogram(
            "poller_poll_lateness_seconds",
            "Time from the moment a slot was due to its claim.",
            buckets=_LATENESS,
            registry=registry,
        )

    def wrap_post_token(self, post: PostToken) -> PostToken:
        """Counts the requests to token endpoints."""

        async def counted(accounts_server: str, form: Form) -> Reply | NoReply:
            reply = await post(accounts_server, form)
            status = reply.failure.value if isinstance(reply, NoReply) else str(reply.status)
            self._token_requests.labels(status).inc()
            return reply

        return counted

    def slots_enqueued(self, slots: int) -> None:
        """The scheduler added slots to the queue."""
        self._due.inc(slots)

    def slot_claimed(self, due: Due, now: datetime) -> None:
        """The worker claimed a slot."""
        self._claimed.inc()
        self._lateness.observe(max((now - due.at).total_seconds(), 0.0))

    def slots_requeued(self, reason: str, slots: int) -> None:
        """The worker put slots back into the queue."""
        self._put_back.labels(reason).inc(slots)

    def slots_missed(self, slots: int, reason: str) -> None:
        """The worker recorded slots as missed that were never in the queue."""
        self._due.inc(slots)
        self._missed.labels(reason).inc(slots)

    def results_committed(self, batch: Sequence[PollResult]) -> None:
        """The rows of these results are committed."""
        for one in batch:
            snapshot = one.snapshot
            if snapshot.outcome is Outcome.MISSED:
                self._missed.labels(snapshot.error or "").inc()
                continue
            self._polls.labels(snapshot.outcome.value).inc()
            self._credits.inc(snapshot.requests + one.extra_requests)
            if snapshot.late_seconds:
                self._late.inc()
            if snapshot.requests:
                self._durations.observe(snapshot.duration_ms / 1_000)

    def database_error(self) -> None:
        """PostgreSQL, or the connection to it, failed."""
        self._database_errors.inc()

    def request_classified(self, reply: Reply | NoReply, classification: Classification) -> None:
        """A request for a count ended, and this is its meaning."""
        self._requests.count(classification.outcome, reply.failure if isinstance(reply, NoReply) else reply.status)

    def limiter_waited(self, seconds: float) -> None:
        """A request waited for its org's limits, until it was sent or gave up."""
        self._waits.observe(seconds)

    def token_issued(self) -> None:
        """Zoho issued an access token to this process."""
        self._tokens.inc()
