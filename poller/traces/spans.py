"""One trace per poll: the poll, and in it the token, each request, and the commit of the row.

    poll                 org, slot, outcome: from its start until its row is committed
      token              the reason, if there is none
        token request    only if a new token was requested
      request AllUsers   one of ten: HTTP status, or why there was no reply
      commit             of the batch: the same period in the trace of each of its polls

A batch contains hundreds of polls: a span of its own would need a link to each, and OpenTelemetry keeps 128. Gaps
between spans are waits: before a request for the org's limits, before the commit for the batch to be full.

The hooks wrap functions, so that without traces nothing is wrapped. No trace context is sent to Zoho, and no span holds
a token, a credential or a body: spans have names, codes and numbers.
"""

from __future__ import annotations

from dataclasses import replace
from time import time_ns
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span, set_span_in_context, use_span

from poller import __version__
from poller.core.model import Outcome
from poller.core.reply import NoReply, Reply
from poller.polling.instrumentation import NullInstrumentation
from poller.zoho.tokens import NoToken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Tracer

    from poller.core.admission import Poll, Record
    from poller.core.model import Org, Snapshot, UserType
    from poller.core.poll_state import PollState
    from poller.core.secret import Secret
    from poller.core.token import AccessToken
    from poller.polling.instrumentation import Commit, Get, PostToken, Run
    from poller.polling.ports import GetToken, RenewToken, RequestCount
    from poller.polling.results import PollResult
    from poller.zoho.token_request import Form

T = TypeVar("T")
Replied = Reply | NoReply

_FAILED = Status(StatusCode.ERROR)


def provider_to(processor: SpanProcessor) -> TracerProvider:
    """A provider of spans with the sampler of the environment, which passes them to a processor."""
    resource = Resource.create({SERVICE_VERSION: __version__})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "poller"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


class Spans(NullInstrumentation):
    """Makes spans of polls and their requests, without changing their results."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def wrap_run(self, run: Run) -> Run:
        """A span for every poll, which ends when its row is committed."""

        async def traced(state: PollState, decision: Poll | Record, unanswered: Callable[[str], None]) -> PollResult:
            org = state.org
            attributes: dict[str, str | int] = {
                "poller.org": org.name,
                "poller.org_id": org.id,
                "poller.data_center": org.data_center,
                "poller.slot": state.slot.isoformat(),
            }
            span = self._tracer.start_span("poll", attributes=attributes)
            result = await _within(span, run(state, decision, unanswered))
            if not span.is_recording():
                return result
            _note(span, result.snapshot)
            return replace(result, trace=span)

        return traced

    def wrap_commit(self, commit: Commit) -> Commit:
        """A span for the commit in the trace of every poll of the batch; then the traces end."""

        async def traced(batch: Sequence[PollResult], new: bool) -> None:
            started_at = time_ns()
            await commit(batch, new)
            for one in batch:
                if isinstance(one.trace, Span):
                    context, rows = set_span_in_context(one.trace), {"poller.batch_rows": len(batch)}
                    self._tracer.start_span("commit", context, attributes=rows, start_time=started_at).end()
                    one.trace.end()

        return traced

    def wrap_request_count(self, request: RequestCount) -> RequestCount:
        """A span for every request for a count."""

        async def traced(api_domain: str, version: str, user_type: UserType, token: Secret) -> Replied:
            if not _is_traced():
                return await request(api_domain, version, user_type, token)
            span = self._request(f"request {user_type.value}", "GET", api_domain)
            span.set_attribute("poller.user_type", user_type.value)
            return await self._reply(span, request(api_domain, version, user_type, token))

        return traced

    def wrap_get(self, get: Get) -> Get:
        """A span for every other request to an org."""

        async def traced(api_domain: str, path: str, token: Secret) -> Replied:
            if not _is_traced():
                return await get(api_domain, path, token)
            name = f"request {path.rpartition('/')[2]}"
            return await self._reply(self._request(name, "GET", api_domain), get(api_domain, path, token))

        return traced

    def wrap_post_token(self, post: PostToken) -> PostToken:
        """A span for every request to a token endpoint."""

        async def traced(accounts_server: str, form: Form) -> Replied:
            if not _is_traced():
                return await post(accounts_server, form)
            span = self._request("token request", "POST", accounts_server)
            return await self._reply(span, post(accounts_server, form))

        return traced

    def wrap_get_token(self, get: GetToken) -> GetToken:
        """A span for every look-up of a token."""
        return self._token(get)

    def wrap_renew_token(self, renew: RenewToken) -> RenewToken:
        """A span for every renewal of a token."""
        return self._token(renew)

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


def _is_traced() -> bool:
    """Whether the current poll was sampled: a span of another poll would be discarded anyway."""
    return get_current_span().is_recording()


async def _within(span: Span, work: Awaitable[T]) -> T:
    """Awaits `work` with this span as the current one; after an exception the span ends with the type of the error.

    The message of the error is left out: only the log hides secrets.
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
    """Sets the attributes of a finished poll. A throttled poll has not failed."""
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
