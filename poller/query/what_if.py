"""The scenario of a capacity plan: the fleet as it is polled now, or changed by `--what-if`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from poller.core.editions import EDITIONS, is_known_edition
from poller.core.errors import UsageError
from poller.core.retention import parse_retention
from poller.core.slots import parse_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from poller.core.planning import OrgToPlan
    from poller.core.retention import Retention
    from poller.settings import Settings


@dataclass(frozen=True, slots=True)
class OrgsAlike:
    """Orgs with the same edition, licences and own interval (None: that of the service).

    `names`: of orgs that exist; empty after a change of their number.
    """

    edition: str | None
    licences: int | None
    own_interval_seconds: int | None
    orgs: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fleet and the settings of its polls."""

    groups: tuple[OrgsAlike, ...]
    interval_seconds: int
    credit_share: float
    in_flight_share: float
    concurrency: int
    snapshot_retention: Retention | None
    daily_retention: Retention | None

    @property
    def orgs(self) -> int:
        """The number of orgs."""
        return sum(group.orgs for group in self.groups)


def scenario_of(orgs: Iterable[OrgToPlan], settings: Settings) -> Scenario:
    """The fleet now, polled with these settings."""
    alike: dict[tuple[str | None, int | None, int | None], list[str]] = {}
    for org in orgs:
        alike.setdefault((org.edition, org.licences, org.interval_seconds), []).append(org.name)
    return Scenario(
        tuple(OrgsAlike(*key, len(names), tuple(names)) for key, names in alike.items()),
        settings.poll_interval_seconds,
        settings.credit_share,
        settings.in_flight_share,
        settings.concurrency,
        settings.snapshot_retention,
        settings.daily_retention,
    )


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes of one `--what-if`, by key, and its text."""

    text: str
    values: Mapping[str, Any]


def read_changes(text: str) -> Changes:
    """The changes of `interval=5m,orgs=+200`, and the like; a `UsageError` for anything else."""
    changes: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in _READERS or not equals:
            raise UsageError(f"--what-if {part.strip()!r} is not a change", f"write {_EXAMPLES}")
        if key in changes:
            raise UsageError(f"--what-if {text!r} has {key} twice", "give it once, or in another --what-if")
        try:
            changes[key] = _READERS[key](value)
        except ValueError as wrong:
            raise UsageError(f"--what-if {key}: {wrong}", "correct it") from None
    return Changes(text, changes)


def apply(scenario: Scenario, change: Changes) -> Scenario:
    """The scenario with these changes. `edition` and `licences` apply to the orgs that `orgs=+N` adds, else to all.

    Orgs are added and removed in proportion to the sizes of the groups. A new interval applies to every org, even if it
    has its own.
    """
    groups, changes = scenario.groups, change.values
    given = {name: changes[name] for name in ("edition", "licences") if name in changes}
    sign, number = changes.get("orgs", ("", 0))
    if sign == "-":
        groups = _without(groups, number, given)
    else:
        # Unknown editions have the limits of the free edition: the least that any org can have.
        mix = groups or (OrgsAlike(None, None, None, 1),)
        if sign == "+":
            groups += tuple(replace(one, **given) for one in _scaled(mix, number))
        elif "orgs" in changes:
            groups = _scaled(mix, number)
        if sign != "+":
            groups = tuple(replace(one, **given) for one in groups)
    if "interval" in changes:
        groups = tuple(replace(one, own_interval_seconds=None) for one in groups)
    groups = tuple(one for one in groups if one.orgs)
    settings = {_FIELDS[key]: value for key, value in changes.items() if key in _FIELDS}
    return replace(scenario, groups=groups, **settings)


def _without(groups: tuple[OrgsAlike, ...], number: int, given: Mapping[str, Any]) -> tuple[OrgsAlike, ...]:
    """The groups without `number` orgs, taken in proportion from the groups with the `given` edition and licences."""
    leaving = [all(getattr(one, name) == value for name, value in given.items()) for one in groups]
    present = sum(one.orgs for one, leaves in zip(groups, leaving, strict=True) if leaves)
    if number > present:
        raise UsageError(f"--what-if orgs=-{number}: there are {present:,} such orgs", "take away fewer")
    kept = iter(_scaled([one for one, leaves in zip(groups, leaving, strict=True) if leaves], present - number))
    return tuple(next(kept) if leaves else one for one, leaves in zip(groups, leaving, strict=True))


def _scaled(groups: Sequence[OrgsAlike], number: int) -> tuple[OrgsAlike, ...]:
    """`number` orgs, shared among these groups in proportion: rounded down, the rest to the largest remainders."""
    whole = sum(one.orgs for one in groups) or 1
    parts = [one.orgs * number // whole for one in groups]
    order = sorted(range(len(groups)), key=lambda place: -(groups[place].orgs * number % whole))
    for place in order[: number - sum(parts)]:
        parts[place] += 1
    return tuple(replace(one, orgs=part, names=()) for one, part in zip(groups, parts, strict=True))


def _orgs(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"([+-]?)([0-9]{1,7})", text)
    if match is None:
        raise ValueError(f"{text!r} is not a number of orgs: use 2000, +200 or -50")
    return match[1], int(match[2])


def _share(text: str) -> float:
    match = re.fullmatch(r"0?\.[0-9]{1,6}|1(\.0{1,6})?", text)
    if match is None or not float(text):
        raise ValueError(f"{text!r} is not a share: use a number above 0 and up to 1, such as 0.2")
    return float(text)


def _edition(text: str) -> str:
    if not is_known_edition(text):
        raise ValueError(f"{text!r} is not an edition: use {', '.join(EDITIONS)}")
    return text.lower()


def _number(text: str, most: int, least: int = 0) -> int:
    if re.fullmatch(r"[0-9]{1,7}", text) is None or not least <= int(text) <= most:
        raise ValueError(f"{text!r} is not a number from {least} to {most:,}")
    return int(text)


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "interval": parse_interval,
    "orgs": _orgs,
    "share": _share,
    "edition": _edition,
    "licences": lambda text: _number(text, 1_000_000),
    "in_flight": _share,
    "concurrency": lambda text: _number(text, 10_000, 1),
    "retention": parse_retention,
}
_FIELDS: Final = {
    "interval": "interval_seconds",
    "share": "credit_share",
    "in_flight": "in_flight_share",
    "concurrency": "concurrency",
    "retention": "snapshot_retention",
}
_EXAMPLES: Final = (
    "interval=5m, orgs=+200, share=0.2, edition=enterprise, licences=40, in_flight=0.5, concurrency=64"
    " or retention=13mo"
)
