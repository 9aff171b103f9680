"""The limit of open files; each test runs in a process with its own limits."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

ASK = """
import resource
from poller.open_files import fit_open_files
from poller.web.connections import ConnectionLimits
from poller.settings import Settings
web = ConnectionLimits().most_connections if {web} else None
settings = fit_open_files(Settings(concurrency={concurrency}), print, web_connections=web)
print("concurrency", settings.concurrency, "limit", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def ask(soft: int, hard: int, *, concurrency: int = 64, web: bool = False) -> str:
    found = subprocess.run(
        [sys.executable, "-c", ASK.format(concurrency=concurrency, web=web)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
        env=os.environ | {"PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout + found.stderr.strip().rpartition("\n")[2]


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one() -> None:
    assert ask(256, 4_096, concurrency=400) == "concurrency 400 limit 4096\n"


@pytest.mark.parametrize("web", [False, True])
def test_a_low_limit_of_open_files_reduces_the_requests_in_flight_and_is_reported_in_one_line(web: bool) -> None:
    warning, result = ask(256, 256, concurrency=400, web=web).splitlines()
    concurrency = 106 if web else 128
    assert result == f"concurrency {concurrency} limit 256"
    assert warning.startswith(
        f"this process may open 256 files: POLLER_CONCURRENCY is lowered from 400 to {concurrency}; "
        "raise the limit of open files (ulimit -n, LimitNOFILE=) to "
    )


def test_a_limit_of_open_files_too_low_for_any_request_is_refused_with_the_limit_needed() -> None:
    assert ask(60, 60) == (
        "poller.core.errors.UsageError: this process may open 60 files, too few to poll at all; "
        "raise the limit of open files (ulimit -n, LimitNOFILE=) to 160"
    )
