"""The API of one data centre: counts, org and licences, with Zoho's refusals, credits and limit of requests in flight.

Turns a request into a reply, as values; knows no sockets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

import orjson

from poller.simulator import replies, rules
from poller.simulator.population import USER_TYPES
from poller.simulator.replies import Reply

if TYPE_CHECKING:
    from poller.simulator.faults import Endpoint, Fault
    from poller.simulator.state import AccessToken, OrgState, SimulatedZoho

VERSIONS: Final = ("v2", "v2.1", "v3", "v4", "v5", "v6", "v7", "v8")
_PLACES: Final = {user_type: place for place, user_type in enumerate(USER_TYPES)}
_ENDPOINTS: Final[dict[str, tuple[Endpoint, str]]] = {
    "/users/actions/count": ("count", rules.USERS_SCOPE),
    "/org": ("org", rules.ORG_SCOPE),
    "/__features/user_licenses": ("licences", rules.FEATURES_SCOPE),
}


@dataclass(frozen=True, slots=True)
class Route:
    """What a request target asks for; `user_type` as given, by default `AllUsers`."""

    endpoint: Endpoint
    scope: str
    user_type: str
    query: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """One request: the state of the org that its token names, and the token itself if it was ever issued."""

    data_center: str
    route: Route
    method: str
    token: AccessToken | None = None
    state: OrgState | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to a request, and the fault that caused it."""

    reply: Reply
    fault: Fault | None = None


def route_of(target: str) -> Route | None:
    """The route of a raw request target; None if there is none."""
    return _PLAIN_ROUTES.get(target) or _parsed_route(target)


def answer(zoho: SimulatedZoho, call: Call) -> Answer:
    """The reply to one request, which already counts as in flight."""
    now = zoho.now()
    fault = _matching_fault(zoho, call, now)
    if fault is not None:
        return Answer(_faulty(zoho, fault, call), fault)
    if call.token is None or call.state is None:
        return Answer(replies.INVALID_TOKEN)
    refused = _refusal(call, call.token, call.state, now)
    if refused is not None:
        return Answer(refused)
    return Answer(_serve(zoho, call.route, call.token, call.state, now))


def _matching_fault(zoho: SimulatedZoho, call: Call, now: float) -> Fault | None:
    endpoint = call.route.endpoint
    return zoho.faults.match(
        endpoint,
        org=None if call.state is None else call.state.index,
        data_center=call.data_center,
        user_type=call.route.user_type if endpoint == "count" else None,
        now=now,
    )


def _refusal(call: Call, token: AccessToken, state: OrgState, now: float) -> Reply | None:
    """The refusal of an invalid request, which costs no credit; None if the request is valid."""
    if call.method != "GET":
        return replies.WRONG_METHOD
    if token.expires_at <= now or state.data_center != call.data_center:
        return replies.INVALID_TOKEN
    if not rules.scope_allows(token.scopes, call.route.scope):
        return replies.SCOPE_MISMATCH
    if not state.api_access:
        return replies.NO_API_ACCESS
    return None if call.route.user_type in _PLACES else replies.WRONG_TYPE


def _serve(zoho: SimulatedZoho, route: Route, token: AccessToken, state: OrgState, now: float) -> Reply:
    left = zoho.credits_left(state)
    if state.in_flight > state.in_flight_cap or left <= 0:
        return _too_many(zoho, state, now)
    zoho.spend(state, 1)
    match route.endpoint:
        case "org":
            reply = Reply(200, _org(zoho, state, now), token.headers)
        case "licences":
            reply = _licences(zoho, state, token, now)
        case _:
            count = zoho.counts(state.index, now)[_PLACES[route.user_type]]
            reply = Reply(200, b'{"count":%d}' % count, token.headers)
    if 2 * (left - 1) <= zoho.credit_limit(state):
        reply = reply.with_headers(X_API_CREDITS_REMAINING=str(left - 1))
    return reply


def _too_many(zoho: SimulatedZoho, state: OrgState, now: float) -> Reply:
    """The 429 for credits or requests in flight, which Zoho does not distinguish; every other one in the old format."""
    reply = replies.TOO_MANY if state.audit.too_many % 2 == 0 else replies.TOO_MANY_OLDER
    options = zoho.options
    state.audit.refused(now, None if options.retry_after == "off" else options.retry_after_seconds)
    return reply.with_headers(**replies.retry_after(options.retry_after_seconds, options.retry_after, now))


def _faulty(zoho: SimulatedZoho, fault: Fault, call: Call) -> Reply:
    state = call.state
    reply = fault.spec.reply or Reply(200)
    if not fault.spec.hides_count:
        place = _PLACES.get(call.route.user_type, 0)
        number = zoho.counts(state.index, zoho.now())[place] if state is not None else 0
        reply = Reply(reply.status, reply.body.replace(b"@COUNT@", b"%d" % number), reply.headers)
    if fault.retry_after is not None:
        spelling = "date" if fault.retry_after_date else "seconds"
        reply = reply.with_headers(**replies.retry_after(fault.retry_after, spelling, zoho.now()))
    if reply.status == 429 and state is not None:
        state.audit.refused(zoho.now(), fault.retry_after)
    return reply


def _org(zoho: SimulatedZoho, state: OrgState, now: float) -> bytes:
    org = zoho.simulated_org(state.index)
    paid = org.edition != "free"
    details = {
        "paid": paid,
        "paid_type": org.edition,
        "paid_expiry": "2099-12-31T00:00:00+00:00" if paid else None,
        "trial_type": None,
        "trial_expiry": None,
        "users_license_purchased": zoho.licences(state.index, now),
    }
    entry = {
        "zgid": org.zgid,
        "id": f"{int(org.zgid) * 1_000_003}",
        "company_name": org.name,
        "time_zone": org.time_zone,
        "type": "production",
        "license_details": details,
    }
    return orjson.dumps({"org": [entry]})


def _licences(zoho: SimulatedZoho, state: OrgState, token: AccessToken, now: float) -> Reply:
    if state.shape.edition == "free":
        return Reply(204, b"", {"X-ACCESSTOKEN-RESET": token.headers["X-ACCESSTOKEN-RESET"]})
    bought, used = zoho.licences(state.index, now), zoho.counts(state.index, now).active
    details = {
        "limits": {"total": bought},
        "used_count": {"total": used},
        "available_count": {"total": bought - used},
    }
    feature = {"api_name": "user_licenses", "feature_label": "User Licenses", "details": details}
    body = {"__features": [feature], "info": {"more_records": False, "count": 1}}
    return Reply(200, orjson.dumps(body), token.headers)


@lru_cache(maxsize=1_024)
def _parsed_route(target: str) -> Route | None:
    parts = urlsplit(target)
    crm, _, rest = parts.path.removeprefix("/crm/").partition("/")
    found = _ENDPOINTS.get(f"/{rest}")
    if not parts.path.startswith("/crm/") or crm not in VERSIONS or found is None:
        return None
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    user_type = query.get("type", "AllUsers") if found[0] == "count" else "AllUsers"
    return Route(*found, user_type, tuple(query))


_PLAIN_ROUTES: Final = {
    f"/crm/{version}/users/actions/count?type={user_type}": Route("count", rules.USERS_SCOPE, user_type, ("type",))
    for version in VERSIONS
    for user_type in USER_TYPES
}
