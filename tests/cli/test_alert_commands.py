"""`poller alerts`: the promised JSON, acknowledging, snoozing, rules, exclusions, and how each is undone."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from poller.store.database import connect
from poller.store.orgs.encryption import Keyring
from tests.alert_rows import add_alert
from tests.store.fleet import added, entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.command import Ended

    Poller = Callable[..., Ended]

PROMISED = [
    *("id", "rule", "org", "user_type", "state", "severity", "since", "value", "threshold", "message", "remedy"),
    "delivered_at",
]
BAD = (
    (("ack", "999"), 2, "there is no such alert; see `poller alerts`"),
    (("ack", "99999999999999999999"), 2, "less than or equal to 999999999999; see"),
    (("history", "99999999999999999999"), 2, "less than or equal to 999999999999; see"),
    (("ack", "<over>"), 1, "is resolved; there is nothing to do about it"),
    (("ack", "<pending>"), 1, "only an alert that fires"),
    (("snooze", "<seats>"), 2, "give how long to snooze; one of --for 7d"),
    (("snooze", "<seats>", "--for", "forever"), 2, "for 'forever' is not a duration; write 15m"),
    (("snooze", "<seats>", "--for", "7d", "--undo"), 2, "one of --for 7d"),
    (("snooze", "<seats>", "--until", "2020-01-01"), 2, "2020-01-01 is not in the future"),
    (("snooze", "<seats>", "--until", "2099-01-01"), 2, "is more than a year ahead"),
    (("--state", "on_fire"), 2, "--state on_fire: there is no such state; use one of pending"),
    (("--rule", "seats"), 2, "there is no rule 'seats'; did you mean seats_used?"),
    (("Acm",), 2, "there is no org 'Acm'; did you mean 'Acme'?"),
    (("history", "999"), 2, "there is no such alert"),
    (("rules", "add", "Bad Name", "--metric", "zero"), 2, "cannot be the name of a rule; write lower-case"),
    (("rules", "add", "new", "--metric", "zero"), 2, "a rule cannot be named new; choose another name"),
    (("rules", "add", "one"), 2, "the metric is missing; use one of AllUsers"),
    (("rules", "add", "one", "--metric", "users"), 2, "metric 'users': there is no such metric; use one of"),
    (("rules", "add", "one", "--metric", "idle_cost"), 2, "needs a threshold, in a month; give --above"),
    (("rules", "add", "one", "--metric", "zero", "--above", "3"), 2, "zero holds or not: it has no threshold"),
    (("rules", "add", "one", "--metric", "idle_cost", "--above", "nan"), 2, "'nan' is not a number; write one"),
    (("rules", "add", "step", "--metric", "zero"), 1, "a rule named step exists; choose another name"),
    (("rules", "set", "step", "--quiet", "22-7"), 2, "'22-7' are no quiet hours; write 22:00-07:00, or none"),
    (("rules", "set", "step", "--zone", "Europe/Berlin"), 2, "a time zone belongs to quiet hours; give"),
    (("rules", "set", "step", "--quiet", "22:00-07:00", "--zone", "Mars"), 2, "there is no time zone 'Mars'"),
    (("rules", "set", "step", "--for", "2y"), 2, "for 2y is more than a year; make it shorter"),
    (("rules", "set", "step", "--org", "Nobody"), 2, "there is no org 'Nobody'"),
    (("rules", "set", "step", "--above", "1", "--below", "2"), 2, "more than one threshold is given; give one of"),
    (("rules", "set", "step"), 2, "nothing to set; see the options"),
    (("rules", "remove", "stepp"), 2, "there is no rule 'stepp'; did you mean step?"),
    (("rules", "remove", "step", "--undo"), 1, "the rule step is not removed"),
    (("rules", "exclude"), 2, "nothing is given to exclude; name a rule, --org or --type"),
    (("rules", "exclude", "step", "--type", "Users"), 2, "'Users' is not a user type"),
    (("rules", "exclude", "step", "--until", "never"), 2, "'never' is not a time to come; write 30d"),
    (("rules", "exclude", "step", "--undo"), 2, "there is no such exclusion; see"),
    (("test",), 2, "no address is given; name a URL, or set POLLER_NOTIFY_URLS"),
    (("test", "--file", "absent"), 2, "absent cannot be read: No such file or directory; name a file"),
)


@dataclass
class Filled:
    """The numbers of the alerts by name."""

    ids: dict[str, int]

    def of(self, name: str) -> str:
        return str(self.ids[name])


@pytest.fixture
def alerts(on_database: str) -> Filled:
    """Alerts in every state of two orgs, and one about no org."""

    async def write() -> dict[str, int]:
        async with await connect(on_database) as database:
            keyring = Keyring({"k1": bytes(32)})
            acme = replace(entry("Acme"), tags=("gold", "emea"))
            first, second = await added(database, keyring, acme, replace(entry("Birch"), tags=("gold",)))
            return {
                "seats": await add_alert(database, "seats_used", first),
                "parked": await add_alert(database, "org_parked", second, severity="critical", message="it is parked"),
                "pending": await add_alert(database, "seats_run_out", first, "pending"),
                "snoozed": await add_alert(database, "step", first, "snoozed", subject="2026-11-20"),
                "clock": await add_alert(database, "worker_clock", None, subject="host-1", severity="critical"),
                "over": await add_alert(database, "users_zero", second, "resolved"),
                "long over": await add_alert(database, "users_zero", first, "resolved", resolved_hours_ago=30),
            }

    return Filled(asyncio.run(write()))


def rows(ended: Ended) -> list[Any]:
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


def test_alerts_json_has_the_promised_keys_and_lists_what_fires_first(poller: Poller, alerts: Filled) -> None:
    told = rows(poller("alerts", "--json"))
    assert all(list(one)[: len(PROMISED)] == PROMISED for one in told)
    wanted = ["clock", "parked", "seats", "pending", "snoozed", "over"]
    assert [one["id"] for one in told] == [alerts.ids[name] for name in wanted]
    seats = told[2]
    assert (seats["rule"], seats["org"], seats["state"], seats["value"]) == ("seats_used", "Acme", "firing", 97)
    assert (seats["threshold"], seats["remedy"], seats["delivered_at"]) == (95, "buy seats", None)
    assert told == rows(poller("alerts", "list", "--json"))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("Acme",), {"seats", "pending", "snoozed"}),
        (("--tag", "emea"), {"seats", "pending", "snoozed"}),
        (("--tag", "gold", "--tag", "emea", "--state", "firing"), {"seats"}),
        (("--state", "resolved"), {"over", "long over"}),
        (("--state", "firing,snoozed", "--data-center", "eu"), {"seats", "parked", "snoozed"}),
        (("--state", "never-polled", "--state", "firing"), {"seats", "parked"}),
        (("--rule", "worker_clock"), {"clock"}),
        (("--severity", "critical"), {"clock", "parked"}),
        (("list", "Birch"), {"parked", "over"}),
    ],
)
def test_filters_of_alerts_combine_with_and(
    options: tuple[str, ...], wanted: set[str], poller: Poller, alerts: Filled
) -> None:
    told = rows(poller("alerts", *options, "--json"))
    assert {one["id"] for one in told} == {alerts.ids[name] for name in wanted}


def test_the_table_names_each_remedy_once(poller: Poller, alerts: Filled) -> None:
    told = poller("alerts").out
    lines = told.splitlines()
    assert lines[0].split()[:4] == ["id", "state", "severity", "rule"]
    assert f"seats_used ({alerts.of('seats')}): buy seats" in lines
    assert "snoozed until" in told
    assert "3 alerts fire: `poller alerts`" in poller("status").out
    assert json.loads(poller("status", "--json").out)["alerts"]["firing"] == 3


def test_an_acknowledged_alert_can_be_made_to_fire_again(poller: Poller, alerts: Filled) -> None:
    seats = alerts.of("seats")
    done = poller("alerts", "ack", seats)
    assert (
        done.out == f"{seats} (seats_used, Acme): The alert is acknowledged: no more messages until it is resolved.\n"
    )
    assert "already" in poller("alerts", "ack", seats).out
    assert [one["state"] for one in rows(poller("alerts", "--rule", "seats_used", "--json"))] == ["acknowledged"]
    assert poller("alerts", "ack", seats, "--undo").out.endswith("The alert fires again.\n")
    changes = [(one["to_state"], one["by"]) for one in rows(poller("alerts", "history", seats, "--json"))]
    assert changes == [("firing", "command line"), ("acknowledged", "command line"), ("firing", "poller")]
    audit = [one["action"] for one in rows(poller("audit", "--json"))]
    assert audit == ["unacknowledge", "acknowledge"]


@pytest.mark.parametrize("undo", [("--undo",), ("--for", "0")])
def test_a_snoozed_alert_can_be_made_to_fire_again(undo: tuple[str, ...], poller: Poller, alerts: Filled) -> None:
    parked = alerts.of("parked")
    assert "The alert is snoozed until" in poller("alerts", "snooze", parked, "--for", "7d").out
    (one,) = rows(poller("alerts", "--rule", "org_parked", "--json"))
    assert one["state"] == "snoozed"
    assert one["snoozed_until"] > one["since"]
    assert poller("alerts", "snooze", parked, *undo).out.endswith("The alert fires again.\n")
    (one,) = rows(poller("alerts", "--rule", "org_parked", "--json"))
    assert (one["state"], one["snoozed_until"]) == ("firing", None)


def test_several_alerts_are_handled_at_once(poller: Poller, alerts: Filled) -> None:
    done = poller("alerts", "ack", alerts.of("seats"), alerts.of("parked"))
    assert len(done.out.splitlines()) == 2
    assert len(rows(poller("alerts", "--state", "acknowledged", "--json"))) == 2


def test_bad_input_is_one_line_with_a_remedy(poller: Poller, alerts: Filled) -> None:
    for arguments, code, told in BAD:
        given = [alerts.of(one.strip("<>")) if one.startswith("<") else one for one in arguments]
        ended = poller("alerts", *given)
        assert (ended.code, ended.out) == (code, ""), (arguments, ended)
        assert told in ended.error, arguments
        assert "; " in ended.error, arguments
