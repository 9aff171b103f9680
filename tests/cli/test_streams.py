"""Standard streams that are closed, full or of another encoding; a shell starts the commands, to close them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.command import POLLER

if TYPE_CHECKING:
    from pathlib import Path


POOR = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}


def by_shell(line: str, **environ: str) -> tuple[int, bytes, bytes]:
    """Runs a shell line that may call `poller`; returns its exit code and output."""
    poller = f"'{POLLER[0]}' {' '.join(POLLER[1:])}"
    ended = subprocess.run(
        ["/bin/sh", "-c", line.replace("poller ", f"{poller} ")],
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("stream", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_output_to_a_closed_standard_stream_does_not_overwrite_another_open_file(stream: str, tmp_path: Path) -> None:
    # What is opened first gets the number of what was closed: nothing may be printed into it.
    precious = tmp_path / "precious.csv"
    precious.write_text("name,data_center,client_id,client_secret,refresh_token\nAcme,xx,i,s,r\n")
    before = precious.read_bytes()
    assert by_shell(f"poller orgs import {precious} {stream}")[0] == 2
    assert by_shell(f"poller --version {stream}")[0] == 0
    assert precious.read_bytes() == before


@pytest.mark.usefixtures("on_database")
def test_output_lost_because_standard_output_is_closed_is_a_failure_in_one_line(tmp_path: Path) -> None:
    fleet = tmp_path / "orgs.csv"
    fleet.write_text("name,data_center,client_id,client_secret,soid\nAcme,us,i,s,ZohoCRM.1\n")
    assert by_shell(f"poller orgs import {fleet}")[0] == 0
    told = b"poller: standard output is closed, and the answer is lost; run it again with it open\n"
    for command in ("orgs list", "orgs list --json", "orgs show Acme", "trend --format csv"):
        code, _, err = by_shell(f"poller {command} >&-")
        assert (code, err) == (1, told), command


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")  # noqa: PTH110
def test_output_to_a_full_disk_fails_with_one_line() -> None:
    code, _, err = by_shell("poller --version >/dev/full")
    assert (code, err) == (1, b"poller: No space left on device; make room, and run it again\n")


def test_output_to_a_read_only_stream_fails_with_one_line() -> None:
    for line in ("poller --version 1</dev/null", "poller --help 1</dev/null"):
        code, _, err = by_shell(line)
        told = b"poller: standard output cannot be written to; open it for writing, and run it again\n"
        assert (code, err) == (2, told)


def test_an_argument_that_is_not_utf_8_is_a_usage_error() -> None:
    code, _, err = by_shell(r"""poller orgs show "$(printf '\377')" """)
    assert (code, err) == (2, b"poller: an argument is not UTF-8; type it in the terminal's own encoding\n")


def test_a_terminal_that_cannot_show_a_character_gets_a_replacement_and_no_error() -> None:
    code, out, err = by_shell("poller --help", **POOR)
    assert (code, err) == (0, b"")
    assert out.isascii()


def test_a_sparkline_in_ascii_still_distinguishes_high_low_and_gap() -> None:
    drawn = ascii("▁▄█·±é")
    script = f"from poller.cli import run; run(['--version']); print({drawn})"
    told = subprocess.run([sys.executable, "-c", script], env={**os.environ, **POOR}, capture_output=True, check=True)
    assert told.stdout.splitlines()[-1] == b"148. ?"
