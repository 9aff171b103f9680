"""Exchanges grant codes with a progress bar, for the commands that import and check orgs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.cli.output import terminal
from poller.core.quantities import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.app import App
    from poller.onboarding.grant_exchange import CodeProgress, ExchangedCode


async def exchange_codes(app: App, names: Sequence[str] | None) -> list[ExchangedCode]:
    """Exchanges the grant codes of these orgs (None: of all), shows the progress, and names each code that was lost."""
    from poller.app import open_zoho
    from poller.onboarding.context import OnboardingContext
    from poller.onboarding.grant_codes import exchange_waiting_codes, has_waiting_codes, late_code_warnings

    if not await has_waiting_codes(app.database, names):
        return []
    for warning in await late_code_warnings(app.database, names):
        terminal.err(f"poller: warning: {warning}")
    async with open_zoho(app) as zoho:
        context = OnboardingContext(app.database, app.keyring, app.settings, zoho)
        with terminal.progress() as progress:
            task = progress.add_task("exchanging grant codes", total=None)

            def show(now: CodeProgress) -> None:
                done = now.exchanged + now.refused
                progress.update(task, total=done + now.waiting, completed=done, description=describe(now))
                if now.pause_seconds and progress.disable:
                    terminal.err(f"poller: {describe(now)}")

            exchanged = await exchange_waiting_codes(context, names, show)
    for one in exchanged:
        if one.refusal is not None:
            terminal.err(f"poller: {one.org.name}: {one.refusal.code}: {one.refusal.remedy}")
    return exchanged


def describe(now: CodeProgress) -> str:
    """What the exchange is doing, and how long it waits."""
    if not now.pause_seconds:
        return "exchanging grant codes"
    codes = count(now.waiting, "grant code waits", "grant codes wait")
    minutes, seconds = divmod(round(now.pause_seconds), 60)
    return f"{codes} for {minutes}:{seconds:02} minutes, for Zoho takes ten of a client in ten"
