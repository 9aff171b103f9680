"""Commands in a new interpreter, where nothing of the poller is loaded before: most tests fork them instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.command import Ended


@pytest.mark.usefixtures("on_database")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["keys", "list"], 0),
        (["access", "list"], 0),
        (["audit"], 0),
        (["doctor"], 1),
        (["settings"], 0),
        (["gaps"], 0),
        (["seats"], 0),
        (["forecast"], 0),
        (["alerts", "list"], 0),
        (["report", "--out", "report.csv"], 2),
        (["anomalies"], 0),
        (["plan"], 0),
        (["export", "--format", "csv", "--out", "folder"], 0),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
async def test_a_command_over_no_orgs_ends_as_it_should_in_a_new_interpreter(
    new_process: Callable[..., Awaitable[Ended]], arguments: list[str], code: int
) -> None:
    ended = await new_process(*arguments)
    assert ended.code == code, ended
    assert "this is a bug" not in ended.err
