"""`--json` works for every command that prints facts: one object, or one object per line."""

from __future__ import annotations

import asyncio
import csv
import json
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.slots import slot_of
from poller.store.database import connect
from poller.store.series.snapshots import write_snapshots
from tests.alert_rows import add_alert
from tests.cli.command_tree import commands

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command import Ended

    Poller = Callable[..., Ended]

DO_NOT_LIST: Final = {
    # They change something, and say so in a sentence.
    *("access add", "access revoke"),
    *("migrate", "keys rotate", "backup", "restore", "export", "demo"),
    *(f"orgs {name}" for name in ("import", "add", "set", "rename", "pause", "resume", "remove", "restore")),
    *(f"alerts {name}" for name in ("ack", "snooze", "test")),
    *(f"alerts rules {name}" for name in ("add", "set", "remove", "exclude")),
    # They serve until they are stopped.
    *("run", "web", "simulate"),
    # It is another program.
    "psql",
}
"""Commands that print no facts. Any other command, new ones included, has to take `--json`."""

LISTINGS: Final = {
    " ".join(path): path
    for path in commands()
    if " ".join(path) not in DO_NOT_LIST
    # A group of commands: others begin with its name.
    and not any(other[: len(path)] == path and other != path for other in commands())
}
ARGUMENTS: Final = {
    **{key: ["acme"] for key in ("orgs show", "orgs check", "poll")},
    "alerts rules test": ["step"],
    "report": ["--out", "report.html"],
}
"""Of the commands that want an org or a rule, or would ask every org."""
OF_SERIES: Final = ("forecast", "anomalies")


@pytest.fixture
def fleet(poller: Poller, on_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """`acme`, whose counts of the last 40 days are known but for the last slot, with a step."""
    centre = {"accounts_server": "http://127.0.0.1:1", "api_domains": ["http://127.0.0.1:1"]}
    monkeypatch.setenv("POLLER_DATA_CENTERS", json.dumps({"lab": centre}))
    (tmp_path / "orgs.jsonl").write_text(
        '{"name": "acme", "data_center": "lab", "client_id": "1000.ABCDEF", "client_secret": "s3cr3t-of-acme",'
        ' "refresh_token": "1000.abcdef.123456", "edition": "enterprise", "licences": 60, "tags": "gold"}'
    )
    assert poller("orgs", "import", "orgs.jsonl").err == ""
    assert poller("access", "add", "noc", "--may", "read").code == 0
    assert poller("alerts", "rules", "exclude", "step", "--type", "DeletedUsers").code == 0

    async def write() -> None:
        async with await connect(on_database) as database:
            now = await database.fetchval("SELECT now()")
            await database.execute("UPDATE rollup_state SET rolled_until = $1", (now - timedelta(days=41)).date())
            await database.execute(
                "INSERT INTO found_anomalies (org_id, day, user_type, kind, severity, why, found_at)"
                " VALUES (1, (now() AT TIME ZONE 'UTC')::date - 1, 'ActiveUsers', 'step', 'high', 'why', now())"
            )
            days = [slot_of(now - timedelta(days=days), 900) for days in range(40, 0, -1)]
            known = [
                Snapshot(1, slot, slot, Outcome.OK, counts=dict.fromkeys(USER_TYPES, 5 if place < 35 else 50))
                for place, slot in enumerate(days)
            ]
            failed = Snapshot(1, slot_of(now - timedelta(hours=1), 900), now, Outcome.UNAVAILABLE, "timeout")
            await write_snapshots(database, [*known, failed])
            await add_alert(database, "seats_used", 1)

    asyncio.run(write())
    return on_database


def objects(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.out.splitlines()]


@pytest.mark.parametrize("name", LISTINGS)
def test_every_command_that_prints_facts_takes_json_and_prints_one_object_per_line(
    poller: Poller, fleet: str, name: str
) -> None:
    ended = poller(*LISTINGS[name], "--json", *ARGUMENTS.get(name, []))
    assert ended.code in {0, 1}, ended.err
    assert objects(ended), ended.err
    assert all(isinstance(one, dict) for one in objects(ended))


@pytest.mark.parametrize("name", ["gaps", "trend"])
def test_the_option_json_prints_the_objects_of_format_json(poller: Poller, fleet: str, name: str) -> None:
    listed = json.loads(poller(name, "acme", "--format", "json").out)
    assert listed == objects(poller(name, "acme", "--json"))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["gaps", "--json", "--format", "csv"], "--json and --format csv ask for two formats; give one of the two"),
        (["trend", "--json", "--format", "json"], "--json and --format json ask for two formats; give one of the two"),
        (["trend", "--json", "--plot", "a.png"], "--plot draws a picture and --json writes text; give one of the two"),
        (["gaps", "--json", "--bom"], "--bom is for CSV; give --format csv too"),
    ],
)
def test_json_together_with_another_format_is_refused(
    poller: Poller, on_database: str, arguments: list[str], error: str
) -> None:
    ended = poller(*arguments)
    assert (ended.code, ended.out, ended.error) == (2, "", f"poller: {error}")


@pytest.mark.parametrize("name", OF_SERIES)
def test_results_for_a_file_of_series_can_be_printed_as_json(poller: Poller, tmp_path: Path, name: str) -> None:
    values = [*range(100, 220), *[0] * 20]
    days = [(date(2026, 1, 1) + timedelta(days=place)).isoformat() for place in range(len(values))]
    rows = "".join(f'"a, ""b""",{day},{value}\n' for day, value in zip(days, values, strict=True))
    (tmp_path / "series.csv").write_text(f"series,day,value\n{rows}")
    printed = poller(name, "--series", "series.csv").out
    assert poller(name, "--series", "series.csv", "--format", "csv").out == printed
    header, *lines = csv.reader(printed.splitlines())
    found = objects(poller(name, "--series", "series.csv", "--json"))
    assert found
    assert [list(one) for one in found] == [header] * len(found)
    assert [["" if value is None else f"{value}" for value in one.values()] for one in found] == lines
    assert {type(one.get("mean", one.get("before"))) for one in found} <= {int, float, type(None)}
