"""The form of a rule: its fields as a person wrote them, from a rule and back to a change of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.alert_rule_change import RuleChange, changed_rule, new_rule
from poller.core.alerts import METRICS, Severity
from poller.core.durations import format_duration
from poller.core.errors import UsageError
from poller.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poller.core.alerts import AlertRule
    from poller.query.alert_rules import DescribedRule

KEEP, DEFAULT, REPLACE = "keep", "default", "replace"
"""What becomes of the rule's own addresses."""
FIELDS: Final = (
    "name",
    "metric",
    "comparison",
    "threshold",
    "for",
    "clear",
    "severity",
    "orgs",
    "tags",
    "data_centers",
    "quiet",
    "zone",
    "enabled",
    "to",
    "urls",
)
_NEW: Final = {
    "metric": "ActiveUsers",
    "comparison": ">=",
    "for": "0",
    "clear": "30m",
    "severity": Severity.WARNING.value,
    "enabled": "1",
    "to": DEFAULT,
}
_LONGEST: Final = 20_000


@dataclass(frozen=True, slots=True)
class RuleForm:
    """The fields by name; a field that is not there is empty. `urls` is never shown again."""

    fields: Mapping[str, str]

    @classmethod
    def of_stored(cls, one: DescribedRule | None) -> RuleForm:
        """The form as the rule is; None: of a rule that does not exist yet."""
        if one is None:
            return cls({**dict.fromkeys(FIELDS, ""), **_NEW})
        rule, quiet = one.rule, one.rule.quiet
        found = {
            "name": rule.name,
            "metric": rule.metric,
            "comparison": rule.comparison or ">=",
            "threshold": "" if rule.threshold is None else f"{rule.threshold:.15g}",
            "for": format_duration(rule.for_seconds) if rule.for_seconds else "0",
            "clear": format_duration(rule.clear_seconds) if rule.clear_seconds else "0",
            "severity": rule.severity.value,
            "orgs": "\n".join(one.orgs),
            "tags": ", ".join(rule.tags),
            "data_centers": ", ".join(rule.data_centers),
            "quiet": "" if quiet is None else f"{quiet.start:%H:%M}-{quiet.end:%H:%M}",
            "zone": "" if quiet is None else quiet.zone,
            "enabled": "1" if rule.enabled else "",
            "to": KEEP if one.to else DEFAULT,
        }
        return cls({**dict.fromkeys(FIELDS, ""), **found})

    @classmethod
    def of_request(cls, given: Mapping[str, str]) -> RuleForm:
        """The form as it was posted; a `UsageError` for an unknown field or a text that is too long."""
        if unknown := sorted(set(given) - {*FIELDS, "do"}):
            raise UsageError(f"there is no field {unknown[0][:50]!a}", f"send {', '.join(FIELDS)}")
        if long := [name for name, value in given.items() if len(value) > _LONGEST]:
            raise UsageError(f"{long[0]} is longer than {_LONGEST:,} characters", "shorten it")
        if any("\x00" in value for value in given.values()):
            raise UsageError("a field has a character that is not text", "leave it out")
        return cls({name: given.get(name, "").replace("\r\n", "\n") for name in FIELDS})

    def change(self) -> RuleChange:
        """What the form says, all fields; a `UsageError` where the threshold is missing."""
        fields = self.fields
        metric = METRICS.get(fields["metric"])
        has_number = metric is None or metric.unit is not None
        if metric is not None and metric.unit is not None and not fields["threshold"].strip():
            raise UsageError("the threshold is missing", f"write a number, in {metric.unit}")
        return RuleChange(
            metric=fields["metric"],
            comparison=fields["comparison"] if has_number else None,
            threshold=fields["threshold"].strip() if has_number else None,
            hold_for=fields["for"].strip() or "0",
            clear_after=fields["clear"].strip() or "0",
            severity=fields["severity"],
            orgs=_parts(fields["orgs"], "\n"),
            tags=_parts(fields["tags"], ","),
            data_centers=_parts(fields["data_centers"], ","),
            quiet=fields["quiet"].strip() or "none",
            zone=fields["zone"].strip() or None,
            enabled=bool(fields["enabled"]),
            urls=self._urls(),
        )

    def _urls(self) -> tuple[Secret, ...] | None:
        written = tuple(Secret(line.strip()) for line in self.fields["urls"].split("\n") if line.strip())
        if self.fields["to"] == DEFAULT:
            return ()
        if self.fields["to"] != REPLACE:
            return None
        if not written:
            raise UsageError("no address is written", "write an address on each line, or keep those there are")
        return written

    def draft(self, rule: AlertRule | None) -> tuple[AlertRule, Sequence[str]]:
        """The rule as the form would make it, and the names of its orgs; `rule`: as it is stored, None: it is new."""
        change = self.change()
        name = self.fields["name"].strip() or "unnamed"
        draft = new_rule(name, change) if rule is None else changed_rule(rule, change)
        return draft, change.orgs or ()


def _parts(text: str, separator: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(separator) if part.strip()))
