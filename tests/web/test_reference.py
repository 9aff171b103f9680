"""The reference of the metrics and the metrics of a service are the same."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from poller.simulator import Simulator, SimulatorOptions
from poller.store import database as databases
from tests.acceptance.processes import machine, serving
from tests.simulated_fleet import import_by_command
from tests.web.scrape import served_at, values
from tests.worker.waiting import eventually

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "metrics.md"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
ALERT_TESTS = ALERTS.with_name("alerts.test.yml")

Told = dict[str, tuple[str, frozenset[str]]]
"""Type and labels, by name."""


def told() -> Told:
    found: Told = {}
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        names, kind, labels, *_ = [*(cell.strip() for cell in line.strip("|").split("|")), "", ""]
        for name in re.findall(r"`((?:poller|process)_\w+)`", names):
            found[name] = (kind.removeprefix("gauge "), frozenset(re.findall(r"`(\w+)`", labels)) - {"le"})
    return found


def shown(text: str) -> Told:
    found: Told = {}
    for family in text_string_to_metric_families(text):
        if family.name.endswith(("_gcount", "_gsum")):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        (labels,) = {frozenset(sample.labels) - {"le"} for sample in family.samples}
        found[name] = (family.type, labels)
    return found


async def test_the_metrics_of_a_service_are_exactly_those_of_the_reference(database_url: str, tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(orgs=3, grant_share=0.0, soid_share=0.0)) as sim:
        mine = machine(sim, database_url, POLLER_POLL_INTERVAL="2", POLLER_WEB_PORT="0", POLLER_METRICS_ORGS="3")
        await import_by_command(sim, tmp_path, mine.run)
        async with await databases.connect(database_url) as database:
            # Credits for a poll every other second.
            await database.execute("UPDATE orgs SET edition = 'ultimate', licences = 100000")
        async with serving(mine) as service:
            url = await served_at(service)
            text = await eventually(lambda: after_a_poll_and_a_maintenance_task(url), 60)
            assert shown(text) | shown(await scraped(f"{url}/metrics/orgs")) == told()
            found = values(text)
            assert found["poller_tokens_issued_total"] == found["poller_token_requests_total status=200"] == 3
            for slots in ("due", "claimed"):
                assert found[f"poller_slots_{slots}_total"] >= found["poller_polls_total outcome=ok"] >= 1
            # What is under way has asked and is not written yet.
            assert found["poller_requests_total outcome=ok status=200"] >= 10 * found["poller_polls_total outcome=ok"]
            assert found["poller_credits_spent_total"] >= 10 * found["poller_polls_total outcome=ok"]
        assert service.returncode == 0


def test_the_alert_rules_use_existing_metrics() -> None:
    alerts = ALERTS.read_text(encoding="utf-8")
    asked = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"poller_\w+", alerts)}
    assert asked
    assert asked <= set(told())


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("task", [("check", "rules", ALERTS.name), ("test", "rules", ALERT_TESTS.name)], ids=" ".join)
def test_the_alert_rules_are_valid_for_prometheus(task: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *task], cwd=ALERTS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def scraped(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.text()


async def after_a_poll_and_a_maintenance_task(url: str) -> str:
    text = await scraped(f"{url}/metrics")
    found = values(text)
    tasks = any(name.startswith("poller_chore_") for name in found)
    return text if tasks and found["poller_polls_total outcome=ok"] and found["poller_tokens_issued_total"] == 3 else ""
