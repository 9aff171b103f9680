"""Runs processes with a wrong clock: libfaketime changes the time of these processes and of no others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIBRARY: Final = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)

needs_faketime: Final = pytest.mark.skipif(
    _LIBRARY is None or shutil.which("faketime") is None,
    reason="libfaketime is not installed: apt-get install faketime",
)


def clock_off_by(offset: str, *, monotonic: bool = False) -> Mapping[str, str]:
    """Variables of a process whose wall clock is off by `+7200s`, `-2h`, `+2y`; `monotonic`: the other one, too."""
    return {"FAKETIME": offset, **_variables(monotonic=monotonic)}


def clock_set_by(file: Path, *, monotonic: bool = False) -> Mapping[str, str]:
    """The same for a process that looks into `file` for its offset whenever it asks for the time."""
    return {"FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1", **_variables(monotonic=monotonic)}


def _variables(*, monotonic: bool) -> Mapping[str, str]:
    untouched = {} if monotonic else {"DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return {"LD_PRELOAD": str(_LIBRARY), **untouched}
