"""Hooks and events of polls and workers: metrics and traces implement them, polls and workers call them.

A hook gets a function once, when the poller is put together, and returns the function that is called instead. Without
metrics and traces it returns the same function, so that a poll costs nothing extra.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, Protocol

from poller.core.reply import NoReply, Reply
from poller.core.secret import Secret

if TYPE_CHECKING:
    from datetime import datetime

    from poller.core.admission import Poll, Record
    from poller.core.poll_state import PollState
    from poller.core.reply import Classification
    from poller.core.schedule import Due
    from poller.polling.ports import GetToken, RenewToken, RequestCount
    from poller.polling.results import PollResult
    from poller.zoho.token_request import Form

Get = Callable[[str, str, Secret], Awaitable[Reply | NoReply]]
"""`get(api_domain, path, token)`: any other request to an org."""
PostToken = Callable[[str, "Form"], Awaitable[Reply | NoReply]]
"""`post_token(accounts_server, form)`: a request to a token endpoint."""
Run = Callable[["PollState", "Poll | Record", Callable[[str], None]], Awaitable["PollResult"]]
"""`run(state, decision, unanswered)`: one poll; see `PollRunner.run`."""
Commit = Callable[[Sequence["PollResult"], bool], Awaitable[None]]
"""`commit(batch, new)`: writes results; see `PollRunner.commit`."""


class Instrumentation(Protocol):
    """Everything that metrics and traces may observe."""

    def wrap_run(self, run: Run) -> Run:
        """Hook around each poll."""

    def wrap_commit(self, commit: Commit) -> Commit:
        """Hook around the write of each batch of results."""

    def wrap_request_count(self, request: RequestCount) -> RequestCount:
        """Hook around each request for a count."""

    def wrap_get(self, get: Get) -> Get:
        """Hook around each other request to an org."""

    def wrap_post_token(self, post: PostToken) -> PostToken:
        """Hook around each request to a token endpoint."""

    def wrap_get_token(self, get: GetToken) -> GetToken:
        """Hook around each look-up of a token."""

    def wrap_renew_token(self, renew: RenewToken) -> RenewToken:
        """Hook around each renewal of a token that Zoho rejected."""

    def slots_enqueued(self, slots: int) -> None:
        """The scheduler added slots to the queue."""

    def slot_claimed(self, due: Due, now: datetime) -> None:
        """The worker claimed a slot."""

    def slots_requeued(self, reason: str, slots: int) -> None:
        """The worker put slots back into the queue."""

    def slots_missed(self, slots: int, reason: str) -> None:
        """The worker recorded slots as missed that were never in the queue."""

    def results_committed(self, batch: Sequence[PollResult]) -> None:
        """The rows of these results are committed."""

    def database_error(self) -> None:
        """PostgreSQL, or the connection to it, failed."""

    def request_classified(self, reply: Reply | NoReply, classification: Classification) -> None:
        """A request for a count ended, and this is its meaning."""

    def limiter_waited(self, seconds: float) -> None:
        """A request waited for its org's limits, until it was sent or gave up."""

    def token_issued(self) -> None:
        """Zoho issued an access token to this process."""


class NullInstrumentation(Instrumentation):
    """Observes nothing. Implementations derive from this class and define what they need."""

    def wrap_run(self, run: Run) -> Run:
        return run

    def wrap_commit(self, commit: Commit) -> Commit:
        return commit

    def wrap_request_count(self, request: RequestCount) -> RequestCount:
        return request

    def wrap_get(self, get: Get) -> Get:
        return get

    def wrap_post_token(self, post: PostToken) -> PostToken:
        return post

    def wrap_get_token(self, get: GetToken) -> GetToken:
        return get

    def wrap_renew_token(self, renew: RenewToken) -> RenewToken:
        return renew

    def slots_enqueued(self, slots: int) -> None: ...
    def slot_claimed(self, due: Due, now: datetime) -> None: ...
    def slots_requeued(self, reason: str, slots: int) -> None: ...
    def slots_missed(self, slots: int, reason: str) -> None: ...
    def results_committed(self, batch: Sequence[PollResult]) -> None: ...
    def database_error(self) -> None: ...
    def request_classified(self, reply: Reply | NoReply, classification: Classification) -> None: ...
    def limiter_waited(self, seconds: float) -> None: ...
    def token_issued(self) -> None: ...


NULL_INSTRUMENTATION: Final[Instrumentation] = NullInstrumentation()
EVENTS: Final = (
    "slots_enqueued",
    "slot_claimed",
    "slots_requeued",
    "slots_missed",
    "results_committed",
    "database_error",
    "request_classified",
    "limiter_waited",
    "token_issued",
)
HOOKS: Final = (
    "wrap_run",
    "wrap_commit",
    "wrap_request_count",
    "wrap_get",
    "wrap_post_token",
    "wrap_get_token",
    "wrap_renew_token",
)


def combine(*parts: Instrumentation | None) -> Instrumentation:
    """One instrumentation that passes everything on to each of these; None stands for nothing.

    Every hook and event goes only to those that implement it.
    """
    given = [part for part in parts if part is not None and part is not NULL_INSTRUMENTATION]
    if len(given) < 2:
        return given[0] if given else NULL_INSTRUMENTATION
    combined: Any = NullInstrumentation()
    for name in (*EVENTS, *HOOKS):
        calls = [getattr(part, name) for part in given if _implements(part, name)]
        if calls:
            setattr(combined, name, (_chained if name in HOOKS else _all)(calls))
    return combined  # type: ignore[no-any-return]  # its methods are set above


def _implements(part: Instrumentation, name: str) -> bool:
    return getattr(type(part), name) is not getattr(NullInstrumentation, name)


def _all(calls: Sequence[Callable[..., None]]) -> Callable[..., None]:
    if len(calls) == 1:
        return calls[0]

    def call(*args: Any) -> None:
        for one in calls:
            one(*args)

    return call


def _chained(hooks: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    return lambda function: reduce(lambda wrapped, hook: hook(wrapped), hooks, function)
