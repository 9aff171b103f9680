"""One poll of one org: ten requests in parallel, classified and combined into one snapshot.

Nothing here raises an exception for what Zoho or the network does, and nothing here writes a row: the snapshot is
returned.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from poller.core.admission import HELD, LONGEST_WAIT
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.poll_result import CountRefusal, combine
from poller.core.reply import Reply, Retry, classify
from poller.zoho.tokens import NoToken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from datetime import datetime

    from poller.core.model import Org, UserType
    from poller.core.reply import Classification
    from poller.core.token import AccessToken, StoredToken
    from poller.polling.ports import PollPorts
    from poller.zoho.limiter import OrgLimiter

PASSES: Final = 3
"""How often a count is requested at most: once, and again after errors that may be temporary."""
FIRST_BACK_OFF_SECONDS: Final = 0.5
REFRESH_PAUSE_SECONDS: Final = 2.0
"""Between the renewal of a token and the next request, plus a random time up to the same length: a server that refused
a good token refuses the next token for a moment too."""
LONGEST_WAIT_SECONDS: Final = LONGEST_WAIT.total_seconds()
"""How long a poll waits for its org's rate limit or for Zoho."""

_NOT_SENT: Final = CountRefusal(Outcome.THROTTLED, HELD)
"""A 429 holds the org for longer than a poll waits."""

_T = TypeVar("_T", int, "datetime")

log = structlog.get_logger("poller.polling.poll")


async def poll_org(
    org: Org,
    slot: datetime,
    limiter: OrgLimiter,
    ports: PollPorts,
    *,
    known_token: StoredToken | None = None,
    late_seconds: int = 0,
    unanswered: Callable[[str], None] = lambda _code: None,
    prove: Callable[[], Awaitable[CountRefusal | None]] | None = None,
) -> Snapshot:
    """Requests the ten counts of an org; returns a snapshot with the counts or with the reasons why there are none.

    `unanswered(code)` is called as soon as a pass over the counts ends without any reply: if every request runs into
    its timeout, the poll itself ends much later. `prove()` is called between the token and the first count; if it
    returns a refusal, no count is requested. The caller binds org and slot to the events of the log.
    """
    polled_at = ports.now()
    run = _PollRun(org, limiter, ports, unanswered)
    token = await ports.get_token(org, known_token)
    if isinstance(token, NoToken):
        run.refuse(USER_TYPES, CountRefusal(token.outcome, token.code))
    elif prove is not None and (refusal := await prove()) is not None:
        run.refuse(USER_TYPES, refusal)
    else:
        await run.run(token)
    snapshot = run.snapshot(slot, polled_at, late_seconds)
    if snapshot.counts and run.throttled_at is None:
        limiter.recover()
    _report(snapshot)
    return snapshot


@dataclass(slots=True)
class _PollRun:
    """The requests of one poll, and their results."""

    org: Org
    limiter: OrgLimiter
    ports: PollPorts
    unanswered: Callable[[str], None]
    answers: dict[UserType, int | CountRefusal] = field(default_factory=dict)
    requests: int = 0
    credits_remaining: int | None = None
    throttled_at: datetime | None = None
    """When the first 429 came."""
    any_reply: bool = False
    """At least one request got a reply, good or bad."""
    token_rejected: bool = False
    """Zoho called the token invalid in this pass: requests not sent yet wait for the next token."""
    unreachable: CountRefusal | None = None
    """No request of this pass got a reply: requests not sent yet are skipped, or ten timeouts would add up."""
    wait_seconds: float = 0.0
    """The longest wait that the replies of this pass asked for."""
    token_ends_at: datetime | None = None
    """When the token ends, by the replies of this pass."""

    async def run(self, token: AccessToken) -> None:
        """Requests counts in passes, until all are known, or a retry is not worth it."""
        pending, passes, renewed = USER_TYPES, 0, False
        while pending:
            self._start_pass()
            pending = await self._request_in_parallel(pending, token)
            if self.unreachable is not None and not self.any_reply:
                self.unanswered(self.unreachable.code)
            if self.token_ends_at is not None and not self.token_rejected:
                await self.ports.set_token_expiry(self.org, token, self.token_ends_at)
            if self.token_rejected:
                # One new token and one retry per poll, however many of the ten requests met the invalid token.
                if renewed:
                    return
                renewed = True
                fresh = await self.ports.renew_token(self.org, token)
                if isinstance(fresh, NoToken):
                    self.refuse(pending, CountRefusal(fresh.outcome, fresh.code))
                    return
                token = fresh
                await self.ports.sleep(REFRESH_PAUSE_SECONDS * (1 + self.ports.jitter()))
            elif pending:
                passes += 1
                if passes == PASSES or self.wait_seconds > LONGEST_WAIT_SECONDS:
                    return
                back_off = FIRST_BACK_OFF_SECONDS * 3 ** (passes - 1) * (1 + self.ports.jitter())
                await self.ports.sleep(max(back_off, self.wait_seconds))

    def _start_pass(self) -> None:
        self.token_rejected, self.unreachable, self.wait_seconds, self.token_ends_at = False, None, 0.0, None

    def refuse(self, user_types: tuple[UserType, ...], refusal: CountRefusal) -> None:
        self.answers.update(dict.fromkeys(user_types, refusal))

    def snapshot(self, slot: datetime, polled_at: datetime, late_seconds: int) -> Snapshot:
        """The row of the poll that ends now."""
        summary, duration = combine(self.answers), self.ports.now() - polled_at
        return Snapshot(
            org_id=self.org.id,
            slot=slot,
            polled_at=polled_at,
            outcome=summary.outcome,
            error=summary.error,
            errors=summary.errors,
            late_seconds=late_seconds,
            requests=self.requests,
            duration_ms=max(round(duration.total_seconds() * 1_000), 0),
            credits_remaining=self.credits_remaining,
            counts=summary.counts,
        )

    async def _request_in_parallel(self, pending: tuple[UserType, ...], token: AccessToken) -> tuple[UserType, ...]:
        """Requests these counts; returns those that are worth another request."""
        again: list[UserType] = []
        remaining = iter(pending)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(self.limiter.in_flight, len(pending)) - 1):
                tasks.create_task(self._worker(remaining, token, again))
            await self._worker(remaining, token, again)
        return tuple(again)

    async def _worker(self, remaining: Iterator[UserType], token: AccessToken, again: list[UserType]) -> None:
        for user_type in remaining:
            if self._should_skip(user_type):
                again.append(user_type)
                continue
            if await self.limiter.acquire(self._max_wait()) > 0.0:
                self.answers[user_type] = _NOT_SENT
                continue
            try:
                if self._should_skip(user_type):  # another reply may have come while this one waited
                    again.append(user_type)
                    continue
                self.requests += 1
                reply = await self.ports.request_count(token.api_domain, self.org.api_version, user_type, token.secret)
            finally:
                self.limiter.release()
            found = classify(reply, self.ports.now())
            self.ports.classified(reply, found)
            self._note(user_type, found)
            self.any_reply = self.any_reply or isinstance(reply, Reply)
            if found.outcome is Outcome.OK:
                continue
            if found.retry is Retry.BACK_OFF and not self.any_reply:
                self.unreachable = CountRefusal(found.outcome, found.code or found.outcome.value)
            if found.retry in {Retry.BACK_OFF, Retry.REFRESH_TOKEN}:
                again.append(user_type)

    def _max_wait(self) -> float:
        """How long one more request may wait for the rate limit: after a 429, all waits together have one limit."""
        if self.throttled_at is None:
            return LONGEST_WAIT_SECONDS
        waited = (self.ports.now() - self.throttled_at).total_seconds()
        return max(LONGEST_WAIT_SECONDS - waited, 0.0)

    def _should_skip(self, user_type: UserType) -> bool:
        """Whether this count is left to the next pass."""
        if self.unreachable is not None:
            self.answers[user_type] = self.unreachable
        return self.token_rejected or self.unreachable is not None

    def _note(self, user_type: UserType, found: Classification) -> None:
        if found.credits_remaining is not None:
            self.credits_remaining = _least(self.credits_remaining, found.credits_remaining)
        if found.token_ends_at is not None:
            self.token_ends_at = _least(self.token_ends_at, found.token_ends_at)
        if found.count is not None:
            self.answers[user_type] = found.count
            return
        self.answers[user_type] = CountRefusal(found.outcome, found.code or found.outcome.value)
        if found.retry is Retry.BACK_OFF:
            self.wait_seconds = max(self.wait_seconds, found.wait_seconds or 0.0)
        if found.retry is Retry.REFRESH_TOKEN:
            self.token_rejected = True
        if found.outcome is Outcome.THROTTLED:
            self.throttled_at = self.throttled_at or self.ports.now()
            self.limiter.throttle(found.wait_seconds)


def _least(known: _T | None, said: _T) -> _T:
    return said if known is None else min(known, said)


def _report(snapshot: Snapshot) -> None:
    """Logs one event per poll; a warning if a person should look at it."""
    facts: dict[str, object] = {"outcome": snapshot.outcome.value, "requests": snapshot.requests}
    if snapshot.error is not None:
        facts["error"] = snapshot.error
    if snapshot.errors:
        facts["errors"] = {user_type.value: code for user_type, code in snapshot.errors.items()}
    event = log.info if snapshot.outcome in {Outcome.OK, Outcome.THROTTLED} else log.warning
    event("poll.finished", duration_ms=snapshot.duration_ms, **facts)
