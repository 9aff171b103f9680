"""The poller beside Zoho's own Python SDK with eight threads, over plain http and over verified TLS.

The SDK lives in an environment of its own, made as for the tests. Both trust the same file of authorities: the SDK's
usual ones and the one that signed the responder's certificate.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.aims import Figure, of_pairs, show
from benchmarks.poll.lab import Lab, Run, certificates, lab
from tests.simulator.zoho_sdk import SdkMissingError, sdk_python

THREADS: Final = 8
IN_FLIGHT: Final = 64
ORGS: Final = 1_000
REQUESTS: Final = {"plain http": 2_000, "verified TLS": 160}
"""Of the SDK, a round: some seconds of its time."""
LEAST: Final = {"plain http": 10.0, "verified TLS": 100.0}


async def measure(rounds: int, orgs: int | None) -> None:
    """Print one table of both; or why there is no SDK."""
    try:
        python = await asyncio.to_thread(sdk_python)
    except SdkMissingError as missing:
        print(f"\n{missing}")
        return
    usual = await _output(python, "import certifi; print(certifi.contents())")
    figures: list[Figure] = []
    for what, requests in REQUESTS.items():
        async with AsyncExitStack() as stack:
            tls = await stack.enter_async_context(certificates(usual)) if what == "verified TLS" else None
            opened = await stack.enter_async_context(lab(orgs or ORGS, IN_FLIGHT, tls=tls))
            with_sdk: list[Run] = []
            polled: list[Run] = []
            connections = []
            for _ in range(rounds):
                before = await opened.responder.figures()
                with_sdk.append(await _ask(python, opened, requests, tls.bundle if tls else None))
                after = await opened.responder.figures()
                connections.append((after.connections - before.connections) / (after.requests - before.requests))
                polled.append(await opened.poll())
        figures += [
            Figure(f"{what}: the SDK, requests/s", median(one.rate for one in with_sdk), "{:,.0f}"),
            Figure("poller, requests/s", median(one.rate for one in polled), "{:,.0f}"),
            Figure(
                "- times the SDK",
                of_pairs((one.rate for one in polled), (one.rate for one in with_sdk)),
                "{:.0f}",
                at_least=LEAST[what],
            ),
            Figure("the SDK, connections a request", median(connections)),
            Figure(
                "the SDK, ms of processor time per 1,000 requests", median(one.cpu_ms for one in with_sdk), "{:,.0f}"
            ),
            Figure("poller", median(one.cpu_ms for one in polled), "{:,.0f}"),
        ]
    show(
        f"Zoho's Python SDK, {THREADS} threads, and the poller, {IN_FLIGHT} in flight",
        figures,
        [f"The poller commits a row per org, the SDK keeps nothing. Medians of {rounds}, turn by turn."],
    )


async def _ask(python: Path, opened: Lab, requests: int, bundle: Path | None) -> Run:
    work = {"base": opened.responder.url, "requests": requests, "threads": THREADS}
    environment = {"PATH": os.environ.get("PATH", ""), "NO_PROXY": "*"}
    if bundle is not None:
        environment["REQUESTS_CA_BUNDLE"] = str(bundle)
    driver = await asyncio.create_subprocess_exec(
        *(python, "-I", Path(__file__).with_name("sdk_driver.py")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    out, _ = await driver.communicate(json.dumps(work).encode())
    assert driver.returncode == 0
    return Run(requests // THREADS * THREADS, **json.loads(out))


async def _output(python: Path, code: str) -> bytes:
    process = await asyncio.create_subprocess_exec(python, "-I", "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out
