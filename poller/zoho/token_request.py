"""Builds the form of a token request from an org's credentials, and describes why there is no token.

A form is sent as the body of a request and in no other way. Its secrets have a masked repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from poller.core.model import Outcome
from poller.core.remedies import remedy_for
from poller.core.secret import Secret
from poller.core.token import NO_CREDENTIALS, SCOPES, Credentials

if TYPE_CHECKING:
    from datetime import datetime

Form: TypeAlias = Mapping[str, str | Secret]

REMEDIES: Final[Mapping[str, str]] = {
    "unknown_data_center": "name one of Zoho's data centres for this org, or add its own to POLLER_DATA_CENTERS",
    "no_credentials": "import the org again with its credentials",
    "grant_code_waiting": "its grant code is not exchanged yet: run poller orgs check within the code's minutes",
    "grant_code_expired": (
        "the grant code has expired or was used: it lives 3 to 10 minutes, as chosen when it is made, and serves once; "
        "make a new one in the API console, Self Client > Generate Code, and import the org again within its minutes"
    ),
    "no_refresh_token": (
        "the grant code gave no refresh token: make a new one in the API console, Self Client > Generate Code, "
        "and import the org again"
    ),
    "forged_api_domain": (
        "the token reply names an API domain that is not Zoho's, so the reply is not used: look for a proxy between "
        "here and Zoho; if the domain is right, list it in POLLER_DATA_CENTERS"
    ),
    "token_budget": "ten tokens were issued in ten minutes: the poller waits automatically; see what restarts it",
    "token_held": "another worker is renewing this token and does not get done: the poller tries again automatically",
}
"""For the codes that only this package uses; the others are in `core.remedies`."""


@dataclass(frozen=True, slots=True)
class NoToken:
    """Why there is no token: outcome, code, what a person can do, and, if known, when to request one again.

    `retry`: the network failed, and a second request soon may succeed.
    """

    outcome: Outcome
    code: str
    remedy: str
    until: datetime | None = None
    retry: bool = False


def no_token(outcome: Outcome, code: str, until: datetime | None = None, *, retry: bool = False) -> NoToken:
    """A `NoToken` with the remedy of its code."""
    return NoToken(outcome, code, REMEDIES.get(code) or remedy_for(code), until, retry)


def token_form(credentials: Credentials | None, *, exchange: bool = False) -> Form | NoToken:
    """The form of a token request; one with a grant code only if `exchange`, because the request uses up the code."""
    if credentials is None:
        return no_token(Outcome.UNAUTHORIZED, NO_CREDENTIALS)
    form: dict[str, str | Secret] = {
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
    }
    if credentials.refresh_token is not None:
        return form | {"grant_type": "refresh_token", "refresh_token": credentials.refresh_token}
    if credentials.soid is not None:
        # Zoho documents scopes separated by commas; the soid names the org.
        return form | {"grant_type": "client_credentials", "scope": ",".join(SCOPES), "soid": credentials.soid}
    if credentials.grant_code is None:
        return no_token(Outcome.UNAUTHORIZED, NO_CREDENTIALS)
    if not exchange:
        return no_token(Outcome.UNAUTHORIZED, "grant_code_waiting")
    return form | {"grant_type": "authorization_code", "code": credentials.grant_code}
