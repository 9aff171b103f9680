"""Grant codes that are not exchanged yet: which would expire, and exchanging them at the pace Zoho allows.

Zoho exchanges ten codes of a client in ten minutes, and a code lives no longer than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.errors import UsageError
from poller.core.model import Outcome
from poller.core.quantities import count
from poller.onboarding.grant_exchange import ExchangedCode, WaitingCode, exchange_codes
from poller.store.orgs.credentials import (
    codes_to_exchange,
    crowded_clients,
    waiting_codes_by_client,
    waiting_grant_codes,
)
from poller.store.orgs.pollable import read_pollable
from poller.store.orgs.token_budgets import exchanges_possible
from poller.store.orgs.tokens import TokenStore
from poller.zoho.token_request import no_token

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from poller.core.org_entry import OrgEntry
    from poller.onboarding.context import OnboardingContext
    from poller.onboarding.grant_exchange import CodeProgress
    from poller.store.database import Database

MANY_TOKENS: Final = 15
"""Refresh tokens of one client from which on a warning is given."""
MOST_TOKENS: Final = 20
"""Refresh tokens that Zoho keeps of one client and login; one more ends the oldest ("OAuth limits")."""
EXPIRED: Final = "grant_code_expired"


async def refuse_too_many(database: Database, entries: Sequence[OrgEntry]) -> None:
    """Raises `UsageError` where a client has more codes than can be exchanged before they expire.

    Called before the import, so that no code is used up.
    """
    for client_id, codes in (await codes_to_exchange(database, entries)).items():
        possible = await exchanges_possible(database, client_id, database.clock.now())
        if codes > possible:
            what = f"{_too_many(client_id, codes)}, so {codes - possible:,} would expire; nothing is imported"
            remedy = f"import {possible} of these orgs now, and make the codes of the others ten minutes later"
            raise UsageError(what, remedy)


async def late_code_warnings(database: Database, names: Sequence[str] | None) -> list[str]:
    """A sentence for each client with codes of these orgs (None: of all) that will expire before their exchange."""
    warnings = []
    for client_id, codes in (await waiting_codes_by_client(database, names)).items():
        late = codes - await exchanges_possible(database, client_id, database.clock.now())
        if late > 0:
            expire = f"{late:,} will expire before {'its' if late == 1 else 'their'} turn"
            warnings.append(f"{_too_many(client_id, codes)}, so {expire}; make new ones in ten minutes")
    return warnings


async def many_token_warnings(database: Database, client_ids: Collection[str]) -> list[str]:
    """A sentence for each of these clients that has nearly as many refresh tokens as Zoho keeps, or more."""
    found = await crowded_clients(database, MANY_TOKENS)
    return [refresh_token_warning(client_id, tokens) for client_id, tokens in found if client_id in client_ids]


def refresh_token_warning(client_id: str, tokens: int) -> str:
    """What happens to the refresh tokens of a client that has this many, and what to do."""
    if tokens > MOST_TOKENS:
        return (
            f"client {client_id} has {tokens} refresh tokens: Zoho keeps {MOST_TOKENS} per login, so if one login gave "
            "them all the oldest have ended; connect those orgs again with another client or login"
        )
    return (
        f"client {client_id} has {tokens} refresh tokens: Zoho keeps {MOST_TOKENS} per login and ends the oldest for "
        "each one more; use another client or login for the next orgs"
    )


async def has_waiting_codes(database: Database, names: Sequence[str] | None) -> bool:
    """Whether any of these orgs (None: any org) has a grant code that is not exchanged yet."""
    return bool(await waiting_grant_codes(database, names))


async def exchange_waiting_codes(
    context: OnboardingContext,
    names: Sequence[str] | None,
    on_progress: Callable[[CodeProgress], None] | None = None,
) -> list[ExchangedCode]:
    """Exchanges the codes of these orgs (None: of all); the result of each.

    A code that Zoho has already called expired is not sent again.
    """
    database, zoho = context.database, context.zoho
    ids = await waiting_grant_codes(database, names)
    pollables = await read_pollable(
        database,
        ids,
        now=zoho.now(),
        api_version=context.settings.api_version,
        interval_seconds=context.settings.poll_interval_seconds,
    )
    by_id = {one.org.id: one for one in pollables}
    waiting = [by_id[org_id] for org_id in ids if org_id in by_id]
    expired = [one.org for one in waiting if one.parked is not None and one.parked.code == EXPIRED]
    exchanged = await exchange_codes(
        [WaitingCode(one.org, one.client_id or "") for one in waiting if one.org not in expired],
        zoho.tokens.exchange,
        now=zoho.now,
        sleep=zoho.sleep,
        on_progress=on_progress,
        reserve=TokenStore(database, context.keyring).reserve_exchange,
    )
    return [*(ExchangedCode(org, no_token(Outcome.UNAUTHORIZED, EXPIRED)) for org in expired), *exchanged]


def _too_many(client_id: str, codes: int) -> str:
    limit = "Zoho exchanges ten of a client in ten minutes, and a code lives no longer than that"
    return f"{count(codes, 'grant code')} of the client {client_id}: {limit}"
