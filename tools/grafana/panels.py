"""Panels, and the JSON that Grafana needs for them and for a dashboard.

A panel is a title, a description, a kind, a unit and queries. Panels are placed in rows of 24 columns, in the order in
which they stand. Queries of Prometheus are strings, queries of PostgreSQL are `Sql`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

_COLUMNS: Final = 24
_SCHEMA_VERSION: Final = 39
_UNKNOWN: Final = [{"type": "special", "options": {"match": "null+nan", "result": {"text": "unknown", "index": 0}}}]
_SOURCES: Final = {"prometheus": "prometheus", "grafana-postgresql-datasource": "database"}


@dataclass(frozen=True, slots=True)
class Sql:
    """A query of PostgreSQL; a time series has a column `time`."""

    text: str
    series: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `queries`: each with its legend."""

    title: str
    description: str
    kind: str
    unit: str
    queries: tuple[tuple[str, str | Sql], ...]
    width: int = 8
    height: int = 8
    stacked: bool = False
    link: str | None = None
    """Of the column `org` of a table: to the dashboard of that org."""


def stat(title: str, description: str, query: str | Sql, unit: str = "short", width: int = 4) -> Panel:
    """One number."""
    return Panel(title, description, "stat", unit, (("", query),), width, 4)


def table(title: str, description: str, query: str, *, width: int = 12, link: str | None = None) -> Panel:
    """Rows of PostgreSQL."""
    return Panel(title, description, "table", "short", (("", Sql(query)),), width, 9, link=link)


def chart(
    title: str,
    description: str,
    *queries: tuple[str, str | Sql],
    unit: str = "short",
    width: int = 12,
    stacked: bool = False,
) -> Panel:
    """Lines over time; what is not known is a gap."""
    return Panel(title, description, "timeseries", unit, queries, width, 9, stacked)


def dashboard(
    uid: str, title: str, panels: tuple[Panel, ...], variables: list[dict[str, Any]], since: str
) -> dict[str, Any]:
    """The JSON of one dashboard. `since`: where its time begins, such as `now-90d`."""
    used = {_source_type(query) for panel in panels for _, query in panel.queries}
    sources = [
        {"name": _SOURCES[one], "label": "Source", "type": "datasource", "query": one, "hide": 2, "refresh": 1}
        for one in sorted(used)
    ]
    return {
        "uid": uid,
        "title": title,
        "tags": ["poller"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": since, "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "tags": ["poller"], "title": "Poller", "asDropdown": False, "keepTime": True}],
        "templating": {"list": [*sources, *variables]},
        "panels": _placed(panels),
    }


def _placed(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    """The panels from left to right, a new row where one does not fit."""
    placed: list[dict[str, Any]] = []
    x = y = height = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > _COLUMNS:
            x, y, height = 0, y + height, 0
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        placed.append(_panel(panel, number, place))
        x, height = x + panel.width, max(height, panel.height)
    return placed


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "mappings": _UNKNOWN, "noValue": "unknown"}
    options: dict[str, Any] = {}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        defaults["custom"] = {
            "spanNulls": False,
            "insertNulls": False,
            "showPoints": "auto",
            "stacking": stacking,
            "fillOpacity": 10,
        }
        options = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi"},
        }
    elif panel.kind == "stat":
        fields = "/.*/" if isinstance(panel.queries[0][1], Sql) else ""
        options = {"colorMode": "none", "reduceOptions": {"calcs": ["lastNotNull"], "fields": fields, "values": False}}
        options["graphMode"] = "none"
    overrides = [] if panel.link is None else [_link(panel.link), _hidden("org_id")]
    [kind] = {_source_type(query) for _, query in panel.queries}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": source(kind),
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": overrides},
        "options": options,
        "targets": [
            _target(letter, legend, query) for letter, (legend, query) in zip("ABCD", panel.queries, strict=False)
        ],
    }


def _target(letter: str, legend: str, query: str | Sql) -> dict[str, Any]:
    made: dict[str, Any] = {"refId": letter, "datasource": source(_source_type(query))}
    if isinstance(query, Sql):
        return made | {
            "rawSql": query.text,
            "rawQuery": True,
            "editorMode": "code",
            "format": "time_series" if query.series else "table",
        }
    return made | {"expr": query, "legendFormat": legend or "__auto", "editorMode": "code"}


def _source_type(query: str | Sql) -> str:
    return "grafana-postgresql-datasource" if isinstance(query, Sql) else "prometheus"


def source(kind: str) -> dict[str, str]:
    """A reference to the data source of this type, by the dashboard's variable."""
    return {"type": kind, "uid": f"${{{_SOURCES[kind]}}}"}


def _link(address: str) -> dict[str, Any]:
    links = [{"title": "The org's dashboard", "url": address}]
    return {"matcher": {"id": "byName", "options": "org"}, "properties": [{"id": "links", "value": links}]}


def _hidden(column: str) -> dict[str, Any]:
    hidden = [{"id": "custom.hidden", "value": True}]
    return {"matcher": {"id": "byName", "options": column}, "properties": hidden}
