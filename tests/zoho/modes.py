"""Opens the client in the mode that the fixtures of `conftest.py` have selected."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from poller.zoho import client
from poller.zoho.client import ClientMode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from poller.zoho.client import ZohoClient


_chosen = [ClientMode.FAST]


@contextmanager
def chosen(mode: ClientMode) -> Iterator[None]:
    """Selects the mode of every client that `open_client` opens within the context."""
    _chosen.append(mode)
    yield
    _chosen.pop()


@asynccontextmanager
async def open_client(**options: Any) -> AsyncIterator[ZohoClient]:
    """Opens the client of the poller in the selected mode at most."""
    async with client.open_client(**options, fastest=_chosen[-1]) as opened:
        assert opened.mode is _chosen[-1]
        yield opened
        assert opened.mode is _chosen[-1], "no server and no network is mistaken for another aiohttp"


def opened_for(requests: int, *, kept: int) -> int:
    """The number of connections for this many requests; `kept` if connections are reused."""
    return requests if _chosen[-1] is ClientMode.SINGLE_USE else kept
