"""What an operator writes about a rule becomes the rule, or an error that says what to write."""

from __future__ import annotations

from datetime import time

import pytest

from poller.core.alert_rule_change import RuleChange, changed_rule, new_rule, snooze_seconds
from poller.core.alerts import METRICS, QuietHours, Severity
from poller.core.errors import UsageError

SEATS = new_rule("seats", RuleChange(metric="Seats_Used_Percent", comparison=">=", threshold="95"))


def test_a_new_rule_is_a_warning_that_fires_at_once_for_every_org() -> None:
    assert (SEATS.metric, SEATS.comparison, SEATS.threshold) == ("seats_used_percent", ">=", 95)
    assert (SEATS.severity, SEATS.for_seconds, SEATS.clear_seconds) == (Severity.WARNING, 0, 1_800)
    assert (SEATS.org_ids, SEATS.tags, SEATS.data_centers, SEATS.enabled) == ((), (), (), True)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_makes_a_rule_with_a_threshold_exactly_if_it_has_a_unit(metric: str) -> None:
    compared = RuleChange(metric=metric, comparison="<", threshold="3")
    plain = RuleChange(metric=metric)
    right, wrong = (compared, plain) if METRICS[metric].unit is not None else (plain, compared)
    assert new_rule("one", right).metric == metric
    with pytest.raises(UsageError, match="threshold"):
        new_rule("one", wrong)


def test_a_change_keeps_what_it_does_not_name() -> None:
    change = RuleChange(hold_for="1h", tags=["gold"], quiet="22:00-7:30", zone="Europe/Berlin", enabled=False)
    changed = changed_rule(SEATS, change)
    assert (changed.threshold, changed.for_seconds, changed.tags, changed.enabled) == (95, 3_600, ("gold",), False)
    assert changed.quiet == QuietHours(time(22), time(7, 30), "Europe/Berlin")
    moved = changed_rule(changed, RuleChange(zone="Asia/Tokyo"))
    assert moved.quiet == QuietHours(time(22), time(7, 30), "Asia/Tokyo")
    assert changed_rule(moved, RuleChange(quiet="none", hold_for="0")).quiet is None
    assert changed_rule(SEATS, RuleChange()) == SEATS


def test_a_threshold_and_how_it_is_compared_are_changed_alone_too() -> None:
    higher = changed_rule(SEATS, RuleChange(threshold="97"))
    assert (higher.comparison, higher.threshold) == (">=", 97)
    above = changed_rule(higher, RuleChange(comparison=">"))
    assert (above.comparison, above.threshold) == (">", 97)
    with pytest.raises(UsageError, match="the threshold is not compared"):
        new_rule("one", RuleChange(metric="idle_cost", threshold="3"))


def test_another_metric_needs_a_threshold_of_its_own() -> None:
    with pytest.raises(UsageError, match="a rule on idle_cost needs a threshold, in a month"):
        changed_rule(SEATS, RuleChange(metric="idle_cost"))
    condition = changed_rule(SEATS, RuleChange(metric="zero"))
    assert (condition.comparison, condition.threshold) == (None, None)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e16", "many", ""])
def test_a_threshold_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a number; write one such as 95"):
        changed_rule(SEATS, RuleChange(comparison=">", threshold=text))


@pytest.mark.parametrize("hours", ["22:00", "24:00-07:00", "22:60-07:00", "7pm-8pm", "22:00-22:00"])
def test_quiet_hours_that_are_no_hours_are_refused(hours: str) -> None:
    with pytest.raises(UsageError, match="write 22:00-07:00, or none"):
        changed_rule(SEATS, RuleChange(quiet=hours))


def test_a_duration_may_be_zero_and_is_at_most_a_year() -> None:
    assert (snooze_seconds("0"), snooze_seconds("7d"), snooze_seconds("1y")) == (0, 604_800, 31_536_000)
    with pytest.raises(UsageError, match="for 366d is more than a year"):
        snooze_seconds("366d")
