"""Whether messages about alerts arrive: facts of the outbox in, one `CheckResult` out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from poller.core.checks import CheckResult, CheckStatus
from poller.core.quantities import age_of, count

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECK: Final = "messages"
_PATIENCE: Final = timedelta(minutes=10)
"""A receiver may fail for this long before anybody is told."""
_NAMED: Final = 3
_REMEDY: Final = "correct the address and try it with `poller alerts test`"


@dataclass(frozen=True, slots=True)
class FailingAddress:
    """An address that does not take its messages; `rule` None: one of POLLER_NOTIFY_URLS.

    `waiting`: messages that are tried again, the oldest `since` then; `given_up`: those that are not, in a week.
    """

    scheme: str
    rule: str | None
    waiting: int
    given_up: int
    since: datetime | None
    error: str

    def describe(self) -> str:
        """Which address it is, without its secret part."""
        return f"{self.scheme}://… of {f'the rule {self.rule}' if self.rule else 'POLLER_NOTIFY_URLS'}"


@dataclass(frozen=True, slots=True)
class OutboxFacts:
    """The outbox: addresses that are set, messages delivered in 24 hours, messages that wait, and what fails."""

    addresses: int
    delivered: int
    waiting: int
    failing: Sequence[FailingAddress]


def check_messages(facts: OutboxFacts, now: datetime) -> CheckResult:
    """Wrong where messages were given up, a warning where a receiver fails for a while."""
    if lost := [one for one in facts.failing if one.given_up]:
        parts = [f"{count(one.given_up, 'message')} to {one.describe()}: {one.error}" for one in lost[:_NAMED]]
        what = f"given up in a week: {'; '.join(parts)}{_more(lost)}"
        return CheckResult(CHECK, CheckStatus.WRONG, what, _REMEDY)
    if late := [one for one in facts.failing if one.since is not None and now - one.since > _PATIENCE]:
        parts = [
            f"{count(one.waiting, 'message')} to {one.describe()} for {age_of(now - one.since)}: {one.error}"
            for one in late[:_NAMED]
            if one.since is not None
        ]
        what = f"not delivered yet: {'; '.join(parts)}{_more(late)}"
        return CheckResult(CHECK, CheckStatus.WARNING, what, f"see whether the receiver works, or {_REMEDY}")
    if not facts.addresses:
        what = "alerts are sent to nobody: neither POLLER_NOTIFY_URLS nor an address of a rule is set"
        return CheckResult(CHECK, CheckStatus.OK, what)
    return CheckResult(CHECK, CheckStatus.OK, f"{facts.delivered:,} delivered in 24 hours, {facts.waiting:,} wait")


def _more(addresses: Sequence[FailingAddress]) -> str:
    more = len(addresses) - _NAMED
    return f"; and {count(more, 'more address', 'more addresses')}" if more > 0 else ""
