"""Traces of polls for an OpenTelemetry collector, where the standard OTEL_* variables ask for them; else nothing.

An extra: its packages are imported only then, and where they are missing or a variable is wrong, one warning says so
and polls are made all the same. It refuses to set anything global and to put a secret into a span.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog

from poller import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from opentelemetry.sdk.trace import TracerProvider

    from poller.traces.spans import Spans

LAST_SECONDS: Final = 5.0
"""For what is left to send when everything else has ended."""
_SPOKEN: Final = "http/protobuf"

log = structlog.get_logger("poller.traces")


@asynccontextmanager
async def open_spans(environ: Mapping[str, str] = os.environ) -> AsyncIterator[Spans | None]:
    """What makes spans, sent as long as the context lasts and to their last at its end; None: no traces are wanted.

    The SDK reads the environment of the process for all that is not decided here: sampling, batches, headers, limits.
    """
    provider = _provider(environ) if _is_wanted(environ) else None
    if provider is None:
        yield None
        return
    from poller.traces.spans import Spans  # noqa: PLC0415 - it needs what may not be installed

    try:
        yield Spans(provider.get_tracer("poller", __version__))
    finally:
        await _send_the_rest(provider)


async def _send_the_rest(provider: TracerProvider) -> None:
    """Of a collector that is away no more is expected than a person would wait for."""
    loop, sent = asyncio.get_running_loop(), asyncio.Event()

    def send() -> None:
        provider.shutdown()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(sent.set)

    # The loop would wait for a thread of its own pool to the end, and so would the process for one that is no daemon.
    threading.Thread(target=send, name="traces", daemon=True).start()
    try:
        async with asyncio.timeout(LAST_SECONDS):
            await sent.wait()
    except TimeoutError:
        log.error(  # noqa: TRY400 - nothing to trace
            "traces.lost", waited_seconds=LAST_SECONDS, remedy="see whether the collector can be reached"
        )


def _is_wanted(environ: Mapping[str, str]) -> bool:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporters:
        return "otlp" in [name.strip() for name in exporters.split(",")]
    return bool(_of_traces(environ, "ENDPOINT")[1])


def _provider(environ: Mapping[str, str]) -> TracerProvider | None:
    fault = _fault(environ)
    if fault is None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - extra
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - extra

            from poller.traces.spans import provider_to  # noqa: PLC0415 - extra

            # Its warnings come once a span where a collector cannot keep up, and one of them quotes its headers.
            logging.getLogger("opentelemetry").setLevel(logging.ERROR)
            return provider_to(BatchSpanProcessor(OTLPSpanExporter()))
        except ImportError:
            remedy = "pip install 'zoho-user-count-poller[traces]', or unset OTEL_EXPORTER_OTLP_ENDPOINT"
            fault = "OpenTelemetry is not installed", remedy
        except (ValueError, OSError):
            # Its message may hold what a variable holds, and that may be a key of the collector's.
            fault = "OpenTelemetry cannot use one of the OTEL_* variables", "mend it, or unset them"
    log.warning("traces.not_sent", why=fault[0], remedy=fault[1])
    return None


def _fault(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """What is wrong with the variables, and the remedy."""
    name, protocol = _of_traces(environ, "PROTOCOL")
    if protocol not in {"", _SPOKEN}:
        return (
            f"{name} is not {_SPOKEN}",
            "set it to that, and the endpoint to the collector's port for it, as a rule 4318",
        )
    name, endpoint = _of_traces(environ, "ENDPOINT")
    if endpoint and not _is_address(endpoint):
        return f"{name} is not the address of a collector", "write one such as http://127.0.0.1:4318"
    return None


def _of_traces(environ: Mapping[str, str], what: str) -> tuple[str, str]:
    """The variable for traces or, where that is not set, the one for all signals; and its value."""
    name, of_all = f"OTEL_EXPORTER_OTLP_TRACES_{what}", f"OTEL_EXPORTER_OTLP_{what}"
    value = environ.get(name, "").strip()
    return (name, value) if value else (of_all, environ.get(of_all, "").strip())


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
