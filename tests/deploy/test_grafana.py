"""The dashboards of Grafana: their form, their queries of PostgreSQL as `poller_reader`, and those of Prometheus.

No Grafana draws them here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from poller.store.series.rollups import roll_up
from tests.deploy.tools import DEPLOY, needs, run
from tests.store.everything import fill
from tools.grafana.__main__ import FOLDER, dashboards
from tools.grafana.variables import with_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

PROMETHEUS: Final = DEPLOY / "prometheus"
METRICS: Final = Path(__file__).parents[2] / "docs" / "metrics.md"
FILES: Final = {name: json.loads(text) for name, text in dashboards().items()}
PANELS: Final = [(name, panel) for name, board in FILES.items() for panel in board["panels"]]
_UNITS: Final = {"short", "s", "d", "percentunit", "ops", "reqps"}


def ids(value: Any) -> str:
    return value if isinstance(value, str) else str(value.get("title"))


def sql_queries() -> Iterator[tuple[str, str]]:
    for name, panel in PANELS:
        for target in panel["targets"]:
            if "rawSql" in target:
                yield f"{name} {panel['title']}", target["rawSql"]
    for name, board in FILES.items():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{name} ${variable['name']}", variable["query"]


def expressions() -> Iterator[tuple[str, str]]:
    for name, panel in PANELS:
        for target in panel["targets"]:
            if "expr" in target:
                yield f"{name} {panel['title']}", target["expr"]


def test_the_files_are_what_the_dashboards_of_this_project_say() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")} == dashboards()


def test_each_dashboard_has_an_address_that_stays_and_chooses_its_data_sources_by_variables() -> None:
    assert {board["uid"] for board in FILES.values()} == {"poller-fleet", "poller-org", "poller-health"}
    for name, board in FILES.items():
        variables = {one["name"]: one for one in board["templating"]["list"]}
        for panel in board["panels"]:
            for holder in (panel, *panel["targets"]):
                uid = holder["datasource"]["uid"]
                assert uid.startswith("${"), name
                assert variables[uid.strip("${}")]["query"] == holder["datasource"]["type"], (name, panel["title"])
        assert "DS_" not in json.dumps(board)


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=ids)
def test_every_panel_has_title_description_and_unit_and_shows_unknown_as_unknown(
    name: str, panel: dict[str, Any]
) -> None:
    assert panel["title"], name
    assert panel["description"].endswith("."), panel["title"]
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in _UNITS
    assert defaults["noValue"] == "unknown"
    [mapping] = defaults["mappings"]
    assert mapping["options"] == {"match": "null+nan", "result": {"text": "unknown", "index": 0}}
    if panel["type"] == "timeseries":
        assert defaults["custom"]["spanNulls"] is False


@pytest.mark.parametrize("name", FILES)
def test_no_panel_covers_another_or_leaves_the_grid(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in FILES[name]["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    numbers = [panel["id"] for panel in FILES[name]["panels"]]
    assert len(numbers) == len(set(numbers))


async def test_every_query_of_postgresql_runs_for_a_reader_and_finds_the_columns_that_grafana_needs(
    database: Database, keyring: Keyring
) -> None:
    async with database.connection() as connection:
        await fill(connection, "9999", keyring)
    await roll_up(database, database.clock.now().date())
    async with database.transaction() as connection:
        prepare: Any = connection.prepare  # type: ignore[attr-defined]  # asyncpg has it
        await connection.execute("SET LOCAL ROLE poller_reader")
        for name, query in sql_queries():
            statement = await prepare(with_values(query, 1))
            columns = {one.name for one in statement.get_attributes()}
            await statement.fetch()
            if " AS time" in query:
                assert "time" in columns, name
            if "org_id, org" in query:
                assert {"org_id", "org"} <= columns, name


@needs("promtool", "apt-get install prometheus")
def test_every_query_of_prometheus_and_every_rule_parses(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "2m")}
             for number, (_, expression) in enumerate(expressions())]  # fmt: skip
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    assert len(rules) > 20
    code, text = run("promtool", "check", "rules", file, PROMETHEUS / "recording.yml")
    assert code == 0, text
    rules[0]["expr"] = "sum by (le) (rate(poller_polls_total[2m])"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    assert run("promtool", "check", "rules", file)[0] != 0


def test_every_metric_in_dashboards_and_rules_is_one_that_the_poller_has() -> None:
    recorded = {rule["record"] for group in _rules("recording.yml") for rule in group["rules"]}
    known = set(re.findall(r"^\| `(poller_\w+)`", METRICS.read_text(encoding="utf-8"), re.MULTILINE)) | recorded
    texts = [expression for _, expression in expressions()]
    texts += [rule["expr"] for group in _rules("recording.yml") for rule in group["rules"]]
    asked = {name for text in texts for name in re.findall(r"poller[\w:]+", text)}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= known
    assert recorded <= asked


def _rules(name: str) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8"))["groups"]
    return groups
