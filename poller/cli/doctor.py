"""`poller doctor`: whether everything the poller stands on is well, and what to do where it is not.

It looks and changes nothing: no database is made or migrated, no key, no credential is sent anywhere. Whatever it looks
at may be broken, so one check's trouble is that check's finding, and the others go on as far as they can.
"""

from __future__ import annotations

import json
import stat
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli import shell
from poller.core.diagnosis import Finding, Verdict, count, judge_data_center, judge_network, judge_zohos_clock
from poller.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from poller.settings import Settings

_PATIENCE_SECONDS: Final = 10
"""For one server of a data centre, where requests may take longer."""


def add_to(app: typer.Typer) -> None:
    """Make the command known."""
    app.command("doctor")(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and check.")] = False,
) -> None:
    """Look at everything the poller stands on: settings, database, months, keys, chores, clocks, data centres.

    Each check is a line with its verdict and, where it is not well, what to do. Nothing is changed, and data centres
    are reached without any credential. Exit 1 if something is wrong; a warning is no failure.

    Example: [bold]poller doctor[/bold]
    """
    verdicts = shell.run(_doctor(as_json=as_json))
    if verdicts[Verdict.WRONG]:
        raise typer.Exit(1)


async def _doctor(*, as_json: bool) -> Counter[Verdict]:
    verdicts: Counter[Verdict] = Counter()

    def tell(finding: Finding) -> None:
        verdicts[finding.verdict] += 1
        shell.tell(json.dumps(asdict(finding), ensure_ascii=False) if as_json else as_line(finding))

    await examine(tell)
    if not as_json:
        shell.tell(", ".join(f"{verdicts[verdict]} {verdict.value}" for verdict in Verdict if verdicts[verdict]))
    return verdicts


def as_line(finding: Finding) -> str:
    """A finding for people."""
    from poller.cli.render import plain

    what = f"{finding.what}; {finding.remedy}" if finding.remedy else finding.what
    return plain(f"{finding.verdict.value:<11}  {finding.check:<19}  {' '.join(what.split())}")


async def examine(tell: Callable[[Finding], None]) -> None:
    """Tell of everything there is to look at, as it is found."""
    from poller.cli.doctor_database import examine_database

    settings, findings = read_settings()
    for finding in findings:
        tell(finding)
    if settings is None:
        tell(Finding("everything else", Verdict.UNKNOWN, "database, keys, data centres", "mend the settings first"))
        return
    orgs = await examine_database(settings, tell)
    await examine_data_centers(settings, orgs, tell)


def read_settings() -> tuple[Settings | None, list[Finding]]:
    """The settings, None where they cannot be used; and how they are."""
    from poller import log
    from poller.settings import ENV_FILE, NAMES, Settings, load, unknown

    try:
        settings = load()
    except SettingsError as wrong:
        lines = (f"{wrong.what}; {wrong.remedy}", *getattr(wrong, "__notes__", ()))
        faults = [Finding("settings", Verdict.WRONG, *_halves(line)) for line in lines]
        return None, faults + [Finding("settings", Verdict.WARNING, *_halves(line)) for line in _unknown(unknown)]
    log.configure(log_format=settings.log_format, level="error")
    findings = [Finding("settings", Verdict.WARNING, *_halves(line)) for line in unknown()]
    if others_read(ENV_FILE):
        what = f"others on this machine may read {ENV_FILE}, and what is secret in it"
        findings.append(Finding("settings", Verdict.WARNING, what, f"chmod 600 {ENV_FILE}"))
    names = [
        name for field, name in zip(Settings.model_fields, NAMES, strict=True) if field in settings.model_fields_set
    ]
    what = f"set: {', '.join(names)}" if names else "none is set"
    return settings, findings or [Finding("settings", Verdict.OK, f"{what}, all others at their defaults")]


def _halves(line: str) -> tuple[str, str]:
    what, _, remedy = line.partition("; ")
    return what, remedy


def _unknown(unknown: Callable[[], list[str]]) -> list[str]:
    """What is no setting, where the file that may hold it can be read."""
    try:
        return unknown()
    except (OSError, UnicodeDecodeError):
        return []


def others_read(env_file: Path) -> bool:
    """Whether a secret lies open in that file."""
    from dotenv import dotenv_values

    if not env_file.is_file() or not env_file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return False
    return any(dotenv_values(env_file).get(name) for name in ("POLLER_SECRET_KEYS", "POLLER_DATABASE_URL"))


async def examine_data_centers(
    settings: Settings, orgs: Mapping[str, int] | None, tell: Callable[[Finding], None]
) -> None:
    """Those that orgs are of, or all there are where there is no org, or where nobody knows; and their clock."""
    from poller.zoho.client import open_client
    from poller.zoho.reach import reach

    listed = settings.data_centers
    for name, number in (orgs or {}).items():
        if name not in listed:
            what = f"{count(number, 'org')} of it, and no setting that says where it is"
            tell(Finding(f"data centre {name}", Verdict.WRONG, what, "add it to POLLER_DATA_CENTERS"))
    used = [listed[name] for name in orgs or listed if name in listed]
    servers = {one.name: list(dict.fromkeys((one.accounts_server, *one.api_domains))) for one in used}
    origins = dict.fromkeys(url for urls in servers.values() for url in urls)
    patience = min(settings.request_timeout_seconds, _PATIENCE_SECONDS)
    async with open_client(connections=len(origins) or 1, request_timeout_seconds=patience) as client:
        answers = await reach(client, origins)
    if (cut_off := judge_network(list(answers.values()))) is not None:
        tell(cut_off)
        return
    for name, urls in servers.items():
        tell(judge_data_center(name, [answers[url] for url in urls], (orgs or {}).get(name)))
    tell(judge_zohos_clock(list(answers.values())))
