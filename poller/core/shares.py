"""Shares a limited number of places (polls, permits) among the data centres, so that one cannot take them all.

Half of the places are reserved: for each data centre in proportion to its orgs, and at least one. The other half is
common: the first data centre that needs a place gets it. So a data centre whose requests all hang takes the common half
and its own reserve, but never another's reserve. A fleet in one data centre can use every place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Shares:
    """`total` places. A data centre without a reserve (see `share_out`) takes common places."""

    __slots__ = ("common", "free", "parts", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        """Places that nobody has taken, common and reserved."""
        self.common = total
        """Free places outside the reserves; below 0 while others still use the places of a reserve that has grown."""
        self.parts: dict[str, Part] = {}

    @property
    def used(self) -> int:
        """How many places are taken."""
        return self.total - self.free

    def part(self, name: str) -> Part:
        """The places of one data centre."""
        part = self.parts.get(name)
        if part is None:
            part = self.parts[name] = Part(self)
        return part

    def share_out(self, demand: Mapping[str, float]) -> None:
        """Set the reserves in proportion to `demand`, the polls of each data centre in any unit. Taken places stay."""
        found = reserves(self.total, demand)
        for name in found:
            self.part(name)
        for name, part in self.parts.items():
            part.reserve = found.get(name, 0)
        self.common = self.total - sum(max(part.used, part.reserve) for part in self.parts.values())


class Part:
    """The places of one data centre; `reserve` places are reserved for it."""

    __slots__ = ("_shares", "reserve", "used")

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self.reserve = 0
        self.used = 0

    @property
    def room(self) -> int:
        """The number of places that this data centre could take now."""
        return max(self.reserve - self.used, 0) + max(self._shares.common, 0)

    @property
    def is_free(self) -> bool:
        """True if `take` is allowed."""
        return self.used < self.reserve or self._shares.common > 0

    def take(self) -> None:
        """Take a place, from the reserve first. Allowed only if `is_free`."""
        shares = self._shares
        if self.used >= self.reserve:
            shares.common -= 1
        shares.free -= 1
        self.used += 1

    def give_back(self) -> None:
        """Give a place back."""
        shares = self._shares
        self.used -= 1
        shares.free += 1
        if self.used >= self.reserve:
            shares.common += 1


def polls_at_once(concurrency: int) -> int:
    """How many orgs are polled in parallel: an org of the smallest edition has two requests in flight."""
    return -(-concurrency // 2)


def connections_needed(concurrency: int) -> int:
    """Connections to Zoho that may be open at once: one per request in flight, and one per poll for token requests."""
    return concurrency + polls_at_once(concurrency)


def reserves(total: int, demand: Mapping[str, float]) -> dict[str, int]:
    """The places reserved for each data centre: half of `total` in proportion to demand, at least one each.

    No places are reserved if there is only one data centre, or more data centres than half of `total`.
    """
    names = [name for name, wanted in demand.items() if wanted > 0.0]
    half = total // 2
    if len(names) < 2 or len(names) > half:
        return dict.fromkeys(names, 0)
    whole = sum(demand[name] for name in names)
    spare = half - len(names)
    return {name: 1 + int(spare * demand[name] / whole) for name in names}
