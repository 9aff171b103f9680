"""The accounts server of one data centre: the token endpoint with Zoho's limits.

Turns a form into a reply, as values; knows no sockets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from poller.simulator import replies, rules
from poller.simulator.api import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.simulator.replies import Reply
    from poller.simulator.state import OrgState, SimulatedZoho

INVALID_CLIENT: Final = replies.token_error("invalid_client")
INVALID_SECRET: Final = replies.token_error("invalid_client_secret")
INVALID_CODE: Final = replies.token_error("invalid_code")
MISSING_ORG: Final = replies.token_error("missing_org_info")
_LANGUAGES: Final = tuple(replies.THROTTLED_TEXTS)


@dataclass(frozen=True, slots=True)
class _Consent:
    """What a valid form is granted: an org's access token with these scopes, and for a grant code a refresh token."""

    state: OrgState
    scopes: frozenset[str]
    refresh_token: str | None = None


def answer(zoho: SimulatedZoho, data_center: str, form: Mapping[str, str], api_domain: str) -> Answer:
    """The reply to one token request; `api_domain` is the address of this data centre's API."""
    now = zoho.now()
    index = _org_named_in(zoho, form)
    state = None if index is None else zoho.org_state(index)
    if state is not None:
        state.audit.token_asked(now)
    fault = zoho.faults.match("token", org=index, data_center=data_center, user_type=None, now=now)
    if fault is not None and fault.spec.reply is not None:
        if state is not None and "throttled" in fault.name:
            state.audit.token_throttled(now)
        return Answer(fault.spec.reply, fault)
    outcome = _check_form(zoho, data_center, form)
    if not isinstance(outcome, _Consent):
        return Answer(outcome)
    refused = _throttle(zoho, outcome.state, now)
    if refused is not None:
        return Answer(refused)
    body: dict[str, Any] = {"access_token": zoho.issue(outcome.state, outcome.scopes)}
    if outcome.refresh_token is not None:
        body["refresh_token"] = outcome.refresh_token
    body |= {
        "scope": " ".join(scope for scope in rules.ALL_SCOPES if rules.scope_allows(outcome.scopes, scope)),
        "api_domain": api_domain,
        "token_type": "Bearer",
        "expires_in": zoho.options.token_seconds,
    }
    if fault is not None and fault.spec.alter is not None:
        fault.spec.alter(body)
    return Answer(replies.of_json(200, body), fault)


def _check_form(zoho: SimulatedZoho, data_center: str, form: Mapping[str, str]) -> _Consent | Reply:
    client = zoho.fleet.client_of_id(form.get("client_id", ""))
    if client is None or zoho.fleet.data_center(client * zoho.fleet.orgs_per_client) != data_center:
        return INVALID_CLIENT
    if form.get("client_secret") != zoho.fleet.client_secret(client):
        return INVALID_SECRET
    match form.get("grant_type"):
        case "refresh_token":
            return _refresh(zoho, client, form.get("refresh_token", ""))
        case "authorization_code":
            return _exchange(zoho, client, form.get("code", ""))
        case "client_credentials":
            return _of_client(zoho, client, form)
        case _:
            return replies.token_error("unsupported_grant_type")


def _refresh(zoho: SimulatedZoho, client: int, refresh_token: str) -> _Consent | Reply:
    index = _index_of_client(zoho, client, zoho.fleet.index_of_token(refresh_token))
    if index is None:
        return INVALID_CODE
    state = zoho.org_state(index)
    if state.revoked or refresh_token != zoho.fleet.refresh_token(index, state.generation):
        return INVALID_CODE
    return _Consent(state, state.scopes)


def _exchange(zoho: SimulatedZoho, client: int, code: str) -> _Consent | Reply:
    now = zoho.now()
    recent = zoho.exchanged_at.setdefault(client, [])
    while recent and recent[0] <= now - rules.ISSUE_WINDOW_SECONDS:
        del recent[0]
    recent.append(now)
    if len(recent) > rules.ISSUES_PER_WINDOW:
        zoho.audit.breach(f"client {client}: more than 10 codes exchanged in ten minutes")
        return replies.throttled("en", 400)
    index = _index_of_client(zoho, client, zoho.fleet.index_of_token(code))
    if index is None or code in zoho.used_codes:
        return INVALID_CODE
    minted_at = zoho.started_at if code == zoho.fleet.grant_code(index) else zoho.minted.get(code)
    if minted_at is None or now >= minted_at + zoho.options.grant_code_seconds:
        return INVALID_CODE
    zoho.used_codes.add(code)
    state = zoho.org_state(index)
    state.revoked = False
    _end_oldest_consent(zoho, client, index)
    return _Consent(state, state.scopes, zoho.fleet.refresh_token(index, state.generation))


def _end_oldest_consent(zoho: SimulatedZoho, client: int, index: int) -> None:
    """All consents of a client come from one login here, so the twenty-first refresh token ends the oldest one."""
    connected = zoho.connected.setdefault(client, [])
    if index in connected:
        connected.remove(index)
    connected.append(index)
    while len(connected) > rules.REFRESH_TOKENS_PER_CLIENT:
        oldest = zoho.org_state(connected.pop(0))
        oldest.revoked = True
        zoho.end_tokens(oldest)


def _of_client(zoho: SimulatedZoho, client: int, form: Mapping[str, str]) -> _Consent | Reply:
    service, _, zgid = form.get("soid", "").partition(".")
    index = _index_of_client(zoho, client, zoho.fleet.index_of_zgid(zgid))
    if service != "ZohoCRM" or index is None:
        return MISSING_ORG
    state = zoho.org_state(index)
    asked = rules.normal_scopes(form.get("scope", ""))
    families = {scope.rpartition(".")[0] for scope in state.scopes}
    scopes = frozenset(scope for scope in asked if scope.rpartition(".")[0] in families)
    if state.revoked or not scopes:
        return replies.token_error("invalid_scope")
    return _Consent(state, scopes)


def _throttle(zoho: SimulatedZoho, state: OrgState, now: float) -> Reply | None:
    """Refuses the eleventh token in ten minutes; each refused request prolongs the throttling."""
    while state.issued_at and state.issued_at[0] <= now - rules.ISSUE_WINDOW_SECONDS:
        del state.issued_at[0]
    if now >= state.throttled_until and len(state.issued_at) < rules.ISSUES_PER_WINDOW:
        return None
    state.throttled_until = now + zoho.options.throttle_seconds
    state.audit.token_throttled(now)
    return replies.throttled(_LANGUAGES[state.index % len(_LANGUAGES)], 400 if state.index % 2 == 0 else 200)


def _org_named_in(zoho: SimulatedZoho, form: Mapping[str, str]) -> int | None:
    """The org that the form names, valid or not, for the audit and the faults."""
    for name in ("refresh_token", "code"):
        if name in form:
            return zoho.fleet.index_of_token(form[name])
    return zoho.fleet.index_of_zgid(form.get("soid", "").rpartition(".")[2])


def _index_of_client(zoho: SimulatedZoho, client: int, index: int | None) -> int | None:
    """The org's number, if the org belongs to this client."""
    return index if index is not None and index // zoho.fleet.orgs_per_client == client else None
