"""Runs all checks in order and reports each result as soon as it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.core.checks import CheckResult, CheckStatus
from poller.doctor.data_centers import check_data_centers
from poller.doctor.database import check_database
from poller.doctor.settings import check_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from poller.doctor.database import OpenDatabase


async def run_checks(env_file: Path | None, open_database: OpenDatabase, report: Callable[[CheckResult], None]) -> None:
    """Checks the settings of the environment and of `env_file`, then the database and the data centres they name."""
    settings, results = check_settings(env_file)
    for result in results:
        report(result)
    if settings is None:
        what = "database, keys, data centres"
        report(CheckResult("everything else", CheckStatus.UNKNOWN, what, "correct the settings first"))
        return
    orgs = await check_database(settings, open_database, report)
    await check_data_centers(settings, orgs, report)
