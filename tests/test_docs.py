"""Settings, commands and files named in the documents exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from poller.core.retention import format_retention
from poller.settings import NAMES, VARIABLES, Settings
from tests.cli.command_tree import command_group

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
OPERATIONS = ROOT / "docs" / "operations.md"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_within_the_project_has_a_target(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (document.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_named_in_a_document_exists(document: Path) -> None:
    named = set(re.findall(r"POLLER_(?!TEST_)[A-Z_]+", document.read_text(encoding="utf-8")))
    assert named <= VARIABLES


def test_every_setting_is_in_the_table_of_operations_with_its_default() -> None:
    rows = [line.split(" | ") for line in OPERATIONS.read_text(encoding="utf-8").splitlines() if "| `POLLER_" in line]
    named = [name for row in rows for name in re.findall(r"POLLER_[A-Z_]+", row[0])]
    assert sorted(named) == sorted(NAMES)
    told = {name: row[1] for row in rows for name in re.findall(r"POLLER_[A-Z_]+", row[0])}
    defaults = Settings()
    assert f"`{defaults.api_version}`" == told["POLLER_API_VERSION"]
    assert f"`{defaults.poll_interval_seconds // 60}m`" == told["POLLER_POLL_INTERVAL"]
    assert f"`{defaults.credit_share:.2f}`" == told["POLLER_CREDIT_SHARE"]
    assert f"`{defaults.in_flight_share}`" == told["POLLER_IN_FLIGHT_SHARE"]
    assert f"`{defaults.concurrency}`" == told["POLLER_CONCURRENCY"]
    assert f"`{defaults.request_timeout_seconds}s`" == told["POLLER_REQUEST_TIMEOUT"]
    assert f"`{format_retention(defaults.snapshot_retention)}`" == told["POLLER_SNAPSHOT_RETENTION"]
    assert f"`{format_retention(defaults.daily_retention)}`" == told["POLLER_DAILY_RETENTION"]
    assert f"`{defaults.web_host}`, `{defaults.web_port}`" == told["POLLER_WEB_HOST"]
    assert f"`{defaults.log_level}` for `run` and `web`, else `error`" == told["POLLER_LOG_LEVEL"]


def test_every_package_is_on_the_architecture_page() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    inside = (ROOT / "poller").iterdir()
    rooms = {f"{path.name}/" if path.is_dir() else path.name for path in inside if path.suffix in {"", ".py"}}
    rooms = {room for room in rooms if not room.startswith("__")}
    assert {room for room in rooms if f"`{room}`" not in page} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_shown_in_a_document_exists(document: Path) -> None:
    group = command_group()
    text = document.read_text(encoding="utf-8")
    shown = re.findall(r"(?m)^ {4}(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?poller ([a-z]+)(?: ([a-z]+))?", text)
    assert shown or document.name not in {"README.md", "operations.md", "getting-started.md"}
    for name, second in shown:
        command = getattr(group, "commands", {}).get(name)
        assert command is not None, name
        if hasattr(command, "commands"):
            assert second in command.commands, f"{name} {second}"
