"""Runs schemathesis with all of its checks against a server on a real port."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.request import Request, urlopen

from schemathesis import openapi
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS: Final = Path(__file__).parents[3] / "schemathesis.toml"


@dataclass
class Fuzzed:
    """How many requests were sent to how many operations, and what was wrong with the replies."""

    requests: int = 0
    operations: set[str] = field(default_factory=set)
    failures: dict[str, str] = field(default_factory=dict)
    """By check and operation."""
    errors: list[str] = field(default_factory=list)


async def fuzz(url: str, headers: Mapping[str, str], *, examples: int, operations: str = "") -> Fuzzed:
    """Fuzzes the operations whose path matches, with examples at random besides those of boundaries."""
    return await asyncio.to_thread(_fuzz, url, headers, examples, operations)


def _fuzz(url: str, headers: Mapping[str, str], examples: int, operations: str) -> Fuzzed:
    config = SchemathesisConfig.from_path(SETTINGS)
    config.projects.default.update(headers=dict(headers), base_url=url)
    config.projects.default.generation.update(max_examples=examples)
    request = Request(f"{url}/openapi.json", headers=dict(headers))
    with urlopen(request) as reply:
        document = json.load(reply)
    document["paths"] = {path: item for path, item in document["paths"].items() if re.search(operations, path)}
    schema = openapi.from_dict(document, config=config)
    found = Fuzzed()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            _add(found, event)
        elif isinstance(event, events.NonFatalError | events.FatalError):
            found.errors.append(str(event))
    return found


def _add(found: Fuzzed, event: events.ScenarioFinished) -> None:
    label = re.sub(r"^\w+: ", "", event.label or "")
    found.requests += len(event.recorder.interactions)
    if event.recorder.interactions:
        found.operations.add(label)
    for case_id, checks in event.recorder.checks.items():
        for check in checks:
            if check.status is Status.FAILURE and check.failure_info is not None:
                interaction = event.recorder.interactions.get(case_id)
                request = "" if interaction is None else f"{interaction.request.method} {interaction.request.uri}"
                failure = check.failure_info.failure
                found.failures.setdefault(f"{check.name} {label}", f"{request}: {failure.title}: {failure.message}")
