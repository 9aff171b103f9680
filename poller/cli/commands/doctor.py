"""`poller doctor`: checks everything the poller depends on, and says what to do about what is wrong."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.output import terminal
from poller.core.checks import CheckStatus
from poller.query.rows import json_text

if TYPE_CHECKING:
    from poller.core.checks import CheckResult

_STATUS_CELLS: Final = 11
_CHECK_CELLS: Final = 19
_INDENT: Final = _STATUS_CELLS + 2 + _CHECK_CELLS + 2
"""Where the third column begins, in cells."""


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor")(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and check.")] = False,
) -> None:
    """Check everything the poller depends on: settings, database, months, keys, maintenance, clocks, data centres.

    Each check is one line: its verdict and, where something is wrong, what to do. Nothing is changed, and data centres
    are reached without any credential. Exit 1 if something is wrong; a warning is not a failure.

    Example: [bold]poller doctor[/bold]
    """
    statuses = terminal.run(_doctor(as_json=as_json))
    if statuses[CheckStatus.WRONG]:
        raise typer.Exit(1)


async def _doctor(*, as_json: bool) -> Counter[CheckStatus]:
    from poller.app import database_dsn
    from poller.doctor.checks import run_checks
    from poller.notify.checks import check_addresses

    statuses: Counter[CheckStatus] = Counter()

    def report(result: CheckResult) -> None:
        statuses[result.status] += 1
        if as_json:
            fields = {"check": result.check, "verdict": result.status, "what": result.what, "remedy": result.remedy}
            terminal.out(json_text(fields))
        else:
            terminal.out_wrapped(_line(result), _INDENT, result.status.value)

    await run_checks(terminal.env_file.get(), database_dsn, check_addresses, report)
    if not as_json:
        terminal.say(", ".join(f"{statuses[status]} {status.value}" for status in CheckStatus if statuses[status]))
    return statuses


def _line(result: CheckResult) -> str:
    from poller.cli.output.render import plain

    what = f"{result.what}; {result.remedy}" if result.remedy else result.what
    return plain(f"{result.status.value:<{_STATUS_CELLS}}  {result.check:<{_CHECK_CELLS}}  {' '.join(what.split())}")
