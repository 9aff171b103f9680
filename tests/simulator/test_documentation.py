"""docs/simulator.md names every option, route, field and fault, and each of its examples works."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path

from poller.simulator.control import _HANDLERS
from poller.simulator.fault_table import FAULTS
from poller.simulator.faults import Fault
from tests.cli.command_tree import command_group
from tests.simulator.caller import playing

DOCUMENT = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()


def named(first_column: str) -> list[str]:
    """The words in backticks in the first cells of the table with this heading."""
    table = DOCUMENT.split(f"| {first_column} |", 1)[1].split("\n\n", 1)[0]
    return [name for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall("`(.*?)`", cell)]


def test_every_option_is_documented() -> None:
    command = command_group().commands["simulate"]
    options = {option for parameter in command.params for option in parameter.opts} - {"--help", "-h"}
    assert {name.split()[0] for name in named("option")} == options


def test_every_route_is_documented() -> None:
    assert named("route") == list(dict.fromkeys(named("route")))
    assert set(named("route")) == {f"{method} /__sim/{name}" for method, name in _HANDLERS}


def test_every_field_of_a_fault_is_documented() -> None:
    assert set(named("field")) == {field.name for field in dataclasses.fields(Fault)} - {"name"}


def test_every_fault_is_documented_once() -> None:
    assert sorted(named("name")) == sorted(FAULTS)


async def test_every_example_works() -> None:
    examples = re.findall(r"^curl .*", DOCUMENT, re.MULTILINE)
    tried = set()
    async with playing() as caller:
        for example in examples:
            words = shlex.split(example)
            url = words[-1] if words[-1].startswith("http") else words[2]
            body = words[words.index("-d") + 1] if "-d" in words else None
            method = words[words.index("-X") + 1] if "-X" in words else "POST" if body else "GET"
            url = url.replace("http://127.0.0.1:18080", caller.sim.base_url)
            reply = await caller.ask(method, url, json=json.loads(body) if body else None)
            assert reply.status == 200, (example, reply.body)
            tried.add(f"{method} {url.removeprefix(caller.sim.base_url).partition('?')[0]}")
    assert tried == set(named("route"))
