"""`poller doctor`: whether everything the poller stands on is well, and what to do where it is not.

It looks and changes nothing: no database is made or migrated, no key, no credential is sent anywhere. Whatever it looks
at may be broken, so one check's trouble is that check's finding, and the others go on as far as they can.
"""

from __future__ import annotations

import stat
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.output import terminal
from poller.core.diagnosis import CheckResult, CheckStatus, judge_data_center, judge_network, judge_zohos_clock
from poller.core.errors import SettingsError
from poller.core.quantities import count
from poller.query.rows import json_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from poller.settings import Settings, Sources

_PATIENCE_SECONDS: Final = 10
_VERDICT: Final = 11
_CHECK: Final = 19
_HANG: Final = _VERDICT + 2 + _CHECK + 2
"""Cells of the columns; what was found begins after them."""
"""For one server of a data centre, where requests may take longer."""


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command("doctor")(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and check.")] = False,
) -> None:
    """Check everything the poller depends on: settings, database, months, keys, chores, clocks, data centres.

    Each check is a line with its verdict and, where something is wrong, what to do. Nothing is changed, and data
    centres are reached without any credential. Exit 1 if something is wrong; a warning is not a failure.

    Example: [bold]poller doctor[/bold]
    """
    verdicts = terminal.run(_doctor(as_json=as_json))
    if verdicts[CheckStatus.WRONG]:
        raise typer.Exit(1)


async def _doctor(*, as_json: bool) -> Counter[CheckStatus]:
    verdicts: Counter[CheckStatus] = Counter()

    def tell(finding: CheckResult) -> None:
        verdicts[finding.verdict] += 1
        if as_json:
            terminal.tell(json_text(asdict(finding)))
        else:
            terminal.tell_folded(as_line(finding), _HANG)

    await examine(tell)
    if not as_json:
        terminal.tell(", ".join(f"{verdicts[verdict]} {verdict.value}" for verdict in CheckStatus if verdicts[verdict]))
    return verdicts


def as_line(finding: CheckResult) -> str:
    """A finding for people."""
    from poller.cli.output.render import plain

    what = f"{finding.what}; {finding.remedy}" if finding.remedy else finding.what
    return plain(f"{finding.verdict.value:<{_VERDICT}}  {finding.check:<{_CHECK}}  {' '.join(what.split())}")


async def examine(tell: Callable[[CheckResult], None]) -> None:
    """Tell of everything there is to look at, as it is found."""
    from poller.cli.doctor_database import examine_database

    settings, findings = read_settings()
    for finding in findings:
        tell(finding)
    if settings is None:
        tell(
            CheckResult(
                "everything else", CheckStatus.UNKNOWN, "database, keys, data centres", "correct the settings first"
            )
        )
        return
    orgs = await examine_database(settings, tell)
    await examine_data_centers(settings, orgs, tell)


def read_settings() -> tuple[Settings | None, list[CheckResult]]:
    """The settings, None where they cannot be used; and how they are."""
    from poller import log
    from poller.settings import NAMES, check, read_sources, unknown

    warnings: list[str] = []
    try:
        sources = read_sources(terminal.env_file.get())
        warnings = unknown(sources)
        settings = check(sources)
    except SettingsError as wrong:
        lines = (f"{wrong.what}; {wrong.remedy}", *getattr(wrong, "__notes__", ()))
        faults = [CheckResult("settings", CheckStatus.WRONG, *_halves(line)) for line in lines]
        return None, faults + [CheckResult("settings", CheckStatus.WARNING, *_halves(line)) for line in warnings]
    log.configure(log_format=settings.log_format, level="error")
    warnings += terminal.unread_env_file(sources.env_file)
    findings = [CheckResult("settings", CheckStatus.WARNING, *_halves(line)) for line in warnings]
    if (path := sources.env_file) is not None and _shows_secrets(path, sources):
        what = f"others on this machine may read {path}, and what is secret in it"
        findings.append(CheckResult("settings", CheckStatus.WARNING, what, f"chmod 600 {path}"))
    names = [name for name in NAMES if name in sources.values]
    what = f"set: {', '.join(names)}" if names else "none is set"
    return settings, findings or [CheckResult("settings", CheckStatus.OK, f"{what}, all others at their defaults")]


def _halves(line: str) -> tuple[str, str]:
    what, _, remedy = line.partition("; ")
    return what, remedy


def _shows_secrets(path: Path, sources: Sources) -> bool:
    """Whether other users of this machine may read a file of settings that has secrets in it."""
    from poller.settings import SECRETS

    used = [name for name in SECRETS if name in sources.values and sources.values[name].origin == str(path)]
    return bool(used) and bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


async def examine_data_centers(
    settings: Settings, orgs: Mapping[str, int] | None, tell: Callable[[CheckResult], None]
) -> None:
    """Those that orgs are of, or all there are where there is no org, or where nobody knows; and their clock."""
    from poller.zoho.client import open_client
    from poller.zoho.reachability import is_reachable

    listed = settings.data_centers
    for name, number in (orgs or {}).items():
        if name not in listed:
            what = f"{count(number, 'org')} in it, and no setting says where it is"
            tell(CheckResult(f"data centre {name}", CheckStatus.WRONG, what, "add it to POLLER_DATA_CENTERS"))
    used = [listed[name] for name in orgs or listed if name in listed]
    servers = {one.name: list(dict.fromkeys((one.accounts_server, *one.api_domains))) for one in used}
    origins = dict.fromkeys(url for urls in servers.values() for url in urls)
    max_wait = min(settings.request_timeout_seconds, _PATIENCE_SECONDS)
    async with open_client(
        connections=len(origins) or 1,
        request_timeout_seconds=max_wait,
        proxy=settings.proxy_address,
    ) as client:
        answers = await is_reachable(client, origins)
    if (cut_off := judge_network(list(answers.values()))) is not None:
        tell(cut_off)
        return
    for name, urls in servers.items():
        tell(judge_data_center(name, [answers[url] for url in urls], (orgs or {}).get(name)))
    tell(judge_zohos_clock(list(answers.values())))
