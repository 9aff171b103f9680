"""The capacity plan of an installation: what polling its orgs costs, now or after planned changes."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from poller.analysis.capacity import Capacity, Costs, FleetPlan, GroupPlan, OrgGroup, plan_fleet
from poller.core.credits import affordable_interval, credits_to_spend
from poller.core.editions import daily_credits, limits_of
from poller.core.shares import polls_at_once
from poller.query.plan_figures import Figures, read_figures
from poller.query.what_if import Changes, OrgsAlike, Scenario, apply, scenario_of
from poller.store.capacity.planning import orgs_to_plan
from poller.store.queue.service_settings import recorded_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.core.retention import Retention
    from poller.settings import Settings
    from poller.store.database import Database


@dataclass(frozen=True, slots=True)
class PlannedOrgs:
    """Orgs of one group, and the cost of polling them."""

    orgs: OrgsAlike
    group: OrgGroup
    plan: GroupPlan

    @property
    def is_stretched(self) -> bool:
        """Whether the share of the credits pays for fewer polls than the interval needs."""
        return self.group.effective_seconds > self.group.interval_seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """A scenario and its figures."""

    scenario: Scenario
    planned: tuple[PlannedOrgs, ...]
    whole: FleetPlan

    def rows(self) -> list[PlannedRow]:
        """One row per edition, interval and effective interval; those with the most orgs come first."""
        alike: dict[tuple[str | None, int, int], list[PlannedOrgs]] = {}
        for one in self.planned:
            if one.orgs.orgs:
                key = (one.orgs.edition, one.group.interval_seconds, one.group.effective_seconds)
                alike.setdefault(key, []).append(one)
        rows = [PlannedRow(*key, tuple(parts)) for key, parts in alike.items()]
        return sorted(rows, key=lambda row: (-row.orgs, row.edition or "", row.interval_seconds))


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One row of the plan's table: orgs of one edition, interval and effective interval."""

    edition: str | None
    interval_seconds: int
    effective_seconds: int
    parts: tuple[PlannedOrgs, ...]

    @property
    def orgs(self) -> int:
        """The number of orgs."""
        return sum(one.orgs.orgs for one in self.parts)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the orgs that exist already."""
        return tuple(sorted(name for one in self.parts for name in one.orgs.names))

    @property
    def is_stretched(self) -> bool:
        """Whether the orgs are polled less often than their interval says."""
        return self.effective_seconds > self.interval_seconds

    @property
    def credits_a_day(self) -> float:
        """Credits a day of all its orgs."""
        return sum(one.plan.credits_a_day for one in self.parts)

    @property
    def allowance_share(self) -> float:
        """The largest part of its credits that any of its orgs spends on polls."""
        return max(one.plan.allowance_share for one in self.parts)

    def fields(self) -> dict[str, Any]:
        """The row as JSON values."""
        plans = [one.plan for one in self.parts]
        return {
            "edition": self.edition,
            "orgs": self.orgs,
            "interval_seconds": self.interval_seconds,
            "effective_interval_seconds": self.effective_seconds,
            "polls_per_org_and_day": round(sum(plan.orgs * plan.polls_per_org for plan in plans) / self.orgs, 1),
            "credits_per_org_and_day": round(self.credits_a_day / self.orgs, 1),
            "credits_a_day": round(self.credits_a_day),
            "allowance_share": round(self.allowance_share, 6),
            "refused_polls_a_day": round(sum(plan.orgs * plan.refused_per_org for plan in plans), 1),
            "polls_per_second": round(sum(plan.polls_per_second for plan in plans), 4),
            "requests_per_second": round(sum(plan.requests_per_second for plan in plans), 4),
            "seconds_per_poll": round(plans[0].seconds_per_poll, 3),
            "rows_a_year": round(sum(plan.snapshot_rows_a_year + plan.daily_rows_a_year for plan in plans)),
            "bytes_a_year": round(sum(plan.bytes_a_year for plan in plans)),
        }


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """The plan of the fleet now, the plan after the changes of `what_if` if any, and the figures used."""

    now: Plan
    changed: Plan | None
    what_if: tuple[str, ...]
    figures: Figures

    @property
    def plan(self) -> Plan:
        """The plan to show: after the changes if there are any, else of the fleet now."""
        return self.changed or self.now


async def capacity_plan(
    database: Database, settings: Settings, changes: Sequence[Changes], now: datetime
) -> CapacityPlan:
    """The plan with the settings of the service, or with those of this process if no service ran yet."""
    recorded = await recorded_settings(database)
    scenario = scenario_of(await orgs_to_plan(database), settings)
    if recorded is not None:
        scenario = replace(
            scenario,
            interval_seconds=recorded.poll_interval_seconds,
            credit_share=recorded.credit_share,
            in_flight_share=recorded.in_flight_share,
        )
    longest = max((one.effective_seconds for one in groups_of(scenario)), default=scenario.interval_seconds)
    figures = await read_figures(database, now, longest)
    before = scenario
    for one in changes:
        scenario = apply(scenario, one)
    plans = await asyncio.to_thread(lambda: [plan_scenario(one, figures.costs, now) for one in (before, scenario)])
    return CapacityPlan(plans[0], plans[1] if changes else None, tuple(one.text for one in changes), figures)


def plan_scenario(scenario: Scenario, costs: Costs, now: datetime) -> Plan:
    """The figures of a scenario. `now`: retention in calendar months is counted back from it."""
    groups = groups_of(scenario)
    capacity = Capacity(
        scenario.concurrency,
        polls_at_once(scenario.concurrency),
        _days(scenario.snapshot_retention, now),
        _days(scenario.daily_retention, now),
    )
    plans, whole = plan_fleet(groups, costs, capacity)
    parts = zip(scenario.groups, groups, plans, strict=True)
    return Plan(scenario, tuple(PlannedOrgs(*part) for part in parts), whole)


def groups_of(scenario: Scenario) -> list[OrgGroup]:
    """The groups of a scenario, with the limits that apply to them."""
    return [_group(one, scenario) for one in scenario.groups]


def plan_fields(found: CapacityPlan) -> dict[str, Any]:
    """The plan as one JSON object; with `what_if` also the figures of the fleet now."""
    plan, figures = found.plan, found.figures
    return {
        **_totals(plan),
        "groups": [row.fields() for row in plan.rows()],
        "stretched": [one for row in plan.rows() if row.is_stretched for one in _stretched(row)],
        "what_if": list(found.what_if),
        "now": _totals(found.now) if found.changed else None,
        "running_workers": figures.workers,
        "database_bytes_now": figures.database_bytes,
        "credits_per_org_measured": _rounded(figures.credits_per_org),
        "figures": [
            {
                "name": field.name,
                "value": _rounded(getattr(figures.costs, field.name)),
                "measured": field.name in figures.measured,
                "source": figures.source(field.name),
            }
            for field in fields(Costs)
        ],
    }


def _totals(plan: Plan) -> dict[str, Any]:
    scenario = plan.scenario
    return {
        "interval_seconds": scenario.interval_seconds,
        "credit_share": scenario.credit_share,
        **{name: _rounded(value) for name, value in asdict(plan.whole).items()},
    }


def _rounded(value: float | None) -> float | None:
    """Rounds large numbers to whole ones, others to six significant digits."""
    if not isinstance(value, float):
        return value
    return round(value) if value >= 1_000 else float(f"{value:.6g}")


def _stretched(row: PlannedRow) -> list[dict[str, Any]]:
    """An object for each org with a name, and one for the orgs that a change added."""
    intervals = {"interval_seconds": row.interval_seconds, "effective_interval_seconds": row.effective_seconds}
    found = [{"org": name, "orgs": 1, "edition": row.edition, **intervals} for name in row.names]
    if nameless := row.orgs - len(found):
        found.append({"org": None, "orgs": nameless, "edition": row.edition, **intervals})
    return found


def _group(one: OrgsAlike, scenario: Scenario) -> OrgGroup:
    interval = one.own_interval_seconds or scenario.interval_seconds
    allowance = daily_credits(one.edition, one.licences)
    return OrgGroup(
        orgs=one.orgs,
        interval_seconds=interval,
        effective_seconds=affordable_interval(interval, allowance, scenario.credit_share),
        daily_credits=allowance,
        share_credits=credits_to_spend(allowance, scenario.credit_share, spent=0),
        in_flight=limits_of(one.edition, scenario.in_flight_share).in_flight,
    )


def _days(kept: Retention | None, now: datetime) -> int | None:
    return None if kept is None else (now - kept.cutoff(now)) // timedelta(days=1)
