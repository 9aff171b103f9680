from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from poller.app import App, open_runner
from poller.core.datacenters import with_operators
from poller.core.model import USER_TYPES
from poller.polling.poll_all import poll_all
from poller.settings import Settings
from poller.simulator import Fault, Simulator, SimulatorOptions
from poller.traces.spans import Spans, provider_to
from tests.simulated_fleet import import_fleet
from tests.witness import WITNESS, Witness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from opentelemetry.sdk.trace import ReadableSpan

    from poller.core.reply import Reply
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

REQUESTS = [f"request {user_type.value}" for user_type in USER_TYPES]


class Traces:
    """The spans of one poll of a fleet, by org and parent."""

    def __init__(self, spans: tuple[ReadableSpan, ...]) -> None:
        self.spans = spans
        self.polls = {str(attributes(span)["poller.org"]): span for span in spans if span.parent is None}

    def under(self, parent: ReadableSpan) -> list[ReadableSpan]:
        """The children of a span in the order of their start."""
        found = [span for span in self.spans if span.parent is not None and span.parent == parent.context]
        return sorted(found, key=lambda span: span.start_time or 0)

    def named(self, parent: ReadableSpan, name: str) -> ReadableSpan:
        (found,) = [span for span in self.under(parent) if span.name == name]
        return found


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def stretch(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


@asynccontextmanager
async def fleet_of(sim: Simulator, database: Database, keyring: Keyring) -> AsyncIterator[App]:
    settings = Settings(data_centers=with_operators(sim.data_centers_setting()))
    await import_fleet(database, keyring, sim, settings.data_centers)
    yield App(settings, database, keyring)
    WITNESS.know_simulator(sim)


async def traced_poll(app: App, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> Traces:
    exporter = InMemorySpanExporter()
    provider = provider_to(SimpleSpanProcessor(exporter))
    async with open_runner(app, sleep=sleep, instrumentation=Spans(provider.get_tracer("poller"))) as runner:
        await poll_all(runner, None, lambda _: None)
    return Traces(exporter.get_finished_spans())


async def test_a_poll_is_one_trace_from_its_token_to_its_commit(database: Database, keyring: Keyring) -> None:
    options = SimulatorOptions(orgs=2, grant_share=0.0, soid_share=0.0)
    async with Simulator(options) as sim, fleet_of(sim, database, keyring) as app:
        first, second = await traced_poll(app), await traced_poll(app)
    names = [org.name for org in sim.fleet()]
    for name in names:
        poll = first.polls[name]
        children = first.under(poll)
        assert (children[0].name, children[-1].name) == ("token", "commit")
        assert sorted(span.name for span in children[1:-1]) == sorted(REQUESTS)
        told = attributes(poll)
        assert (told["poller.outcome"], told["poller.requests"]) == ("ok", 10)
        assert told["poller.data_center"] in sim.data_centers_setting()
        for span in children[1:-1]:
            assert span.kind is SpanKind.CLIENT
            assert attributes(span) == {
                "http.request.method": "GET",
                "http.response.status_code": 200,
                "server.address": "127.0.0.1",
                "poller.user_type": span.name.removeprefix("request "),
            }
        began, ended = stretch(poll)
        assert all(began <= stretch(span)[0] <= stretch(span)[1] <= ended for span in children)
        assert attributes(first.named(first.named(poll, "token"), "token request"))["http.response.status_code"] == 200
        assert first.under(first.named(poll, "token"))[0].kind is SpanKind.CLIENT
        assert second.under(second.named(second.polls[name], "token")) == [], "the token is kept"
    assert len({span.context.trace_id for span in first.spans if span.context}) == 2
    assert all(span.status.status_code is StatusCode.UNSET for span in first.spans)


async def test_all_polls_of_a_batch_have_a_commit_span_with_the_same_times_and_row_count(
    database: Database, keyring: Keyring
) -> None:
    async with Simulator(SimulatorOptions(orgs=3)) as sim, fleet_of(sim, database, keyring) as app:
        traces = await traced_poll(app)
    commits = [traces.named(poll, "commit") for poll in traces.polls.values()]
    assert len(commits) == 3
    begins: dict[int, int] = {}
    for commit in commits:
        begins[stretch(commit)[0]] = begins.get(stretch(commit)[0], 0) + 1
    for commit in commits:
        assert attributes(commit)["poller.batch_rows"] == begins[stretch(commit)[0]]


async def test_an_error_is_recorded_by_its_code_on_the_span_where_it_happened(
    database: Database, keyring: Keyring
) -> None:
    options = SimulatorOptions(orgs=4, grant_share=0.0, soid_share=0.0)
    async with Simulator(options) as sim, fleet_of(sim, database, keyring) as app:
        sim.add_faults(
            Fault(name="oauth_scope_mismatch", org=0, user_type="AdminUsers"),
            Fault(name="reset", org=1, user_type="AllUsers"),
            Fault(name="token_invalid_client", org=2),
        )
        traces = await traced_poll(app, lambda _: asyncio.sleep(0))
    polls = [traces.polls[org.name] for org in sim.fleet()]

    refused = traces.named(polls[0], "request AdminUsers")
    assert (attributes(refused)["http.response.status_code"], attributes(refused)["error.type"]) == (401, "401")
    assert refused.status.status_code is StatusCode.ERROR
    assert attributes(polls[0])["poller.errors"] == ("AdminUsers: OAUTH_SCOPE_MISMATCH",)

    asked = [span for span in traces.under(polls[1]) if span.name == "request AllUsers"]
    assert len(asked) == 3, "a fault that may pass is asked again"
    assert [attributes(span)["error.type"] for span in asked] == ["reset"] * 3

    token = traces.named(polls[2], "token")
    assert attributes(token) == {"poller.outcome": "unauthorized", "poller.error": "invalid_client"}
    assert token.status.status_code is StatusCode.ERROR
    assert [span.name for span in traces.under(polls[2])] == ["token", "commit"]
    assert [poll.status.status_code for poll in polls] == [StatusCode.ERROR] * 3 + [StatusCode.UNSET]


async def test_no_secret_is_in_any_span(database: Database, keyring: Keyring) -> None:
    witness = Witness()
    async with Simulator(SimulatorOptions(orgs=6, soid_share=0.5)) as sim, fleet_of(sim, database, keyring) as app:
        sim.add_faults(Fault(name="oauth_scope_mismatch", org=1), Fault(name="token_invalid_client", org=2))
        traces = await traced_poll(app)
        witness.know_simulator(sim)
    for span in traces.spans:
        witness.hear(span.name, span.to_json())
    assert len(witness.heard) > 10
    assert len(witness.secrets) > 18
    assert witness.known_leaks() == []


async def test_a_span_ended_by_an_exception_has_its_type_and_not_its_message() -> None:
    exporter = InMemorySpanExporter()
    provider = provider_to(SimpleSpanProcessor(exporter))
    spans = Spans(provider.get_tracer("poller"))

    async def post(accounts_server: str, form: object) -> Reply:
        raise OSError(f"{form} could not be sent to {accounts_server}")

    tracer = provider.get_tracer("poller")
    with tracer.start_as_current_span("poll"), pytest.raises(OSError, match="hunter2"):
        await spans.wrap_post_token(post)("https://accounts.zoho.eu", {"client_secret": "hunter2"})
    (span, _poll) = exporter.get_finished_spans()
    assert attributes(span)["error.type"] == "OSError"
    assert span.status.status_code is StatusCode.ERROR
    assert "hunter2" not in span.to_json()


async def test_polls_that_are_not_sampled_send_no_spans(
    database: Database, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    async with Simulator(SimulatorOptions(orgs=2)) as sim, fleet_of(sim, database, keyring) as app:
        traces = await traced_poll(app)
        assert await database.fetchval("SELECT count(*) FROM org_snapshots WHERE outcome = 'ok'") == 2
    assert traces.spans == ()
