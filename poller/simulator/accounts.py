"""The accounts server of one data centre: the token endpoint, with Zoho's limits on it.

Answers a form with a value; it refuses to touch a socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from poller.simulator import replies, rules
from poller.simulator.api import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.simulator.replies import Reply
    from poller.simulator.state import OrgState, World

INVALID_CLIENT: Final = replies.token_error("invalid_client")
INVALID_SECRET: Final = replies.token_error("invalid_client_secret")
INVALID_CODE: Final = replies.token_error("invalid_code")
MISSING_ORG: Final = replies.token_error("missing_org_info")
_LANGUAGES: Final = tuple(replies.THROTTLED_TEXTS)


@dataclass(frozen=True, slots=True)
class _Consent:
    """What a form proves: whose token it may have, with which scopes; a code is exchanged for a refresh token too."""

    state: OrgState
    scopes: frozenset[str]
    refresh_token: str | None = None


def answer(world: World, data_center: str, form: Mapping[str, str], api_domain: str) -> Answer:
    """The reply to one request for a token; `api_domain` is where this data centre's API is."""
    now = world.now()
    index = _org_spoken_of(world, form)
    state = None if index is None else world.state(index)
    if state is not None:
        state.audit.token_asked(now)
    fault = world.faults.strike("token", org=index, data_center=data_center, user_type=None, now=now)
    if fault is not None and fault.spec.reply is not None:
        if state is not None and "throttled" in fault.name:
            state.audit.token_throttled(now)
        return Answer(fault.spec.reply, fault)
    outcome = _judge(world, data_center, form)
    if not isinstance(outcome, _Consent):
        return Answer(outcome)
    refused = _throttle(world, outcome.state, now)
    if refused is not None:
        return Answer(refused)
    body: dict[str, Any] = {"access_token": world.issue(outcome.state, outcome.scopes)}
    if outcome.refresh_token is not None:
        body["refresh_token"] = outcome.refresh_token
    body |= {
        "scope": " ".join(scope for scope in rules.ALL_SCOPES if rules.scope_allows(outcome.scopes, scope)),
        "api_domain": api_domain,
        "token_type": "Bearer",
        "expires_in": world.options.token_seconds,
    }
    if fault is not None and fault.spec.alter is not None:
        fault.spec.alter(body)
    return Answer(replies.of_json(200, body), fault)


def _judge(world: World, data_center: str, form: Mapping[str, str]) -> _Consent | Reply:
    client = world.fleet.client_of_id(form.get("client_id", ""))
    if client is None or world.fleet.data_center(client * world.fleet.orgs_per_client) != data_center:
        return INVALID_CLIENT
    if form.get("client_secret") != world.fleet.client_secret(client):
        return INVALID_SECRET
    match form.get("grant_type"):
        case "refresh_token":
            return _refresh(world, client, form.get("refresh_token", ""))
        case "authorization_code":
            return _exchange(world, client, form.get("code", ""))
        case "client_credentials":
            return _of_client(world, client, form)
        case _:
            return replies.token_error("unsupported_grant_type")


def _refresh(world: World, client: int, refresh_token: str) -> _Consent | Reply:
    index = _index_of_client(world, client, world.fleet.index_of_token(refresh_token))
    if index is None:
        return INVALID_CODE
    state = world.state(index)
    if state.revoked or refresh_token != world.fleet.refresh_token(index, state.generation):
        return INVALID_CODE
    return _Consent(state, state.scopes)


def _exchange(world: World, client: int, code: str) -> _Consent | Reply:
    now = world.now()
    recent = world.exchanged_at.setdefault(client, [])
    while recent and recent[0] <= now - rules.ISSUE_WINDOW_SECONDS:
        del recent[0]
    recent.append(now)
    if len(recent) > rules.ISSUES_PER_WINDOW:
        world.audit.breach(f"client {client}: more than 10 codes exchanged in ten minutes")
        return replies.throttled("en", 400)
    index = _index_of_client(world, client, world.fleet.index_of_token(code))
    if index is None or code in world.used_codes:
        return INVALID_CODE
    minted_at = world.started_at if code == world.fleet.grant_code(index) else world.minted.get(code)
    if minted_at is None or now >= minted_at + world.options.grant_code_seconds:
        return INVALID_CODE
    world.used_codes.add(code)
    state = world.state(index)
    state.revoked = False
    _keep_twenty(world, client, index)
    return _Consent(state, state.scopes, world.fleet.refresh_token(index, state.generation))


def _keep_twenty(world: World, client: int, index: int) -> None:
    """The consents of one client are given by one login here, so the twenty-first refresh token ends the oldest."""
    connected = world.connected.setdefault(client, [])
    if index in connected:
        connected.remove(index)
    connected.append(index)
    while len(connected) > rules.REFRESH_TOKENS_PER_CLIENT:
        oldest = world.state(connected.pop(0))
        oldest.revoked = True
        world.end_tokens(oldest)


def _of_client(world: World, client: int, form: Mapping[str, str]) -> _Consent | Reply:
    service, _, zgid = form.get("soid", "").partition(".")
    index = _index_of_client(world, client, world.fleet.index_of_zgid(zgid))
    if service != "ZohoCRM" or index is None:
        return MISSING_ORG
    state = world.state(index)
    asked = rules.normal_scopes(form.get("scope", ""))
    families = {scope.rpartition(".")[0] for scope in state.scopes}
    scopes = frozenset(scope for scope in asked if scope.rpartition(".")[0] in families)
    if state.revoked or not scopes:
        return replies.token_error("invalid_scope")
    return _Consent(state, scopes)


def _throttle(world: World, state: OrgState, now: float) -> Reply | None:
    """The eleventh in ten minutes is refused, and asking while refused prolongs it."""
    while state.issued_at and state.issued_at[0] <= now - rules.ISSUE_WINDOW_SECONDS:
        del state.issued_at[0]
    if now >= state.throttled_until and len(state.issued_at) < rules.ISSUES_PER_WINDOW:
        return None
    state.throttled_until = now + world.options.throttle_seconds
    state.audit.token_throttled(now)
    return replies.throttled(_LANGUAGES[state.index % len(_LANGUAGES)], 400 if state.index % 2 == 0 else 200)


def _org_spoken_of(world: World, form: Mapping[str, str]) -> int | None:
    """The org the form is about, genuine or not, for the audit and the faults."""
    for name in ("refresh_token", "code"):
        if name in form:
            return world.fleet.index_of_token(form[name])
    return world.fleet.index_of_zgid(form.get("soid", "").rpartition(".")[2])


def _index_of_client(world: World, client: int, index: int | None) -> int | None:
    """The org, if it is one of this client's."""
    return index if index is not None and index // world.fleet.orgs_per_client == client else None
