"""The formats of a list: a table, CSV, one JSON list (`--format json`), or one JSON object per line (`--json`)."""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from typing import Annotated

import typer

from poller.cli.output import terminal
from poller.core.errors import UsageError

Bom = Annotated[bool, typer.Option("--bom", help="Begin CSV with a byte order mark, for Excel.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line; --format json is one list.")]


class Format(StrEnum):
    """The values of `--format`."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class Layout(Enum):
    """The format that is written, from `--format` and `--json` together."""

    TABLE = auto()
    CSV = auto()
    JSON_LIST = auto()
    JSON_LINES = auto()


_LAYOUTS = {Format.TABLE: Layout.TABLE, Format.CSV: Layout.CSV, Format.JSON: Layout.JSON_LIST}


def layout_of(wanted: Format, *, as_json: bool, bom: bool) -> Layout:
    """The layout for `--format`, `--json` and `--bom`; a `UsageError` where they contradict each other."""
    if as_json and wanted is not Format.TABLE:
        raise UsageError(f"--json and --format {wanted} ask for two formats", "give one of the two")
    terminal.check_bom(wanted=bom, csv=wanted is Format.CSV)
    return Layout.JSON_LINES if as_json else _LAYOUTS[wanted]
