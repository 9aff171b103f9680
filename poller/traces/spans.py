"""One trace a poll: the poll, and within it its token, each of its requests, and the commit of its row.

    poll                 org, slot, outcome: from its begin until its row is safe
      token              where there is none: why not
        token request    only where Zoho was asked for one
      request AllUsers   one of ten: HTTP status, or why there was no reply
      commit             of the batch: the same stretch of time in the trace of each of its polls

A batch holds hundreds of polls: a span of its own would need a link to each, and OpenTelemetry keeps 128. The gaps tell
of waiting: before a request for the org's limits, before the commit for the batch to be full.

What is wrapped are the functions a `PollPorts` and the token flow are made of, so that without traces nothing is. It
refuses to pass a trace on to Zoho, and to look at a token, a credential or a body: a span has names, codes and numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from time import time_ns
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode, get_current_span, set_span_in_context, use_span

from poller import __version__
from poller.core.model import Outcome
from poller.core.reply import NoReply, Reply
from poller.polling.runner import PollResult, PollRunner
from poller.zoho.tokens import NoToken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span, Tracer

    from poller.core.model import Org, Snapshot, UserType
    from poller.core.secret import Secret
    from poller.core.token import AccessToken
    from poller.polling.plan import Plan
    from poller.polling.poll import PollPorts
    from poller.settings import Settings
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.zoho.limiter import Limiter
    from poller.zoho.token_request import Form

T = TypeVar("T")
Replied = Reply | NoReply

_FAILED = Status(StatusCode.ERROR)


def provider_to(processor: SpanProcessor) -> TracerProvider:
    """Spans of this service, by the sampler of the environment, to a processor."""
    resource = Resource.create({SERVICE_VERSION: __version__})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "poller"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


class Spans:
    """Makes spans of what is asked, without changing what comes of it."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def fleet(
        self, settings: Settings, database: Database, keyring: Keyring, limiter: Limiter, world: PollPorts
    ) -> TracedFleet:
        """A fleet with a trace for every poll."""
        traced = replace(
            world,
            ask=self._ask(world.ask),
            get_token=self._token(world.get_token),
            renew_token=self._token(world.renew_token),
        )
        return TracedFleet(settings, database, keyring, limiter, traced, tracer=self._tracer)

    def get(
        self, get: Callable[[str, str, Secret], Awaitable[Replied]]
    ) -> Callable[[str, str, Secret], Awaitable[Replied]]:
        """`get(api_domain, path, token)`: any other request to an org."""

        async def traced(api_domain: str, path: str, token: Secret) -> Replied:
            if not _is_traced():
                return await get(api_domain, path, token)
            name = f"request {path.rpartition('/')[2]}"
            return await self._reply(self._request(name, "GET", api_domain), get(api_domain, path, token))

        return traced

    def post(self, post: Callable[[str, Form], Awaitable[Replied]]) -> Callable[[str, Form], Awaitable[Replied]]:
        """`post(accounts_server, form)`: a token request."""

        async def traced(accounts_server: str, form: Form) -> Replied:
            if not _is_traced():
                return await post(accounts_server, form)
            span = self._request("token request", "POST", accounts_server)
            return await self._reply(span, post(accounts_server, form))

        return traced

    def _ask(
        self, ask: Callable[[str, str, UserType, Secret], Awaitable[Replied]]
    ) -> Callable[[str, str, UserType, Secret], Awaitable[Replied]]:
        async def traced(api_domain: str, version: str, user_type: UserType, token: Secret) -> Replied:
            if not _is_traced():
                return await ask(api_domain, version, user_type, token)
            span = self._request(f"request {user_type.value}", "GET", api_domain)
            span.set_attribute("poller.user_type", user_type.value)
            return await self._reply(span, ask(api_domain, version, user_type, token))

        return traced

    def _token(
        self, get: Callable[[Org, T], Awaitable[AccessToken | NoToken]]
    ) -> Callable[[Org, T], Awaitable[AccessToken | NoToken]]:
        async def traced(org: Org, known: T) -> AccessToken | NoToken:
            if not _is_traced():
                return await get(org, known)
            span = self._tracer.start_span("token")
            found = await _within(span, get(org, known))
            if isinstance(found, NoToken):
                span.set_attributes({"poller.outcome": found.outcome.value, "poller.error": found.code})
                span.set_status(_FAILED)
            span.end()
            return found

        return traced

    def _request(self, name: str, method: str, server: str) -> Span:
        """Attributes by OpenTelemetry's conventions for HTTP clients; no URL and no header."""
        attributes = {"http.request.method": method, "server.address": urlsplit(server).hostname or ""}
        return self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)

    async def _reply(self, span: Span, request: Awaitable[Replied]) -> Replied:
        reply = await _within(span, request)
        if isinstance(reply, NoReply):
            span.set_attribute("error.type", reply.failure.value)
            span.set_status(_FAILED)
        else:
            span.set_attribute("http.response.status_code", reply.status)
            if reply.status >= 400:
                span.set_attribute("error.type", str(reply.status))
                span.set_status(_FAILED)
        span.end()
        return reply


@dataclass(frozen=True, slots=True)
class TracedPolled(PollResult):
    """A poll on its way to the store, and its span, which ends there."""

    span: Span | None = None


class TracedFleet(PollRunner):
    """A `PollRunner` each of whose polls is a trace."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        keyring: Keyring,
        limiter: Limiter,
        world: PollPorts,
        *,
        tracer: Tracer,
    ) -> None:
        super().__init__(settings, database, keyring, limiter, world)
        self._tracer = tracer

    async def carry_out(self, plan: Plan, unanswered: Callable[[str], None] = lambda _code: None) -> PollResult:
        """The same, in a span that ends once the row is safe."""
        org = plan.pollable.org
        attributes: dict[str, str | int] = {
            "poller.org": org.name,
            "poller.org_id": org.id,
            "poller.data_center": org.data_center,
            "poller.slot": plan.slot.isoformat(),
        }
        span = self._tracer.start_span("poll", attributes=attributes)
        polled = await _within(span, super().carry_out(plan, unanswered))
        if not span.is_recording():
            return polled
        _note(span, polled.snapshot)
        known = {one.name: getattr(polled, one.name) for one in fields(PollResult)}
        return TracedPolled(**known, span=span)

    async def write(self, batch: Sequence[PollResult], *, new: bool = False) -> None:
        """The same; then each poll's trace has its commit, and ends."""
        began = time_ns()
        await super().write(batch, new=new)
        for one in batch:
            if isinstance(one, TracedPolled) and one.span is not None:
                context, rows = set_span_in_context(one.span), {"poller.batch_rows": len(batch)}
                self._tracer.start_span("commit", context, attributes=rows, start_time=began).end()
                one.span.end()


def _is_traced() -> bool:
    """Whether this happens within a poll that was chosen to be traced: else a span would cost and tell nothing."""
    return get_current_span().is_recording()


async def _within(span: Span, work: Awaitable[T]) -> T:
    """Await it with this span as the current one; where it is broken off, the span ends with the kind of the error.

    Not its message: that is for the log, which hides secrets.
    """
    try:
        with use_span(span, record_exception=False, set_status_on_exception=False):
            return await work
    except BaseException as error:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(_FAILED)
        span.end()
        raise


def _note(span: Span, snapshot: Snapshot) -> None:
    """What came of a poll. Throttled is not failed."""
    span.set_attributes(
        {
            "poller.outcome": snapshot.outcome.value,
            "poller.requests": snapshot.requests,
            "poller.late_seconds": snapshot.late_seconds,
        }
    )
    if snapshot.error is not None:
        span.set_attribute("poller.error", snapshot.error)
        span.set_attribute("poller.errors", [f"{kind.value}: {code}" for kind, code in snapshot.errors.items()])
        if snapshot.outcome is not Outcome.THROTTLED:
            span.set_status(_FAILED)
