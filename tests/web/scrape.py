"""Reads the metrics of a service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from tests.command import Running


def values(text: str) -> dict[str, float]:
    """Every sample by name and labels."""
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def served_at(service: Running) -> str:
    """The address that a starting service logs."""
    while line := await service.stderr.readline():
        event = json.loads(line)
        if event["event"] == "web.served":
            return str(event["url"])
    raise AssertionError("the service ended")
