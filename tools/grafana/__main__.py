"""Writes the dashboards in `deploy/grafana/dashboards`: `python -m tools.grafana`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tools.grafana import fleet, health, org
from tools.grafana.panels import dashboard
from tools.grafana.variables import VARIABLES

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"


def main() -> None:
    """Writes the three files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def dashboards() -> dict[str, str]:
    """The text of each file by its name."""
    found = {
        "fleet.json": dashboard("poller-fleet", "Zoho users: fleet", fleet.PANELS, [], "now-90d"),
        "org.json": dashboard("poller-org", "Zoho users: one org", org.PANELS, VARIABLES, "now-30d"),
        "poller.json": dashboard("poller-health", "Zoho users: the poller", health.PANELS, [], "now-6h"),
    }
    return {name: json.dumps(one, indent=2, ensure_ascii=False) + "\n" for name, one in found.items()}


if __name__ == "__main__":
    main()
