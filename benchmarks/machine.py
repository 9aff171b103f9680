"""The machine of a benchmark: assigns its cores to processes and reads the processor time that a process has used.

Needs Linux (`/proc`, `sched_setaffinity`); the benchmarks do not run on other systems.
"""

from __future__ import annotations

import os
import platform
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CORES = sorted(os.sched_getaffinity(0))
SERVER_CPU = CORES[0]
CLIENT_CPU = CORES[-1]

_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def pinned(*cores: int) -> Iterator[None]:
    """Restricts this thread to these cores for the `with` block; processes started inside stay restricted."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """The processor time of a process and of all its children, including those that have ended."""
    spent: dict[int, tuple[int, float]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text(encoding="ascii", errors="replace").rpartition(") ")
        except OSError:  # the process has just ended
            continue
        fields = rest.split()
        spent[int(name.partition(" ")[0])] = int(fields[1]), sum(map(int, fields[11:15])) / _TICKS

    def of_family(parent: int) -> float:
        return sum(seconds + of_family(child) for child, (of, seconds) in spent.items() if of == parent)

    return spent[pid][1] + of_family(pid)


def described() -> str:
    """One line: processor, cores, memory, system, Python."""
    model = _field("/proc/cpuinfo", "model name") or platform.machine()
    memory = int((_field("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 1_048_576
    linux = platform.uname()
    return (
        f"{model}, {len(CORES)} cores, {memory:.0f} GB, {linux.system} {linux.release.partition('-')[0]}, "
        f"Python {platform.python_version()}"
    )


def _field(file: str, name: str) -> str | None:
    lines = Path(file).read_text(encoding="ascii", errors="replace").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)
