"""The control API: changes the simulation, for example withdraws a consent, spends credits or adds faults.

Other processes use `GET|POST|DELETE /__sim/…`; tests in this process call the functions. An invalid request gets 400
with the reason. The fleet that it returns contains secrets, which are useless outside the simulation.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import orjson

from poller.simulator import replies, rules
from poller.simulator.audit import Audit, OrgAudit
from poller.simulator.faults import parse_faults
from poller.simulator.fleet import import_lines
from poller.simulator.population import USER_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from poller.simulator.replies import Reply
    from poller.simulator.state import SimulatedZoho

PREFIX: Final = "/__sim/"


def revoke(zoho: SimulatedZoho, index: int) -> None:
    """The customer withdraws the consent: no more tokens, and the valid ones end."""
    state = zoho.org_state(index)
    state.revoked = True
    zoho.end_tokens(state)


def restore(zoho: SimulatedZoho, index: int) -> None:
    """Resets consent, scopes and API access."""
    state = zoho.org_state(index)
    state.revoked, state.api_access = False, True
    state.scopes = rules.GRANTED_SCOPES


def rotate(zoho: SimulatedZoho, index: int) -> str:
    """A new consent replaces the old one; returns its refresh token."""
    state = zoho.org_state(index)
    state.generation += 1
    state.revoked = False
    zoho.end_tokens(state)
    return zoho.fleet.refresh_token(index, state.generation)


def narrow(zoho: SimulatedZoho, index: int, scopes: str) -> None:
    """The next tokens have only these scopes (separated by spaces); the valid ones end."""
    state = zoho.org_state(index)
    state.scopes = rules.normal_scopes(scopes)
    zoho.end_tokens(state)


def deny_api(zoho: SimulatedZoho, index: int) -> None:
    """An administrator removes API access from the user who gave the consent."""
    zoho.org_state(index).api_access = False


def end_tokens(zoho: SimulatedZoho, index: int) -> None:
    """Ends every access token of the org, as if fifteen others had been issued."""
    zoho.end_tokens(zoho.org_state(index))


def spend(zoho: SimulatedZoho, index: int, amount: int) -> int:
    """The customer's other programs spend credits; returns how many are left."""
    state = zoho.org_state(index)
    zoho.spend(state, amount)
    return zoho.credits_left(state)


def expected_counts(zoho: SimulatedZoho, index: int, at: datetime) -> dict[str, int]:
    """All ten counts at a time of the simulator's clock."""
    return dict(zip(USER_TYPES, zoho.counts(index, at.timestamp()), strict=True))


def report(zoho: SimulatedZoho) -> dict[str, Any]:
    """The audit as JSON values."""
    return zoho.audit.report(state.audit for state in zoho.orgs.values())


def clear_audit(zoho: SimulatedZoho) -> None:
    """Starts a new audit; requests in flight still count as such."""
    zoho.audit = Audit()
    for state in zoho.orgs.values():
        state.audit = OrgAudit(state.index, state.audit.name, state.audit.in_flight_cap)


def handle(zoho: SimulatedZoho, method: str, path: str, query: str, body: bytes) -> Reply:
    """The reply to a request under `/__sim/`."""
    wanted = _HANDLERS.get((method, path.removeprefix(PREFIX)))
    if wanted is None:
        known = ", ".join(f"{known_method} {PREFIX}{name}" for known_method, name in _HANDLERS)
        return replies.of_json(404, {"error": f"there are: {known}"})
    try:
        given = orjson.loads(body) if body else {}
        if isinstance(given, dict):
            given |= dict(parse_qsl(query))
        return wanted(zoho, given)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, OSError) as wrong:
        return replies.of_json(400, {"error": f"{type(wrong).__name__}: {wrong}"})


def _org(zoho: SimulatedZoho, given: Mapping[str, Any]) -> int:
    return zoho.find(given["org"])


def _moment(zoho: SimulatedZoho, given: Mapping[str, Any]) -> datetime:
    """`at` as ISO time or seconds; by default now."""
    at = given.get("at")
    if at is None:
        return datetime.fromtimestamp(zoho.now(), UTC)
    try:
        return datetime.fromtimestamp(float(at), UTC)
    except ValueError:
        moment = datetime.fromisoformat(at)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _get_truth(zoho: SimulatedZoho, given: Mapping[str, Any]) -> Reply:
    moment = _moment(zoho, given)
    index = _org(zoho, given)
    counts = expected_counts(zoho, index, moment)
    return replies.of_json(200, {"org": zoho.fleet.name(index), "at": moment.isoformat(), "counts": counts})


def _get_fleet(zoho: SimulatedZoho, given: Mapping[str, Any]) -> Reply:
    first, number = int(given.get("first", 0)), int(given.get("count", zoho.fleet.size))
    orgs = map(zoho.simulated_org, range(first, min(first + number, zoho.fleet.size)))
    lines = import_lines(orgs, "csv" if given.get("format") == "csv" else "jsonl")
    return replies.Reply(200, "".join(lines).encode(), {"Content-Type": "text/plain;charset=UTF-8"})


def _post_faults(zoho: SimulatedZoho, given: Any) -> Reply:
    zoho.add_faults(parse_faults(given if isinstance(given, list) else [given]))
    return replies.of_json(200, zoho.faults.listed())


def _delete_faults(zoho: SimulatedZoho, _given: Any) -> Reply:
    zoho.faults.clear()
    return replies.of_json(200, [])


def _delete_audit(zoho: SimulatedZoho, _given: Any) -> Reply:
    clear_audit(zoho)
    return replies.of_json(200, report(zoho))


def _post_clock(zoho: SimulatedZoho, given: Mapping[str, Any]) -> Reply:
    zoho.advanced_seconds += float(given["advance"])
    return replies.of_json(200, {"now": zoho.now()})


def _on_org(act: Callable[[SimulatedZoho, int, Mapping[str, Any]], Any]) -> Callable[[SimulatedZoho, Any], Reply]:
    def handler(zoho: SimulatedZoho, given: Any) -> Reply:
        index = _org(zoho, given)
        result = act(zoho, index, given)
        return replies.of_json(200, {"org": zoho.fleet.name(index), "result": result})

    return handler


_HANDLERS: Final[Mapping[tuple[str, str], Callable[[SimulatedZoho, Any], Reply]]] = {
    ("GET", "audit"): lambda zoho, _: replies.of_json(200, report(zoho)),
    ("DELETE", "audit"): _delete_audit,
    ("GET", "truth"): _get_truth,
    ("GET", "fleet"): _get_fleet,
    ("GET", "faults"): lambda zoho, _: replies.of_json(200, zoho.faults.listed()),
    ("POST", "faults"): _post_faults,
    ("DELETE", "faults"): _delete_faults,
    ("POST", "clock"): _post_clock,
    ("POST", "revoke"): _on_org(lambda zoho, index, _: revoke(zoho, index)),
    ("POST", "restore"): _on_org(lambda zoho, index, _: restore(zoho, index)),
    ("POST", "rotate"): _on_org(lambda zoho, index, _: rotate(zoho, index)),
    ("POST", "narrow"): _on_org(lambda zoho, index, given: narrow(zoho, index, given["scopes"])),
    ("POST", "deny_api"): _on_org(lambda zoho, index, _: deny_api(zoho, index)),
    ("POST", "end_tokens"): _on_org(lambda zoho, index, _: end_tokens(zoho, index)),
    ("POST", "spend"): _on_org(lambda zoho, index, given: spend(zoho, index, int(given["credits"]))),
    ("POST", "grant_code"): _on_org(lambda zoho, index, _: zoho.grant_code(index)),
}
