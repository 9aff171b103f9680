from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from poller.zoho.client import ClientMode
from tests.zoho.modes import chosen

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=list(ClientMode), ids=str)
def every_mode(request: pytest.FixtureRequest) -> Iterator[ClientMode]:
    """Runs the test once in each mode of the client."""
    with chosen(request.param):
        yield request.param


@pytest.fixture(params=[ClientMode.FAST, ClientMode.SESSION], ids=str)
def every_mode_that_keeps_connections(request: pytest.FixtureRequest) -> Iterator[ClientMode]:
    """Runs the test once in each mode in which connections are reused."""
    with chosen(request.param):
        yield request.param
