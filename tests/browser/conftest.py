"""Fixtures of browser tests: one Chromium with its contexts, and one fleet of sixty orgs with its service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

from tests.browser.service import open_service
from tests.browser.watch import PATIENCE_MS, Contexts, Watch
from tests.postgres import cloned

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from playwright.async_api import Page

    from tests.browser.service import Service

FOLDER: Final = Path(__file__).parent
CHROMIUM: Final = next((path for path in ("/usr/bin/chromium", "/usr/bin/google-chrome") if Path(path).exists()), None)
_WITHOUT: Final = (
    "WebUIOmniboxPopup", "WebUIOmniboxAimPopup",
    # The last option of this name counts, so this repeats those that Playwright switches off.
    "AimEnabled", "AvoidCorsURLLoaderRestartOnRedirect", "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose", "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades", "LensOverlay", "MediaRouter",
    "NetworkTimeServiceQuerying", "OptimizationHints", "PaintHolding", "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)  # fmt: skip
"""Features that Chromium goes without. Two pages for suggestions in its own address line took most of a new context."""
expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs all tests of this folder in one event loop, that of the browser; skips them where there is no Chromium."""
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip("there is no Chromium: install the package chromium"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def contexts() -> AsyncIterator[Contexts]:
    """The contexts of the system's Chromium."""
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", f"--disable-features={','.join(_WITHOUT)}"]
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield Contexts(opened)
        await opened.close()


@pytest.fixture(scope="session")
def fleet_dsn(server_dsn: str, template: str) -> Iterator[str]:
    """A database that the tests of this folder share."""
    with cloned(server_dsn, template) as dsn:
        yield dsn


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service(fleet_dsn: str) -> AsyncIterator[Service]:
    """A worker and a web server over a fleet with history."""
    async with open_service(fleet_dsn) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def watch(contexts: Contexts, service: Service) -> AsyncIterator[Watch]:
    """Opens pages of a desktop screen; whatever a page complained about fails the test."""
    async with Watch.over(contexts, service.url) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def page(watch: Watch) -> Page:
    """A page of a desktop screen."""
    return await watch.page()
