"""Checks the settings: whether they can be used, and whether other users of this machine can read their secrets."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from poller import log
from poller.core.checks import CheckResult, CheckStatus
from poller.core.errors import SettingsError
from poller.settings import NAMES, SECRETS, check, read_sources, unknown, unread_env_file

if TYPE_CHECKING:
    from pathlib import Path

    from poller.settings import Settings, Sources


def check_settings(env_file: Path | None) -> tuple[Settings | None, list[CheckResult]]:
    """The settings (None where they cannot be used) and what is wrong with them. Sets up the log: errors only."""
    warnings: list[str] = []
    try:
        sources = read_sources(env_file)
        warnings = unknown(sources)
        settings = check(sources)
    except SettingsError as wrong:
        errors = (f"{wrong.what}; {wrong.remedy}", *getattr(wrong, "__notes__", ()))
        return None, [*_results(CheckStatus.WRONG, errors), *_results(CheckStatus.WARNING, warnings)]
    log.configure(log_format=settings.log_format, level="error")
    results = _results(CheckStatus.WARNING, [*warnings, *unread_env_file(sources.env_file)])
    if (path := sources.env_file) is not None and _shows_secrets(path, sources):
        what = f"other users of this machine can read {path}, which contains secrets"
        results.append(CheckResult("settings", CheckStatus.WARNING, what, f"chmod 600 {path}"))
    names = [name for name in NAMES if name in sources.values]
    what = f"set: {', '.join(names)}" if names else "none is set"
    return settings, results or [CheckResult("settings", CheckStatus.OK, f"{what}, all others at their defaults")]


def _results(status: CheckStatus, sentences: tuple[str, ...] | list[str]) -> list[CheckResult]:
    """One result for each sentence of the form `what; remedy`."""
    parts = (sentence.partition("; ") for sentence in sentences)
    return [CheckResult("settings", status, what, remedy) for what, _, remedy in parts]


def _shows_secrets(path: Path, sources: Sources) -> bool:
    """Whether other users of this machine can read a settings file with secrets in it."""
    used = [name for name in SECRETS if name in sources.values and sources.values[name].origin == str(path)]
    return bool(used) and bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
