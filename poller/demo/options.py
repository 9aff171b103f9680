"""The options of the demo, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The size of the fleet, the length of its history in days, and the interval of its polls in seconds."""

    orgs: int = 40
    seed: int = 2026
    days: int = 120
    every_seconds: int = 5

    @property
    def history(self) -> dict[str, int]:
        """The options that determine the demo's database; if they change, the demo needs a new one."""
        return {"orgs": self.orgs, "seed": self.seed, "days": self.days, "version": 2}
