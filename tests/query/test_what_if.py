"""Changes of a capacity plan: the syntax of `--what-if`, and the changed fleet."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from poller.core.editions import EDITIONS
from poller.core.errors import UsageError
from poller.core.planning import OrgToPlan
from poller.query.plan import groups_of, plan_scenario
from poller.query.plan_figures import DEFAULTS, Figures
from poller.query.what_if import OrgsAlike, Scenario, apply, read_changes, scenario_of
from poller.settings import Settings

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FLEET = [
    *(OrgToPlan(f"Enterprise {number}", "enterprise", 40, None) for number in range(60)),
    *(OrgToPlan(f"Free {number}", "free", 3, None) for number in range(30)),
    *(OrgToPlan(f"Hourly {number}", "standard", 20, 3_600) for number in range(10)),
]

orgs = st.builds(
    OrgToPlan,
    name=st.text(max_size=5),
    edition=st.none() | st.sampled_from(sorted(EDITIONS)),
    licences=st.none() | st.integers(0, 5_000),
    interval_seconds=st.none() | st.integers(1, 86_400),
)


def fleet() -> Scenario:
    return scenario_of(FLEET, Settings())


def by_edition(scenario: Scenario) -> dict[str | None, int]:
    found: dict[str | None, int] = {}
    for one in scenario.groups:
        found[one.edition] = found.get(one.edition, 0) + one.orgs
    return found


@given(
    fleet=st.lists(orgs, max_size=12),
    share=st.floats(1e-4, 1),
    interval=st.integers(1, 86_400),
)
def test_a_stretched_interval_is_never_shorter_than_asked_and_never_costs_more_than_the_share(
    fleet: list[OrgToPlan], share: float, interval: int
) -> None:
    scenario = scenario_of(fleet, Settings(credit_share=share, poll_interval_seconds=interval))
    for group in groups_of(scenario):
        assert group.effective_seconds >= group.interval_seconds
        if group.share_credits >= 10:
            assert 86_400 / group.effective_seconds * 10 <= group.share_credits
    plan = plan_scenario(scenario, DEFAULTS, NOW)
    assert sum(row.orgs for row in plan.rows()) == len(fleet)
    assert sum(row.credits_a_day for row in plan.rows()) == pytest.approx(plan.whole.credits_a_day)
    assert sum(row.orgs for row in plan.rows() if row.is_stretched) == plan.whole.stretched_orgs


@given(fleet=st.lists(orgs, max_size=12), more=st.integers(0, 500))
def test_adding_orgs_adds_exactly_as_many_and_never_needs_fewer_credits(fleet: list[OrgToPlan], more: int) -> None:
    before = scenario_of(fleet, Settings())
    after = apply(before, read_changes(f"orgs=+{more}"))
    assert after.orgs == before.orgs + more
    credits_before, credits_after = (plan_scenario(one, DEFAULTS, NOW).whole.credits_a_day for one in (before, after))
    assert credits_after >= credits_before * (1 - 1e-9)


def test_orgs_are_added_and_taken_away_in_the_mix_of_the_fleet() -> None:
    assert by_edition(apply(fleet(), read_changes("orgs=+200"))) == {"enterprise": 180, "free": 90, "standard": 30}
    assert by_edition(apply(fleet(), read_changes("orgs=-50"))) == {"enterprise": 30, "free": 15, "standard": 5}
    assert by_edition(apply(fleet(), read_changes("orgs=1000"))) == {"enterprise": 600, "free": 300, "standard": 100}


def test_an_edition_is_that_of_the_added_or_removed_orgs_and_else_of_all() -> None:
    added = apply(fleet(), read_changes("orgs=+200,edition=ultimate,licences=7"))
    assert by_edition(added) == {"enterprise": 60, "free": 30, "standard": 10, "ultimate": 200}
    assert {one.licences for one in added.groups if one.edition == "ultimate"} == {7}
    assert by_edition(apply(fleet(), read_changes("orgs=-20,edition=free"))) == {
        "enterprise": 60,
        "free": 10,
        "standard": 10,
    }
    assert by_edition(apply(fleet(), read_changes("edition=professional"))) == {"professional": 100}
    assert by_edition(apply(fleet(), read_changes("orgs=7,edition=free"))) == {"free": 7}


def test_an_empty_fleet_grows_by_orgs_with_the_smallest_limits_unless_an_edition_is_given() -> None:
    empty = scenario_of([], Settings())
    assert apply(empty, read_changes("orgs=+5")).groups == (OrgsAlike(None, None, None, 5),)
    assert by_edition(apply(empty, read_changes("orgs=2000,edition=enterprise"))) == {"enterprise": 2_000}


def test_an_interval_holds_for_every_org_and_other_settings_for_the_fleet() -> None:
    changed = apply(fleet(), read_changes("interval=5m,share=0.2,in_flight=1,concurrency=128,retention=2y"))
    assert {group.interval_seconds for group in groups_of(changed)} == {300}
    assert (changed.interval_seconds, changed.credit_share, changed.in_flight_share) == (300, 0.2, 1.0)
    assert changed.concurrency == 128
    assert str(changed.snapshot_retention) == "2y"
    assert apply(fleet(), read_changes("retention=forever")).snapshot_retention is None


def test_several_changes_are_applied_one_after_the_other() -> None:
    scenario = fleet()
    for text in ("orgs=-100", "orgs=+10,edition=free", "orgs=+10,edition=crmplus", "interval=1h"):
        scenario = apply(scenario, read_changes(text))
    assert by_edition(scenario) == {"free": 10, "crmplus": 10}
    assert {group.interval_seconds for group in groups_of(scenario)} == {3_600}


@pytest.mark.parametrize(
    "text",
    [
        *("", "interval", "interval=", "interval=0", "interval=2d", "interval=soon", "speed=2", "=5", "orgs=", ",,"),
        *("orgs=many", "orgs=+-3", "orgs=1.5", "orgs=99999999", "orgs=\u0663", "share=0", "share=1.1", "share=nan"),
        *("share=-1", "share=1e-3", "edition=gold", "licences=-1", "licences=9999999", "in_flight=0"),
        *("concurrency=0", "concurrency=20000", "retention=soon", "interval=5m,interval=6m", "interval=5m,"),
    ],
)
def test_anything_else_is_refused_with_its_remedy(text: str) -> None:
    with pytest.raises(UsageError, match="--what-if") as refused:
        read_changes(text)
    assert refused.value.remedy


def test_no_more_orgs_can_be_taken_away_than_there_are() -> None:
    with pytest.raises(UsageError, match="there are 30 such orgs"):
        apply(fleet(), read_changes("orgs=-31,edition=free"))


def test_every_default_names_its_source() -> None:
    figures = Figures(DEFAULTS, {}, 0, 0, None)
    assert all(figures.source(field.name) for field in fields(DEFAULTS))
