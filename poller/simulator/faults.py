"""Scripts of faults: to which requests a fault applies, by org, data centre, endpoint, user type, time and chance.

The first fault that matches a request is used; `fault_table` has what each fault sends. A script is JSON: a list of
objects with the fields of `Fault`. A script with an unknown field or an invalid value is refused with the reason.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import orjson

from poller.simulator.fault_table import FAULTS, Spec
from poller.simulator.population import USER_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Endpoint = Literal["count", "org", "licences", "token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a script. A field that is left out matches every request; `endpoint` then follows from the name.

    `org` is an org's number, zgid or name. `share` is a part of the fleet (0.33: each org is in it with that chance,
    depending on the seed). `since` and `until` are seconds on the simulator's clock; a script may use ISO times.
    The reply gets a Retry-After of `retry_after` seconds, as a date if `retry_after_date`.
    """

    name: str
    org: int | str | None = None
    share: float = 1.0
    data_center: str | None = None
    endpoint: Endpoint | None = None
    user_type: str | None = None
    times: int | None = None
    since: float | None = None
    until: float | None = None
    probability: float = 1.0
    retry_after: int | None = None
    retry_after_date: bool = False

    def __post_init__(self) -> None:
        """Raise `ValueError` for an invalid field."""
        if self.name not in FAULTS:
            raise ValueError(f"there is no fault {self.name!r}; there are: {', '.join(FAULTS)}")
        if self.endpoint is not None and self.endpoint not in get_args(Endpoint):
            raise ValueError(f"fault {self.name!r}: no endpoint {self.endpoint!r}")
        if FAULTS[self.name].alter is not None and self.endpoint not in {None, "token"}:
            raise ValueError(f"fault {self.name!r} belongs to the token endpoint")
        if self.user_type is not None and self.user_type not in USER_TYPES:
            raise ValueError(f"fault {self.name!r}: no user type {self.user_type!r}")
        if not (0.0 <= self.probability <= 1.0 and 0.0 <= self.share <= 1.0):
            raise ValueError(f"fault {self.name!r}: share and probability lie between 0 and 1")

    @property
    def matched_endpoint(self) -> Endpoint:
        """The endpoint to which the fault applies: `endpoint`, or the one that follows from the name."""
        return self.endpoint or ("token" if self.name.startswith("token_") else "count")

    @property
    def spec(self) -> Spec:
        """What the fault does."""
        return FAULTS[self.name]


class FaultScript:
    """The active faults, and how often each was used."""

    def __init__(self, seed: int, faults: Iterable[Fault] = ()) -> None:
        self._seed = seed
        self._random = random.Random(f"faults:{seed}")
        self._faults: list[tuple[Fault, list[int]]] = []
        self.add(faults)

    def add(self, faults: Iterable[Fault]) -> None:
        """Append faults to the active ones."""
        self._faults.extend((fault, [0]) for fault in faults)

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def listed(self) -> list[dict[str, Any]]:
        """The active faults as JSON values, with how often each was used."""
        return [{**as_json(fault), "given": given[0]} for fault, given in self._faults]

    def match(
        self, endpoint: Endpoint, *, org: int | None, data_center: str, user_type: str | None, now: float
    ) -> Fault | None:
        """The first fault that matches this request, and counts it as used; None if there is none."""
        if not self._faults:
            return None
        for fault, given in self._faults:
            if (
                fault.org in {None, org}
                and fault.matched_endpoint == endpoint
                and fault.data_center in {None, data_center}
                and fault.user_type in {None, user_type}
                and (fault.times is None or given[0] < fault.times)
                and (fault.since is None or now >= fault.since)
                and (fault.until is None or now < fault.until)
                and (fault.share >= 1.0 or self.is_in_share(fault, org))
                and (fault.probability >= 1.0 or self._random.random() < fault.probability)
            ):
                given[0] += 1
                return fault
        return None

    def is_in_share(self, fault: Fault, org: int | None) -> bool:
        """True if the org is in the fault's `share` of the fleet: always the same orgs for the same seed and name."""
        return random.Random(f"{self._seed}:{fault.name}:{org}").random() < fault.share


_NUMBERS: Final = frozenset({"times", "since", "until", "retry_after", "share", "probability"})
_FIELDS: Final = {field.name: field for field in dataclasses.fields(Fault)}


def parse_faults(script: Any) -> tuple[Fault, ...]:
    """Reads a script from JSON values; a `ValueError` says which fault is invalid, and why."""
    if not isinstance(script, list):
        raise ValueError("a script of faults is a list of objects")  # noqa: TRY004 - the reader's one error
    return tuple(_parse_fault(place, entry) for place, entry in enumerate(script, 1))


def load_faults(path: Path) -> tuple[Fault, ...]:
    """Reads a script from a file; raises `OSError` or `ValueError`."""
    return parse_faults(orjson.loads(path.read_bytes()))


def as_json(fault: Fault) -> dict[str, Any]:
    """The fault as an object of a script, without the fields that have their default value."""
    return {name: getattr(fault, name) for name, field in _FIELDS.items() if getattr(fault, name) != field.default}


def _parse_fault(place: int, entry: Any) -> Fault:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ValueError(f"fault {place} is not an object with a name")  # noqa: TRY004 - the reader's one error
    unknown = entry.keys() - _FIELDS.keys()
    if unknown:
        raise ValueError(f"fault {place} ({entry['name']}): unknown {', '.join(sorted(unknown))}")
    try:
        given = dict(entry)
        for moment in ("since", "until"):
            if isinstance(given.get(moment), str):
                given[moment] = datetime.fromisoformat(given[moment]).timestamp()
        for name in _NUMBERS & given.keys():
            if not isinstance(given[name], int | float) or isinstance(given[name], bool):
                raise TypeError(f"{name} {given[name]!r} is not a number")  # noqa: TRY301 - the handler adds the fault's number
        return Fault(**given)
    except (TypeError, ValueError) as wrong:
        raise ValueError(f"fault {place}: {wrong}") from wrong
