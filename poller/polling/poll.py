"""One poll: ten questions to one org side by side, one snapshot, whatever happens.

Gather (a token), decide (`core` judges every reply), apply (the limiter's quota, the token, the org's health). Nothing
here raises for anything Zoho or the network does; nothing here writes a row: the snapshot is handed back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from poller.core import admission
from poller.core.model import USER_TYPES, Org, Outcome, Snapshot, UserType
from poller.core.poll_result import CountRefusal, combine
from poller.core.reply import NoReply, Reply, Retry, classify
from poller.core.secret import Secret
from poller.zoho.tokens import NoToken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from poller.core.reply import Classification
    from poller.core.token import AccessToken, StoredToken
    from poller.zoho.limiter import OrgLimiter
    from poller.zoho.org_info import OrgInfo
    from poller.zoho.seats import SeatCount, SeatRefusal

PASSES: Final = 3
"""How often a count is asked for at the most: the first time, and again after faults that may pass."""
FIRST_BACK_OFF_SECONDS: Final = 0.5
REFRESH_PAUSE_SECONDS: Final = 2.0
"""Between a token's renewal and the next request, and up to as much again by chance: a server that has just refused a
good token refuses the next one in the same moment."""
LONGEST_WAIT_SECONDS: Final = 20.0
"""A poll waits this long for its org's quota or for Zoho; anything longer is a matter for a later poll."""

HELD: Final = CountRefusal(Outcome.THROTTLED, admission.HELD)
"""Not asked: a 429 holds the org for longer than a poll waits."""

Ask = Callable[[str, str, UserType, Secret], Awaitable[Reply | NoReply]]
"""`ask(api_domain, version, user_type, token)`: one count request."""

_T = TypeVar("_T", int, "datetime")

log = structlog.get_logger("poller.polling.poll")


@dataclass(frozen=True, slots=True)
class PollPorts:
    """What a poll asks of the world; each is a function, so that a test's is one too."""

    ask: Ask
    get_token: Callable[[Org, StoredToken | None], Awaitable[AccessToken | NoToken]]
    """`get_token(org, known)`: `known` is the token the store had when the org was read."""
    renew_token: Callable[[Org, AccessToken], Awaitable[AccessToken | NoToken]]
    """`renew_token(org, stale)`: another than the one Zoho called invalid."""
    set_token_expiry: Callable[[Org, AccessToken, datetime], Awaitable[None]]
    """`set_token_expiry(org, token, ends_at)`: Zoho said of a token when it ends."""
    fetch_org_info: Callable[[Org, OrgLimiter], Awaitable[tuple[OrgInfo | CountRefusal | None, int]]]
    """`fetch_org_info(org, limiter)`: its edition and licences, as far as it says, and the requests that took."""
    read_seats: Callable[[Org, OrgLimiter], Awaitable[tuple[SeatCount | SeatRefusal | None, int]]]
    """`read_seats(org, limiter)`: the seats bought and used, or why it does not say, and the requests that took."""
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    """In [0, 1)."""
    classified: Callable[[Reply | NoReply, Classification], None] = lambda _reply, _verdict: None
    """Told of every count request that ended, and what it means."""


async def poll_org(
    org: Org,
    slot: datetime,
    limiter: OrgLimiter,
    world: PollPorts,
    *,
    known_token: StoredToken | None = None,
    late_seconds: int = 0,
    unanswered: Callable[[str], None] = lambda _code: None,
    prove: Callable[[], Awaitable[CountRefusal | None]] | None = None,
) -> Snapshot:
    """Ask `org` for its ten counts, once; the snapshot says what came of it.

    `unanswered(code)` is called when a pass over the counts ends without any reply: long before the poll ends, where
    every request takes the whole of its timeout. `prove()` is called between the token and the first count: no count is
    asked for where it returns a refusal.
    """
    polled_at = world.now()
    with structlog.contextvars.bound_contextvars(org=org.name, slot=slot.isoformat()):
        questions = _PollRun(org, limiter, world, unanswered)
        token = await world.get_token(org, known_token)
        if isinstance(token, NoToken):
            questions.refuse(USER_TYPES, CountRefusal(token.outcome, token.code))
        elif prove is not None and (refusal := await prove()) is not None:
            questions.refuse(USER_TYPES, refusal)
        else:
            await questions.run(token)
        settled = combine(questions.answers)
        if settled.counts and questions.throttled_at is None:
            limiter.recover()
        duration = world.now() - polled_at
        snapshot = Snapshot(
            org_id=org.id,
            slot=slot,
            polled_at=polled_at,
            outcome=settled.outcome,
            error=settled.error,
            errors=settled.errors,
            late_seconds=late_seconds,
            requests=questions.requests,
            duration_ms=max(round(duration.total_seconds() * 1_000), 0),
            credits_remaining=questions.credits_remaining,
            counts=settled.counts,
        )
        _report(snapshot)
        return snapshot


@dataclass(slots=True)
class _PollRun:
    """The ten questions of one poll, and what is known so far."""

    org: Org
    limiter: OrgLimiter
    world: PollPorts
    unanswered: Callable[[str], None]
    answers: dict[UserType, int | CountRefusal] = field(default_factory=dict)
    requests: int = 0
    credits_remaining: int | None = None
    throttled_at: datetime | None = None
    """When the first 429 came."""
    heard: bool = False
    """Something answered, whatever it said."""
    stale: bool = False
    """Zoho called the token invalid in this pass: what was not sent yet waits for the next token."""
    silence: CountRefusal | None = None
    """Nothing answers in this pass: what was not sent yet is not sent, or ten timeouts would follow one another."""
    wait_seconds: float = 0.0
    """What the faults of this pass asked for."""
    token_ends_at: datetime | None = None
    """As the replies of this pass say."""

    async def run(self, token: AccessToken) -> None:
        pending, passes, renewed = USER_TYPES, 0, False
        while pending:
            self._start_pass()
            pending = await self._ask_side_by_side(pending, token)
            if self.silence is not None and not self.heard:
                self.unanswered(self.silence.code)
            if self.token_ends_at is not None and not self.stale:
                await self.world.set_token_expiry(self.org, token, self.token_ends_at)
            if self.stale:
                # One refresh and one retry a poll, however many of the ten met the invalid token.
                if renewed:
                    return
                renewed = True
                fresh = await self.world.renew_token(self.org, token)
                if isinstance(fresh, NoToken):
                    self.refuse(pending, CountRefusal(fresh.outcome, fresh.code))
                    return
                token = fresh
                await self.world.sleep(REFRESH_PAUSE_SECONDS * (1 + self.world.jitter()))
            elif pending:
                passes += 1
                if passes == PASSES or self.wait_seconds > LONGEST_WAIT_SECONDS:
                    return
                back_off = FIRST_BACK_OFF_SECONDS * 3 ** (passes - 1) * (1 + self.world.jitter())
                await self.world.sleep(max(back_off, self.wait_seconds))

    def _start_pass(self) -> None:
        self.stale, self.silence, self.wait_seconds, self.token_ends_at = False, None, 0.0, None

    def refuse(self, user_types: tuple[UserType, ...], refusal: CountRefusal) -> None:
        self.answers.update(dict.fromkeys(user_types, refusal))

    async def _ask_side_by_side(self, pending: tuple[UserType, ...], token: AccessToken) -> tuple[UserType, ...]:
        """Ask these; which of them are worth asking again."""
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
                self.answers[user_type] = HELD
                continue
            try:
                if self._should_skip(user_type):  # by now
                    again.append(user_type)
                    continue
                self.requests += 1
                reply = await self.world.ask(token.api_domain, self.org.api_version, user_type, token.secret)
            finally:
                self.limiter.release()
            verdict = classify(reply, self.world.now())
            self.world.classified(reply, verdict)
            self._note(user_type, verdict)
            self.heard = self.heard or isinstance(reply, Reply)
            if verdict.outcome is Outcome.OK:
                continue
            if verdict.retry is Retry.BACK_OFF and not self.heard:
                self.silence = CountRefusal(verdict.outcome, verdict.code or verdict.outcome.value)
            if verdict.retry in {Retry.BACK_OFF, Retry.REFRESH_TOKEN}:
                again.append(user_type)

    def _max_wait(self) -> float:
        """Seconds this poll has left to wait for its org's quota: after a 429 no more than one wait in all."""
        if self.throttled_at is None:
            return LONGEST_WAIT_SECONDS
        waited = (self.world.now() - self.throttled_at).total_seconds()
        return max(LONGEST_WAIT_SECONDS - waited, 0.0)

    def _should_skip(self, user_type: UserType) -> bool:
        """Whether to wait for the next pass with this one."""
        if self.silence is not None:
            self.answers[user_type] = self.silence
        return self.stale or self.silence is not None

    def _note(self, user_type: UserType, verdict: Classification) -> None:
        if verdict.credits_remaining is not None:
            self.credits_remaining = _least(self.credits_remaining, verdict.credits_remaining)
        if verdict.token_ends_at is not None:
            self.token_ends_at = _least(self.token_ends_at, verdict.token_ends_at)
        if verdict.count is not None:
            self.answers[user_type] = verdict.count
            return
        self.answers[user_type] = CountRefusal(verdict.outcome, verdict.code or verdict.outcome.value)
        if verdict.retry is Retry.BACK_OFF:
            self.wait_seconds = max(self.wait_seconds, verdict.wait_seconds or 0.0)
        if verdict.retry is Retry.REFRESH_TOKEN:
            self.stale = True
        if verdict.outcome is Outcome.THROTTLED:
            self.throttled_at = self.throttled_at or self.world.now()
            self.limiter.throttle(verdict.wait_seconds)


def _least(known: _T | None, said: _T) -> _T:
    return said if known is None else min(known, said)


def _report(snapshot: Snapshot) -> None:
    """One event per poll; its level says whether somebody should look."""
    facts: dict[str, object] = {"outcome": snapshot.outcome.value, "requests": snapshot.requests}
    if snapshot.error is not None:
        facts["error"] = snapshot.error
    if snapshot.errors:
        facts["errors"] = {user_type.value: code for user_type, code in snapshot.errors.items()}
    event = log.info if snapshot.outcome in {Outcome.OK, Outcome.THROTTLED} else log.warning
    event("poll.finished", duration_ms=snapshot.duration_ms, **facts)
