"""Writes a digest as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.query.digest import DigestFacts

_RUN_OUT: Final = ("org_id", "org", "purchased", "used", "exhausted_on", "exhausted_low", "exhausted_high")
_RENEWAL: Final = ("org_id", "org", "purchased", "used", "idle", "renews_on")


def digest_fields(facts: DigestFacts) -> dict[str, Any]:
    """The facts; each list has its first entries, and beside it stands how many there are."""
    return {
        "since": facts.since,
        "until": facts.until,
        "orgs": facts.orgs,
        "changed": _changed(facts),
        "needs_a_person": {
            "alerts": [group._asdict() for group in facts.alerts],
            "firing": facts.firing,
            "orgs": [
                {
                    "state": one.state,
                    "reason": one.reason,
                    "orgs": one.orgs,
                    "names": list(one.names),
                    "since": one.since,
                    "remedy": one.what_to_do,
                }
                for one in facts.troubles
            ],
            "in_trouble": facts.in_trouble,
        },
        "runs_out": {
            "seats": [_chosen(row, _RUN_OUT) for row in facts.seats.run_out],
            "within_30_days": facts.seats.run_out_30,
            "within_90_days": facts.seats.run_out_90,
            "renewals": [_chosen(row, _RENEWAL) for row in facts.seats.renewals],
            "renew_within_90_days": facts.seats.renew_90,
        },
        "unknown": {
            "orgs": [one._asdict() for one in facts.unknown.longest],
            "orgs_count": facts.unknown.orgs,
            "hours": facts.unknown.hours,
            "never_polled": [one._asdict() for one in facts.never],
            "never_polled_count": facts.never_count,
            "unrecorded_slots": facts.unrecorded.slots,
        },
    }


def _changed(facts: DigestFacts) -> dict[str, Any]:
    moves, arrivals = facts.moves, facts.arrivals
    return {
        "moves": [{**one._asdict(), "change": one.after - one.before} for one in moves.largest],
        "compared": moves.compared,
        "changed": moves.changed,
        "net": moves.net,
        "added": [one._asdict() for one in arrivals.added],
        "added_count": arrivals.added_count,
        "removed": [one._asdict() for one in arrivals.removed],
        "removed_count": arrivals.removed_count,
    }


def _chosen(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in names}
