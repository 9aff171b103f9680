"""A rule in words, and what it does now and would have done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.cli.output import terminal
from poller.core.quantities import count, figure_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.alerts import AlertRule
    from poller.query.alert_trial import RuleTrial, TriedSubject

_MOST_NAMED: Final = 10
_MOST_ALERTS: Final = 20


def condition_of(rule: AlertRule) -> str:
    """When a rule fires: `seats_used_percent >= 95 % for 1h`."""
    from poller.core.alerts import METRICS
    from poller.core.durations import format_duration

    unit = METRICS[rule.metric].unit
    threshold = "" if rule.threshold is None else f" {rule.comparison} {rule.threshold:,g}"
    held = f" for {format_duration(rule.for_seconds)}" if rule.for_seconds else ""
    return f"{rule.metric}{threshold}{'' if unit is None else f' {unit}'}{held}"


def show_trial(found: RuleTrial) -> None:
    """Prints for whom a rule holds now, and the preview of its last 30 days."""
    from poller.cli.output.table import Table

    rule, preview = found.rule, found.preview
    terminal.out_wrapped(f"{rule.name}: {condition_of(rule)}, {rule.severity.value}", 2)
    if not rule.enabled:
        terminal.say("now: it is disabled")
    else:
        terminal.out_wrapped(f"now: {_subjects('holds', found.holding)}", 2)
    if found.unknown:
        terminal.out_wrapped(f"     {_subjects('is unknown', found.unknown)}", 2)
    if not preview.known:
        terminal.out_wrapped(f"last {preview.days} days: unknown, because {preview.note}", 2)
        return
    alerts = f"{count(len(preview.alerts), 'alert')} of {count(preview.orgs, 'org')}"
    terminal.out_wrapped(f"last {preview.days} days: {alerts} ({preview.note})", 2)
    if not preview.alerts:
        return
    table = Table(
        ("org", "user type", "since", "until", "peak"), right=("peak",), spare=("user type",), whole=("since", "until")
    )
    for one in preview.alerts[:_MOST_ALERTS]:
        until, peak = one.until or "still open", "" if one.peak is None else figure_words(one.peak)
        table.rows.append((_plain(one.org), one.user_type or "", str(one.since), str(until), peak))
    terminal.show(table)
    if (more := len(preview.alerts) - _MOST_ALERTS) > 0:
        terminal.say(f"and {more:,} more: --json has all")


def _subjects(verb: str, readings: Sequence[TriedSubject]) -> str:
    """Such as: it holds for 2 orgs: Acme (97), Birch (99)."""
    if not readings:
        return f"it {verb} for nobody"
    named = [
        f"{_plain(one.org or one.subject or '')}{'' if one.value is None else f' ({figure_words(one.value)})'}"
        for one in readings[:_MOST_NAMED]
    ]
    more = f" and {len(readings) - _MOST_NAMED:,} more" if len(readings) > _MOST_NAMED else ""
    return f"it {verb} for {len(readings):,}: {', '.join(named)}{more}"


def _plain(text: str) -> str:
    from poller.cli.output.render import plain

    return plain(text)
