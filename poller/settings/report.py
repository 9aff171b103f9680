"""Reports every setting with its value and its source; secrets are masked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import SecretStr

from poller.core.database_address import database_address, without_password
from poller.core.retention import Retention, format_retention
from poller.settings.model import Settings, variable
from poller.settings.names import DATABASE, FOLDER
from poller.settings.values import PROXY_OF_ENVIRONMENT

if TYPE_CHECKING:
    from poller.settings.sources import Sources

DEFAULT: Final = "default"
_KEPT: Final = frozenset({"snapshot_retention", "daily_retention"})


class SettingRow(NamedTuple):
    """One setting: its variable, its value as text (empty: not set), and its source."""

    name: str
    value: str
    origin: str


def rows(settings: Settings, sources: Sources) -> list[SettingRow]:
    """Every setting in the order of the documentation."""
    names = {field: variable(field) for field in Settings.model_fields}
    return [
        SettingRow(name, _text(field, getattr(settings, field)), _origin(name, sources))
        for field, name in names.items()
    ]


def database_row(settings: Settings, sources: Sources) -> SettingRow:
    """The database in use."""
    name = FOLDER if settings.embedded else DATABASE
    return SettingRow("database", database_in_use(settings), _origin(name, sources))


def database_in_use(settings: Settings) -> str:
    """The database in words: host, port and name, or the folder of the embedded one."""
    if settings.database_url is None:
        return f"embedded PostgreSQL in {settings.data_dir}"
    return str(database_address(settings.database_url.get_secret_value()))


def _origin(name: str, sources: Sources) -> str:
    return sources.values[name].origin if name in sources.values else DEFAULT


def _text(field: str, value: object) -> str:
    match value:
        case SecretStr():
            return _masked(field, value.get_secret_value())
        case Retention() | None if field in _KEPT:
            return format_retention(value)
        case tuple():
            return ", ".join(_text(field, one) for one in value)
        case Mapping():
            return ", ".join(value)
        case int() if field.endswith("_seconds"):
            return _duration(value)
        case _:
            return "" if value is None else str(value)


def _masked(field: str, secret: str) -> str:
    match field:
        case "secret_keys":
            return ",".join(f"{key.strip().partition(':')[0]}:…" if ":" in key else "…" for key in secret.split(","))
        case "database_url":
            return without_password(secret)
        case "proxy":
            return secret if secret == PROXY_OF_ENVIRONMENT else without_password(secret)
        case "notify_urls":
            return f"{secret.partition('://')[0]}://…"
        case _:
            return "…"


def _duration(seconds: int) -> str:
    for unit, size in (("h", timedelta(hours=1)), ("m", timedelta(minutes=1))):
        number, rest = divmod(seconds, int(size.total_seconds()))
        if number and not rest:
            return f"{number}{unit}"
    return f"{seconds}s"
