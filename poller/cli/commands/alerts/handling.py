"""`poller alerts ack` and `poller alerts snooze`, and how each is undone."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.output import terminal
from poller.core.alerts import LARGEST_ALERT
from poller.core.callers import COMMAND_LINE
from poller.core.errors import PollerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from poller.admin.alerts import HandledAlert
    from poller.app import App
    from poller.settings import Settings

Ids = Annotated[
    list[int], typer.Argument(metavar="ID...", min=1, max=LARGEST_ALERT, help="Of the alerts: see `poller alerts`.")
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to `poller alerts`."""
    app.command("ack")(acknowledge)
    app.command("snooze")(snooze)


def acknowledge(
    ids: Ids, *, undo: Annotated[bool, typer.Option("--undo", help="Not acknowledged any more.")] = False
) -> None:
    """Acknowledge alerts: somebody has them in hand, and no more messages come until they are resolved.

    Example: [bold]poller alerts ack 17[/bold]
    """
    from poller.admin import alerts

    operation = alerts.unacknowledge if undo else alerts.acknowledge
    terminal.run(_handle(terminal.settings(), ids, lambda app, one: operation(app.database, COMMAND_LINE, one)))


def snooze(
    ids: Ids,
    *,
    hold_for: Annotated[
        str | None, typer.Option("--for", metavar="D", help="How long, such as 4h or 7d; 0 ends it.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Or until when: 2026-12-31, or 2026-12-31T09:00Z.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="End the snooze.")] = False,
) -> None:
    """Send no messages about alerts for some time; then they fire again, if they still hold.

    Example: [bold]poller alerts snooze 17 --for 7d[/bold]
    """
    from poller.core.alert_rule_change import snooze_seconds

    if (hold_for is not None) + (until is not None) + undo != 1:
        raise UsageError("give how long to snooze", "one of --for 7d, --until TIME and --undo")
    seconds = 0 if hold_for is None else snooze_seconds(hold_for)

    async def handle(app: App, alert_id: int) -> HandledAlert:
        from poller.admin import alerts
        from poller.query.parameters import later_time_of

        now = app.database.clock.now()
        if until is None and not seconds:
            return await alerts.unsnooze(app.database, COMMAND_LINE, alert_id)
        end = now + timedelta(seconds=seconds) if until is None else later_time_of(until, now, UTC)
        return await alerts.snooze(app.database, COMMAND_LINE, alert_id, end)

    terminal.run(_handle(terminal.settings(), ids, handle))


async def _handle(settings: Settings, ids: list[int], handle: Callable[[App, int], Awaitable[HandledAlert]]) -> None:
    """Handles one alert after the other; an error about one stops the rest."""
    from poller.app import open_app
    from poller.cli.output.render import plain

    async with open_app(settings, name="poller alerts") as app:
        for alert_id in dict.fromkeys(ids):
            try:
                done = await handle(app, alert_id)
            except PollerError as error:
                if len(ids) > 1:
                    error.what = f"{alert_id}: {error.what}"
                raise
            about = f"{alert_id} ({done.alert.rule}{f', {done.alert.org}' if done.alert.org else ''})"
            terminal.say(f"{plain(about)}: {done.message}")
