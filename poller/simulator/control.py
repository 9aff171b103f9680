"""The strings behind the scene: a customer withdraws consent, an administrator spends credits, a script of faults.

`GET|POST|DELETE /__sim/…` for other processes, the same functions for tests in this one. It refuses what it does not
know with 400 and the reason. The fleet it hands out has its secrets in it: they are worth nothing outside.
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
    from poller.simulator.state import World

PREFIX: Final = "/__sim/"


def revoke(world: World, index: int) -> None:
    """The customer withdraws consent: no more tokens, and those alive end."""
    state = world.state(index)
    state.revoked = True
    world.end_tokens(state)


def restore(world: World, index: int) -> None:
    """Everything as at first: consent, scopes, API access."""
    state = world.state(index)
    state.revoked, state.api_access = False, True
    state.scopes = rules.GRANTED_SCOPES


def rotate(world: World, index: int) -> str:
    """Another consent takes the place of the old one; its refresh token is returned."""
    state = world.state(index)
    state.generation += 1
    state.revoked = False
    world.end_tokens(state)
    return world.fleet.refresh_token(index, state.generation)


def narrow(world: World, index: int, scopes: str) -> None:
    """The next tokens get these scopes only (by space); those alive end."""
    state = world.state(index)
    state.scopes = rules.normal_scopes(scopes)
    world.end_tokens(state)


def deny_api(world: World, index: int) -> None:
    """An administrator takes API access from the profile of the user behind the token."""
    world.state(index).api_access = False


def end_tokens(world: World, index: int) -> None:
    """Every access token alive ends at once, as if fifteen others had been asked for."""
    world.end_tokens(world.state(index))


def spend(world: World, index: int, amount: int) -> int:
    """The customer's other programs spend credits; returns what is left."""
    state = world.state(index)
    world.spend(state, amount)
    return world.credits_left(state)


def truths(world: World, index: int, at: datetime) -> dict[str, int]:
    """What all ten counts are at a moment of the simulator's clock."""
    return dict(zip(USER_TYPES, world.counts(index, at.timestamp()), strict=True))


def report(world: World) -> dict[str, Any]:
    """The audit of everything so far."""
    return world.audit.report(state.audit for state in world.orgs.values())


def clear_audit(world: World) -> None:
    """Forget what was seen so far; calls in flight stay in flight."""
    world.audit = Audit()
    for state in world.orgs.values():
        state.audit = OrgAudit(state.index, state.audit.name, state.audit.in_flight_cap)


def handle(world: World, method: str, path: str, query: str, body: bytes) -> Reply:
    """The reply to a request under `/__sim/`."""
    wanted = _HANDLERS.get((method, path.removeprefix(PREFIX)))
    if wanted is None:
        known = ", ".join(f"{known_method} {PREFIX}{name}" for known_method, name in _HANDLERS)
        return replies.of_json(404, {"error": f"there are: {known}"})
    try:
        given = orjson.loads(body) if body else {}
        if isinstance(given, dict):
            given |= dict(parse_qsl(query))
        return wanted(world, given)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, OSError) as wrong:
        return replies.of_json(400, {"error": f"{type(wrong).__name__}: {wrong}"})


def _org(world: World, given: Mapping[str, Any]) -> int:
    return world.find(given["org"])


def _moment(world: World, given: Mapping[str, Any]) -> datetime:
    """`at` as ISO time or seconds; now, if left out."""
    at = given.get("at")
    if at is None:
        return datetime.fromtimestamp(world.now(), UTC)
    try:
        return datetime.fromtimestamp(float(at), UTC)
    except ValueError:
        moment = datetime.fromisoformat(at)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _get_truth(world: World, given: Mapping[str, Any]) -> Reply:
    moment = _moment(world, given)
    index = _org(world, given)
    counts = truths(world, index, moment)
    return replies.of_json(200, {"org": world.fleet.name(index), "at": moment.isoformat(), "counts": counts})


def _get_fleet(world: World, given: Mapping[str, Any]) -> Reply:
    first, number = int(given.get("first", 0)), int(given.get("count", world.fleet.size))
    orgs = map(world.simulated_org, range(first, min(first + number, world.fleet.size)))
    lines = import_lines(orgs, "csv" if given.get("format") == "csv" else "jsonl")
    return replies.Reply(200, "".join(lines).encode(), {"Content-Type": "text/plain;charset=UTF-8"})


def _post_faults(world: World, given: Any) -> Reply:
    world.add_faults(parse_faults(given if isinstance(given, list) else [given]))
    return replies.of_json(200, world.faults.listed())


def _delete_faults(world: World, _given: Any) -> Reply:
    world.faults.clear()
    return replies.of_json(200, [])


def _delete_audit(world: World, _given: Any) -> Reply:
    clear_audit(world)
    return replies.of_json(200, report(world))


def _post_clock(world: World, given: Mapping[str, Any]) -> Reply:
    world.advanced_seconds += float(given["advance"])
    return replies.of_json(200, {"now": world.now()})


def _on_org(act: Callable[[World, int, Mapping[str, Any]], Any]) -> Callable[[World, Any], Reply]:
    def handler(world: World, given: Any) -> Reply:
        index = _org(world, given)
        result = act(world, index, given)
        return replies.of_json(200, {"org": world.fleet.name(index), "result": result})

    return handler


_HANDLERS: Final[Mapping[tuple[str, str], Callable[[World, Any], Reply]]] = {
    ("GET", "audit"): lambda world, _: replies.of_json(200, report(world)),
    ("DELETE", "audit"): _delete_audit,
    ("GET", "truth"): _get_truth,
    ("GET", "fleet"): _get_fleet,
    ("GET", "faults"): lambda world, _: replies.of_json(200, world.faults.listed()),
    ("POST", "faults"): _post_faults,
    ("DELETE", "faults"): _delete_faults,
    ("POST", "clock"): _post_clock,
    ("POST", "revoke"): _on_org(lambda world, index, _: revoke(world, index)),
    ("POST", "restore"): _on_org(lambda world, index, _: restore(world, index)),
    ("POST", "rotate"): _on_org(lambda world, index, _: rotate(world, index)),
    ("POST", "narrow"): _on_org(lambda world, index, given: narrow(world, index, given["scopes"])),
    ("POST", "deny_api"): _on_org(lambda world, index, _: deny_api(world, index)),
    ("POST", "end_tokens"): _on_org(lambda world, index, _: end_tokens(world, index)),
    ("POST", "spend"): _on_org(lambda world, index, given: spend(world, index, int(given["credits"]))),
    ("POST", "grant_code"): _on_org(lambda world, index, _: world.grant_code(index)),
}
