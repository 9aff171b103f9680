"""Zoho's limits and scopes, as pure functions: the simulator's own copy.

The poller's copy is not imported on purpose, so that the simulator checks the poller independently.
Source: Zoho's pages "API limits", "OAuth: token validity" and "Scopes", as gathered in the project's notes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

CREDIT_WINDOW_SECONDS: Final = 86_400
ISSUE_WINDOW_SECONDS: Final = 600
ISSUES_PER_WINDOW: Final = 10
"""Access tokens per refresh token, and grant tokens per client, in ten minutes."""
LIVE_TOKENS: Final = 15
"""Valid access tokens per refresh token; the next token silently ends the oldest one."""
REFRESH_TOKENS_PER_CLIENT: Final = 20
"""Refresh tokens per user and client; the next token ends the oldest one."""

USERS_SCOPE: Final = "ZohoCRM.users.READ"
ORG_SCOPE: Final = "ZohoCRM.org.READ"
FEATURES_SCOPE: Final = "ZohoCRM.features.READ"
ALL_SCOPES: Final = (USERS_SCOPE, ORG_SCOPE, FEATURES_SCOPE)


@dataclass(frozen=True, slots=True)
class Edition:
    """Credits per rolling day are `base + per_licence · licences`, at most `cap`; `in_flight` is per org and app."""

    base: int
    per_licence: int
    cap: float
    in_flight: int


EDITIONS: Final = {
    "free": Edition(5_000, 0, 5_000, 5),
    "standard": Edition(50_000, 250, 100_000, 10),
    "starter": Edition(50_000, 250, 100_000, 10),
    "professional": Edition(50_000, 500, 3_000_000, 15),
    "enterprise": Edition(50_000, 1_000, 5_000_000, 20),
    "zohooneenterprise": Edition(50_000, 1_000, 5_000_000, 20),
    "ultimate": Edition(50_000, 2_000, math.inf, 25),
    "crmplus": Edition(50_000, 2_000, math.inf, 25),
}


def credits_per_day(edition: str, licences: int) -> int:
    """The credits an org may spend in any 24 hours."""
    rule = EDITIONS[edition]
    return int(min(rule.base + rule.per_licence * licences, rule.cap))


def calls_in_flight(edition: str) -> int:
    """How many requests of one org and app Zoho serves at the same time."""
    return EDITIONS[edition].in_flight


def scope_allows(granted: frozenset[str], needed: str) -> bool:
    """True if the granted scopes (from `normal_scopes`) contain `needed`, or the `.ALL` scope that includes it."""
    wanted = needed.lower()
    return wanted in granted or wanted.rpartition(".")[0] + ".all" in granted


def normal_scopes(text: str) -> frozenset[str]:
    """Scopes in lower case, from a text with commas or spaces (Zoho's pages write both `users` and `Users`)."""
    return frozenset(text.lower().replace(",", " ").split())


GRANTED_SCOPES: Final = normal_scopes(" ".join(ALL_SCOPES))
"""The scopes to which every simulated customer has consented."""
