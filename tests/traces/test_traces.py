"""When traces are sent; and the real command with a collector, with an unreachable one, and without."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import structlog

from poller.core.model import USER_TYPES
from poller.simulator import Simulator, SimulatorOptions
from poller.traces import LAST_SECONDS, open_spans
from tests.acceptance.processes import Machine, machine
from tests.simulated_fleet import import_by_command
from tests.traces.collector import collecting
from tests.witness import Witness

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
HERE = {ENDPOINT: "http://127.0.0.1:1", "POLLER_LOG_LEVEL": "info"}


async def with_a_fleet(sim: Simulator, database_url: str, folder: Path, **variables: str) -> Machine:
    mine = machine(sim, database_url, **variables)
    await import_by_command(sim, folder, mine.run)
    return mine


async def test_a_collector_receives_a_trace_of_every_poll_without_secrets(database_url: str, tmp_path: Path) -> None:
    witness = Witness()
    options = SimulatorOptions(orgs=3, grant_share=0.0, soid_share=0.0)
    async with Simulator(options) as sim, collecting() as collector:
        mine = await with_a_fleet(sim, database_url, tmp_path, **{ENDPOINT: collector.url})
        polled = await mine.run("poll")
        assert polled.code == 0, polled.err
        witness.know_simulator(sim)
    roots = {span.attributes["poller.org"]: span for span in collector.spans if not span.parent}
    assert set(roots) == {org.name for org in sim.fleet()}
    for root in roots.values():
        assert root.name == "poll"
        assert root.attributes["poller.outcome"] == "ok"
        assert root.resource["service.name"] == "poller"
        names = [span.name for span in collector.spans if span.parent == root.span]
        assert sorted(names) == sorted(["token", "commit", *(f"request {kind.value}" for kind in USER_TYPES)])
        assert len([span for span in collector.spans if span.trace == root.trace]) == 14
    for body in collector.bodies:
        witness.hear("the exporter", body)
    assert witness.secrets
    assert witness.known_leaks() == []


async def test_an_unreachable_collector_loses_no_poll_and_delays_the_end_by_a_few_seconds(
    database_url: str, tmp_path: Path
) -> None:
    async with Simulator(SimulatorOptions(orgs=2, grant_share=0.0, soid_share=0.0)) as sim:
        mine = await with_a_fleet(sim, database_url, tmp_path, **HERE)
        polled = await mine.run("poll")
    assert polled.code == 0, polled.err
    assert "2 orgs: 2 ok" in polled.out
    events = [json.loads(line) for line in polled.err.splitlines()]
    assert [event["event"] for event in events if event["level"] != "info"] == ["traces.lost"]
    took = datetime.fromisoformat(events[-1]["timestamp"]) - datetime.fromisoformat(events[-2]["timestamp"])
    assert took < timedelta(seconds=LAST_SECONDS + 5)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {ENDPOINT: " "},
        HERE | {"OTEL_SDK_DISABLED": "True"},
        HERE | {"OTEL_TRACES_EXPORTER": "none"},
        HERE | {"OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_SERVICE_NAME": "poller"},
    ],
    ids=str,
)
async def test_no_trace_is_sent_without_the_settings_for_it(environ: dict[str, str]) -> None:
    with structlog.testing.capture_logs() as logs:
        async with open_spans(environ) as spans:
            assert spans is None
    assert logs == []


@pytest.mark.parametrize(
    "environ",
    [
        HERE,
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector.example/v1/traces"},
        {"OTEL_TRACES_EXPORTER": "otlp"},
        HERE | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
    ],
    ids=str,
)
async def test_the_standard_variables_turn_traces_on(environ: dict[str, str]) -> None:
    async with open_spans(environ) as spans:
        assert spans is not None


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({ENDPOINT: "127.0.0.1:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT is not the address of a collector"),
        ({ENDPOINT: "http://"}, "OTEL_EXPORTER_OTLP_ENDPOINT is not the address of a collector"),
        ({ENDPOINT: "http://[::1"}, "OTEL_EXPORTER_OTLP_ENDPOINT is not the address of a collector"),
        (HERE | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is not http/protobuf"),
    ],
)
async def test_an_invalid_tracing_variable_is_one_warning_with_a_remedy_and_does_not_stop_polls(
    environ: dict[str, str], why: str
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with open_spans(environ) as spans:
            assert spans is None
    (warning,) = logs
    assert (warning["event"], warning["log_level"], warning["why"]) == ("traces.not_sent", "warning", why)
    assert warning["remedy"]


async def test_a_tracing_variable_that_opentelemetry_refuses_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with structlog.testing.capture_logs() as logs:
        async with open_spans(HERE) as spans:
            assert spans is None
    assert [entry["why"] for entry in logs] == ["OpenTelemetry cannot use one of the OTEL_* variables"]


def test_without_tracing_variables_opentelemetry_is_not_imported() -> None:
    script = """
import sys
import poller.app, poller.traces, poller.cli.commands.poll, poller.cli.commands.service, poller.worker, poller.web
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_the_tracing_extra_a_warning_names_what_to_install() -> None:
    script = """
import asyncio, sys
sys.modules["opentelemetry"] = None
from poller import log
from poller.traces import open_spans
log.configure(log_format="json", level="info")
async def main():
    async with open_spans({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) as spans:
        assert spans is None
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    (warning,) = done.stderr.splitlines()
    assert "pip install 'zoho-user-count-poller[traces]'" in warning
