"""Grant codes that wait: exchanged at once, at Zoho's pace, with the queue in sight; and the crowd at one client.

It refuses to be quiet about a code that was lost, and to ask for one twice that Zoho has called spent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.cli.output import terminal
from poller.core.errors import UsageError
from poller.core.quantities import count

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from poller.app import App, Zoho
    from poller.core.org_entry import OrgEntry
    from poller.onboarding.grant_exchange import CodeProgress, ExchangedCode

CROWDED: Final = 15
FULL: Final = 20
"""Refresh tokens Zoho keeps of one client and login; one more ends the oldest ("OAuth limits")."""
SPENT: Final = "grant_code_expired"


async def refuse_too_many(app: App, entries: Sequence[OrgEntry]) -> None:
    """Raises `UsageError` where a client has more codes than Zoho exchanges before they expire: before any is spent."""
    from poller.store.orgs.credentials import codes_to_exchange
    from poller.store.orgs.token_budgets import exchanges_possible

    for client_id, codes in (await codes_to_exchange(app.database, entries)).items():
        possible = await exchanges_possible(app.database, client_id, app.database.clock.now())
        if codes > possible:
            what = f"{_over(client_id, codes)}, so {codes - possible:,} would expire; nothing is imported"
            remedy = f"import {possible} of these orgs now, and make the codes of the others ten minutes later"
            raise UsageError(what, remedy)


async def exchange(app: App, names: Sequence[str] | None) -> list[ExchangedCode]:
    """Exchange the codes of these orgs that wait, of all if None; the queue is shown, and each loss told."""
    from poller.app import open_zoho
    from poller.store.orgs.credentials import waiting_grant_codes

    if not await waiting_grant_codes(app.database, names):
        return []
    await _warn_of_late_codes(app, names)
    async with open_zoho(app) as zoho:
        with terminal.progress() as progress:
            task = progress.add_task("exchanging grant codes", total=None)

            def show(now: CodeProgress) -> None:
                done = now.exchanged + now.refused
                progress.update(task, total=done + now.waiting, completed=done, description=_queue(now))
                if now.pause_seconds and progress.disable:
                    terminal.say(f"poller: {_queue(now)}")

            done = await exchange_waiting(app, zoho, names, show)
    for one in done:
        if one.refusal is not None:
            terminal.say(f"poller: {one.org.name}: {one.refusal.code}: {one.refusal.remedy}")
    return done


async def exchange_waiting(
    app: App, zoho: Zoho, names: Sequence[str] | None, on_progress: Callable[[CodeProgress], None] | None = None
) -> list[ExchangedCode]:
    """What came of each code that waits; one that Zoho has called spent already is not asked for again."""
    from poller.core.model import Outcome
    from poller.onboarding.grant_exchange import ExchangedCode, WaitingCode, exchange_codes
    from poller.store.orgs.credentials import waiting_grant_codes
    from poller.store.orgs.poll_state import read_pollable
    from poller.store.orgs.tokens import TokenStore
    from poller.zoho.token_request import no_token

    ids = await waiting_grant_codes(app.database, names)
    pollables = await read_pollable(
        app.database,
        ids,
        now=zoho.now(),
        api_version=app.settings.api_version,
        interval_seconds=app.settings.poll_interval_seconds,
    )
    by_id = {one.org.id: one for one in pollables}
    in_line = [by_id[org_id] for org_id in ids if org_id in by_id]
    spent = [one.org for one in in_line if one.parked is not None and one.parked.code == SPENT]
    exchanged = await exchange_codes(
        [WaitingCode(one.org, one.client_id or "") for one in in_line if one.org not in spent],
        zoho.tokens.exchange,
        now=zoho.now,
        sleep=zoho.sleep,
        on_progress=on_progress,
        reserve=TokenStore(app.database, app.keyring).reserve_exchange,
    )
    return [*(ExchangedCode(org, no_token(Outcome.UNAUTHORIZED, SPENT)) for org in spent), *exchanged]


async def _warn_of_late_codes(app: App, names: Sequence[str] | None) -> None:
    """Say which codes cannot be exchanged before they expire, before any is spent."""
    from poller.store.orgs.credentials import waiting_codes_by_client
    from poller.store.orgs.token_budgets import exchanges_possible

    for client_id, codes in (await waiting_codes_by_client(app.database, names)).items():
        late = codes - await exchanges_possible(app.database, client_id, app.database.clock.now())
        if late > 0:
            expire = f"{late:,} will expire before {'its' if late == 1 else 'their'} turn"
            terminal.say(f"poller: warning: {_over(client_id, codes)}, so {expire}; make new ones in ten minutes")


def _over(client_id: str, codes: int) -> str:
    told = "Zoho exchanges ten of a client in ten minutes, and a code lives no longer than that"
    return f"{count(codes, 'grant code')} of the client {client_id}: {told}"


async def warn_of_crowds(app: App, client_ids: Collection[str]) -> None:
    """Say which of these clients have nearly as many refresh tokens as Zoho keeps, or more."""
    from poller.store.orgs.credentials import crowded_clients

    for client_id, grants in await crowded_clients(app.database, CROWDED):
        if client_id in client_ids:
            terminal.say(f"poller: warning: {crowd(client_id, grants)}")


def crowd(client_id: str, grants: int) -> str:
    """What is the matter with a client that so many orgs were connected by."""
    if grants > FULL:
        return (
            f"client {client_id} has {grants} refresh tokens: Zoho keeps {FULL} of one login, so if one login gave "
            "them all the oldest have ended; connect those orgs again by another client or login"
        )
    return (
        f"client {client_id} has {grants} refresh tokens: Zoho keeps {FULL} of one login and ends the oldest for each "
        "one more; use another client or login for the next orgs"
    )


def _queue(now: CodeProgress) -> str:
    if not now.pause_seconds:
        return "exchanging grant codes"
    codes = count(now.waiting, "grant code waits", "grant codes wait")
    minutes, seconds = divmod(round(now.pause_seconds), 60)
    return f"{codes} for {minutes}:{seconds:02} minutes, for Zoho takes ten of a client in ten"
