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
    """Variables that shift the wall clock of a process by `+7200s`, `-2h`, `+2y`; `monotonic`: that clock too."""
    return {"FAKETIME": offset, **_variables(monotonic=monotonic)}


def clock_set_by(file: Path, *, monotonic: bool = False) -> Mapping[str, str]:
    """As `clock_off_by`, for a process that reads its offset from `file` at each call."""
    return {"FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1", **_variables(monotonic=monotonic)}


def forget_process(pid: int) -> None:
    """Removes what libfaketime keeps in memory for a killed process: a later one with its id would wait for it."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        Path("/dev/shm", name).unlink(missing_ok=True)


def _variables(*, monotonic: bool) -> Mapping[str, str]:
    untouched = {} if monotonic else {"DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return {"LD_PRELOAD": str(_LIBRARY), **untouched}
