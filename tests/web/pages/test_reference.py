"""The page `/docs`: every endpoint with its refusals, in ten kilobytes."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING

from poller.web.api.endpoints import ENDPOINTS
from tests.web.doors import HTML, doors

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

MOST_BYTES = 10_000


async def test_the_reference_names_every_endpoint_with_its_refusals_in_ten_kilobytes(
    database: Database, database_url: str, keyring: Keyring
) -> None:
    async with doors(database, database_url, keyring) as opened:
        page = await (await opened.ask("/docs", headers=HTML)).text()
    assert len(gzip.compress(page.encode(), 6)) <= MOST_BYTES
    sections = re.findall(r'<section class="endpoint".*?</section>', page, re.DOTALL)
    assert len(sections) == len(ENDPOINTS)
    refused = {status for one in sections for line in re.findall(r"Refused with (.+)\.</p>", one)
               for status in re.findall(r"\b[45]\d\d\b", line)}  # fmt: skip
    assert {"401", "404", "503"} <= refused
    explained = set(re.findall(r"<dt>(\d+)</dt><dd>[^<]", page))
    assert refused <= explained
