"""Turns sources into settings; reports all wrong settings at once, one line each with its remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from poller.core.errors import SettingsError
from poller.settings.model import Settings, variable
from poller.settings.names import DATABASE, FOLDER, PREFIX, REMEDIES, SECRETS, misspelled
from poller.settings.sources import Sources, read_sources
from poller.settings.values import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic_core import ErrorDetails


def load(env_file: Path | None = None) -> Settings:
    """The settings of this process's environment, then of `env_file`; an empty value counts as not set.

    Raises a `SettingsError` for the first wrong setting, with a note (PEP 678) for each further one.
    """
    return check(read_sources(env_file))


def check(sources: Sources) -> Settings:
    """Checks the written settings; `model_fields_set` has those that are not defaults."""
    values, fields = sources.values, Settings.model_fields
    written = {field: values[name].text for field in fields if (name := variable(field)) in values}
    try:
        settings = Settings.model_validate(written, by_alias=False, by_name=True)
    except ValidationError as wrong:
        faults = [_fault(details) for details in wrong.errors(include_url=False)]
    else:
        faults = list(_contradictions(settings))
        if not faults:
            return settings
    error = SettingsError(*faults[0])
    for what, remedy in faults[1:]:
        error.add_note(f"{what}; {remedy}")
    # The cause would contain the values, which may be secrets.
    raise error from None


def unknown(sources: Sources, *, database: bool = True) -> list[str]:
    """A sentence for each `POLLER_` variable that is not a setting.

    Raises `SettingsError` for a variable that seems to name the database; `database`: whether a database is used at
    all.
    """
    return misspelled(sources.others, sources.values if database else {*sources.values, DATABASE})


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Settings that are valid one by one but contradict each other."""
    if settings.database_url is not None and settings.secret_keys is None:
        name = "POLLER_SECRET_KEYS"
        yield f"{name}: it is required where {DATABASE} is set", REMEDIES[name]
    if settings.embedded and not settings.data_dir.is_absolute():
        yield f"{FOLDER}: this user has no home folder to keep a database in", REMEDIES[FOLDER]
    if settings.digest is not None and not settings.notify_urls:
        name = "POLLER_NOTIFY_URLS"
        yield f"POLLER_DIGEST: a digest is sent to {name}, which is not set", REMEDIES[name]
    snapshots, daily = settings.snapshot_retention, settings.daily_retention
    if daily is not None and (snapshots is None or daily.roughly_days < snapshots.roughly_days):
        name = "POLLER_DAILY_RETENTION"
        yield f"{name}: daily counts would be kept for less long than the snapshots they are made of", REMEDIES[name]


def _fault(details: ErrorDetails) -> tuple[str, str]:
    """The error and its remedy as one sentence, with the value unless it is a secret."""
    field = str(details["loc"][0]) if details["loc"] else ""
    name = variable(field) if field in Settings.model_fields else f"{PREFIX}{field.upper()}"
    if "error" in details.get("ctx", {}):
        what = str(details["ctx"]["error"])
    elif name in SECRETS or not isinstance(details["input"], str):
        what = "its value cannot be used"
    else:
        what = f"{shown(details['input'])} is not a value it can have"
    return f"{name}: {what}", REMEDIES[name]
