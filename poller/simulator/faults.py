"""When something goes wrong: scripts of faults, per org, data centre, endpoint and user type.

A fault strikes a number of times, between two moments, with a probability; the first that fits a call is given.
What each fault does is in `fault_table`. A script is JSON: a list of objects with the fields of `Fault`.

It refuses a script it does not wholly understand, with the reason.
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
    """One line of a script. A field left out fits every call; `endpoint` follows from the name if left out.

    `org` is one org by its number, Zoho id or name; `share` a part of the fleet (0.33: every org has that chance of
    being in it, by the seed). `since` and `until` are seconds on the simulator's clock; a script may give ISO times.
    `retry_after` seconds go with the reply, as a number or (`retry_after_date`) an HTTP date.
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
        """Refuse what cannot strike."""
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
    def struck_endpoint(self) -> Endpoint:
        """The endpoint it strikes: its own, or what its name says."""
        return self.endpoint or ("token" if self.name.startswith("token_") else "count")

    @property
    def spec(self) -> Spec:
        """What it does."""
        return FAULTS[self.name]


class FaultScript:
    """The faults in force, and how often each has struck."""

    def __init__(self, seed: int, faults: Iterable[Fault] = ()) -> None:
        self._seed = seed
        self._random = random.Random(f"faults:{seed}")
        self._faults: list[tuple[Fault, list[int]]] = []
        self.add(faults)

    def add(self, faults: Iterable[Fault]) -> None:
        """Put more faults after those in force."""
        self._faults.extend((fault, [0]) for fault in faults)

    def clear(self) -> None:
        """Let everything be well again."""
        self._faults.clear()

    def listed(self) -> list[dict[str, Any]]:
        """The faults in force with how often each has struck."""
        return [{**as_json(fault), "given": given[0]} for fault, given in self._faults]

    def strike(
        self, endpoint: Endpoint, *, org: int | None, data_center: str, user_type: str | None, now: float
    ) -> Fault | None:
        """The fault this call meets, if any."""
        if not self._faults:
            return None
        for fault, given in self._faults:
            if (
                fault.struck_endpoint == endpoint
                and fault.org in {None, org}
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
        """Whether the org is among those a fault with a `share` strikes: always the same ones for a seed and name."""
        return random.Random(f"{self._seed}:{fault.name}:{org}").random() < fault.share


_NUMBERS: Final = frozenset({"times", "since", "until", "retry_after", "share", "probability"})
_FIELDS: Final = {field.name: field for field in dataclasses.fields(Fault)}


def parse_faults(script: Any) -> tuple[Fault, ...]:
    """A script as JSON values; a `ValueError` says which fault cannot be read, and why."""
    if not isinstance(script, list):
        raise ValueError("a script of faults is a list of objects")  # noqa: TRY004 - the reader's one error
    return tuple(_parse_fault(place, entry) for place, entry in enumerate(script, 1))


def load_faults(path: Path) -> tuple[Fault, ...]:
    """The script in a file; `OSError` or `ValueError` if it cannot be read."""
    return parse_faults(orjson.loads(path.read_bytes()))


def as_json(fault: Fault) -> dict[str, Any]:
    """The fault as a script writes it: fields left at their defaults are left out."""
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
                raise TypeError(f"{name} {given[name]!r} is not a number")  # noqa: TRY301 - told with its place
        return Fault(**given)
    except (TypeError, ValueError) as wrong:
        raise ValueError(f"fault {place}: {wrong}") from wrong
