"""The words of messages about alerts: title, text and HTML.

A message is written once and kept in the outbox, so that every attempt sends the same words. Many alerts that change at
once become one message that lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from poller.core.alerts import METRICS, AlertState, Severity
from poller.core.quantities import count
from poller.core.visible import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from poller.core.alerts import Alert, AlertTransition

LISTED: Final = 50
"""Alerts that a message about many names; the page of alerts shows all."""
_TITLE_LENGTH: Final = 160
_SENTENCE_LENGTH: Final = 300
_ORDER: Final = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)


@dataclass(frozen=True, slots=True)
class Words:
    """What a person reads."""

    title: str
    text: str
    html: str


def words_of_one(transition: AlertTransition, web_origin: str | None) -> Words:
    """The message about one alert that fires or is over."""
    alert = transition.alert
    facts = _facts(transition)
    link = link_of(web_origin, alert.id)
    resolved = transition.to_state is AlertState.RESOLVED
    lead = _sentence(f"This is over: {alert.message}" if resolved else alert.message)
    lines = [lead, "", *(f"{name}: {value}" for name, value in facts.items())]
    rows = "".join(
        f'<tr><th align="left" valign="top">{escape(name)}:</th><td>{escape(value)}</td></tr>'
        for name, value in facts.items()
    )
    html = f'<p><strong>{escape(lead)}</strong></p><table cellpadding="4">{rows}</table>'
    if link is not None:
        lines += ["", link]
        html += _link(link)
    return Words(_title(transition), "\n".join(lines), html)


def words_of_many(transitions: Sequence[AlertTransition], web_origin: str | None) -> Words:
    """The message about many alerts that fire, or are over, at once: the most urgent first."""
    resolved = transitions[0].to_state is AlertState.RESOLVED
    ranked = sorted(transitions, key=lambda one: (_ORDER.index(one.alert.severity), _about(one.alert)))
    by_severity = {
        severity.value: sum(one.alert.severity is severity for one in ranked)
        for severity in _ORDER
        if any(one.alert.severity is severity for one in ranked)
    }
    sums = ", ".join(f"{number:,} {severity}" for severity, number in by_severity.items())
    title = f"{count(len(ranked), 'alert')} {'are over' if resolved else 'fire'}: {sums}"
    lines = [
        f"{one.alert.severity.value}: {_about(one.alert)}: {_sentence(one.alert.message)}" for one in ranked[:LISTED]
    ]
    more = f"and {len(ranked) - LISTED:,} more" if len(ranked) > LISTED else ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    html = f"<p><strong>{escape(title)}</strong></p><ul>{items}</ul>" + (f"<p>{more}</p>" if more else "")
    text = [title, "", *(f"- {line}" for line in lines), *([more] if more else [])]
    if web_origin is not None:
        text += ["", f"{web_origin}/alerts"]
        html += _link(f"{web_origin}/alerts")
    return Words(f"[{'resolved' if resolved else ranked[0].alert.severity.value}] {title}", "\n".join(text), html)


def link_of(web_origin: str | None, alert_id: int) -> str | None:
    """The address of the page of an alert; None where no address of the pages is set."""
    return None if web_origin is None else f"{web_origin}/alerts/{alert_id}"


def _link(address: str) -> str:
    """A link whose text is its address, which Apprise keeps in the plain part of a mail."""
    return f'<p><a href="{escape(address)}">{escape(address)}</a></p>'


def _title(transition: AlertTransition) -> str:
    alert = transition.alert
    state = "resolved" if transition.to_state is AlertState.RESOLVED else alert.severity.value
    title = f"[{state}] {_about(alert)}: {_one_line(alert.message)}"
    return title if len(title) <= _TITLE_LENGTH else f"{title[: _TITLE_LENGTH - 1]}…"


def _about(alert: Alert) -> str:
    return _one_line(alert.org or alert.subject or alert.rule)


def _facts(transition: AlertTransition) -> Mapping[str, str]:
    alert, rule = transition.alert, transition.rule
    facts = {
        "Org": alert.org,
        "User type": alert.user_type,
        "About": alert.subject,
        "Rule": f"{alert.rule} ({alert.severity.value})",
        "Value": _value(alert.value, rule.metric),
        "Threshold": None if rule.comparison is None else f"{rule.comparison} {_value(alert.threshold, rule.metric)}",
        "Since": _time(alert.since),
        "Unknown since": _time(alert.unknown_since),
    }
    if transition.to_state is AlertState.RESOLVED:
        facts |= {"Over since": _time(alert.resolved_at or transition.at), "Why": alert.resolved_reason}
    else:
        facts |= {"What to do": alert.remedy}
    return {name: _one_line(value) for name, value in facts.items() if value}


def _value(value: float | None, metric: str) -> str | None:
    if value is None:
        return None
    known = METRICS.get(metric)
    number = f"{value:,.1f}".removesuffix(".0")
    return number if known is None or known.unit is None else f"{number} {known.unit}"


def _time(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def _sentence(text: str) -> str:
    text = _one_line(text)
    text = text if len(text) <= _SENTENCE_LENGTH else f"{text[: _SENTENCE_LENGTH - 1]}…"
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _one_line(text: str) -> str:
    """A name may contain line ends, which would forge another line of a message or of its headers."""
    return visible(" ".join(text.split()))
