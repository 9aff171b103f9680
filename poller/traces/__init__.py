"""Traces of polls for an OpenTelemetry collector, if the standard OTEL_* variables ask for them.

OpenTelemetry is an extra: its packages are imported only then. If they are missing, or a variable is wrong, one warning
says so and polls run without traces. Nothing global is set, and no secret is in a span.
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
"""Time to send the remaining spans after everything else has ended."""
_PROTOCOL: Final = "http/protobuf"

log = structlog.get_logger("poller.traces")


@asynccontextmanager
async def open_spans(environ: Mapping[str, str] = os.environ) -> AsyncIterator[Spans | None]:
    """Yields instrumentation that makes spans and sends them, the last at the end of the context; None without traces.

    The SDK reads the environment for everything else: sampling, batches, headers, limits.
    """
    provider = _provider(environ) if _is_wanted(environ) else None
    if provider is None:
        yield None
        return
    from poller.traces.spans import Spans  # noqa: PLC0415 - it needs what may not be installed

    try:
        yield Spans(provider.get_tracer("poller", __version__))
    finally:
        await _flush(provider)


async def _flush(provider: TracerProvider) -> None:
    """Sends the remaining spans, and gives up after a few seconds if the collector is unreachable."""
    loop, sent = asyncio.get_running_loop(), asyncio.Event()

    def send() -> None:
        provider.shutdown()
        with suppress(RuntimeError):  # the loop is closed, so nothing waits
            loop.call_soon_threadsafe(sent.set)

    # The loop would wait for a thread of its own pool, and the process for a thread that is not a daemon.
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

            # If the collector is too slow, OpenTelemetry logs a warning per span, and one of them quotes its headers.
            logging.getLogger("opentelemetry").setLevel(logging.ERROR)
            return provider_to(BatchSpanProcessor(OTLPSpanExporter()))
        except ImportError:
            remedy = "pip install 'zoho-user-count-poller[traces]', or unset OTEL_EXPORTER_OTLP_ENDPOINT"
            fault = "OpenTelemetry is not installed", remedy
        except (ValueError, OSError):
            # The message may quote a variable, which may contain a key of the collector.
            fault = "OpenTelemetry cannot use one of the OTEL_* variables", "correct it, or unset them"
    log.warning("traces.not_sent", why=fault[0], remedy=fault[1])
    return None


def _fault(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """What is wrong with the variables, and the remedy; None if nothing is."""
    name, protocol = _of_traces(environ, "PROTOCOL")
    if protocol not in {"", _PROTOCOL}:
        return (
            f"{name} is not {_PROTOCOL}",
            "set it to that, and the endpoint to the collector's port for it, usually 4318",
        )
    name, endpoint = _of_traces(environ, "ENDPOINT")
    if endpoint and not _is_address(endpoint):
        return f"{name} is not the address of a collector", "write one such as http://127.0.0.1:4318"
    return None


def _of_traces(environ: Mapping[str, str], what: str) -> tuple[str, str]:
    """The name and the value of the variable for traces or, if that is unset, of the variable for all signals."""
    name, of_all = f"OTEL_EXPORTER_OTLP_TRACES_{what}", f"OTEL_EXPORTER_OTLP_{what}"
    value = environ.get(name, "").strip()
    return (name, value) if value else (of_all, environ.get(of_all, "").strip())


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
