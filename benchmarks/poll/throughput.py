"""The whole line beside a bare aiohttp loop: requests per second, processor time, the slowest requests, handshakes.

Both ask the same server in the same run, turn by turn. The poller reads its orgs from PostgreSQL, reserves their
credits, keeps every limit, judges every reply and commits every row; its tokens were obtained beforehand.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.aims import Figure, of_pairs, show
from benchmarks.poll.lab import certificates, lab

if TYPE_CHECKING:
    from benchmarks.poll.lab import Lab, Run


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked how."""

    title: str
    in_flight: int
    orgs: int
    least_share: float
    latency_seconds: float = 0.0
    tls: bool = False


CASES = {
    "plain": Case("plain http", 64, 2_000, 0.90),
    "tls": Case("verified TLS", 64, 2_000, 0.90, tls=True),
    "far": Case("plain http, 50 ms away", 500, 4_000, 0.85, latency_seconds=0.05),
}
MOST_CPU = 1.15
MOST_P99 = 5.0


async def measure(case: Case, rounds: int, orgs: int | None) -> None:
    """Print the table of one case."""
    orgs = orgs or case.orgs
    async with AsyncExitStack() as stack:
        tls = await stack.enter_async_context(certificates()) if case.tls else None
        opened = await stack.enter_async_context(
            lab(orgs, case.in_flight, latency_seconds=case.latency_seconds, tls=tls)
        )
        show(
            f"Throughput: {case.title}, {case.in_flight} in flight",
            await _figures(opened, case, rounds, 10 * orgs),
            [f"{orgs:,} orgs, {10 * orgs:,} requests a round; medians of {rounds}, ratios taken round by round."],
        )


async def _figures(opened: Lab, case: Case, rounds: int, requests: int) -> list[Figure]:
    bare: list[Run] = []
    polled: list[Run] = []
    handshakes, server_busy, store_cpu = [], [], []
    for _ in range(rounds):
        bare.append(await opened.bare(requests))
        before, store_before = await opened.responder.figures(), opened.postgresql_cpu_seconds()
        polled.append(await opened.poll())
        after, store_after = await opened.responder.figures(), opened.postgresql_cpu_seconds()
        handshakes.append(after.connections - before.connections)
        server_busy.append((after.cpu_seconds - before.cpu_seconds) / polled[-1].seconds)
        store_cpu.append(1_000_000 * (store_after - store_before) / requests)
    assert all(one.requests == requests for one in polled)
    slow, bare_slow = await opened.poll(times=True), await opened.bare(requests, times=True)
    share = of_pairs((one.rate for one in polled), (one.rate for one in bare))
    figures = [
        Figure("bare aiohttp, requests/s", median(one.rate for one in bare), "{:,.0f}"),
        Figure("poller, requests/s", median(one.rate for one in polled), "{:,.0f}"),
        Figure("- of bare aiohttp", share, "{:.0%}", at_least=case.least_share),
        Figure("bare aiohttp, ms of processor time per 1,000 requests", median(one.cpu_ms for one in bare), "{:.1f}"),
        Figure("poller", median(one.cpu_ms for one in polled), "{:.1f}"),
        Figure(
            "- of bare aiohttp",
            of_pairs((one.cpu_ms for one in polled), (one.cpu_ms for one in bare)),
            "{:.2f}",
            at_most=MOST_CPU,
        ),
        Figure("PostgreSQL, ms per 1,000 requests", median(store_cpu), "{:.1f}"),
        Figure("poller, p50 of a request, ms", slow.latency_ms(0.50), "{:.1f}"),
        Figure("poller, p99", slow.latency_ms(0.99), "{:.1f}"),
        Figure("- p99 / p50", slow.latency_ms(0.99) / slow.latency_ms(0.50), "{:.1f}", at_most=MOST_P99),
        Figure("bare aiohttp, p99 / p50", bare_slow.latency_ms(0.99) / bare_slow.latency_ms(0.50), "{:.1f}"),
        Figure("the server's share of its core", median(server_busy), "{:.0%}"),
    ]
    if case.tls:
        figures.append(Figure("TLS handshakes a round", max(handshakes), "{:.0f}", at_most=case.in_flight))
    return figures
