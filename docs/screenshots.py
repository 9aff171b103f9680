"""Takes `docs/screenshots/*.png` of the dashboard over the demo's fleet (`make screenshots`).

It starts the demo, an empty service and a fleet of 5,000 orgs, writes a report, and opens all in the system's Chromium.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import asyncpg
from PIL import Image
from playwright.async_api import async_playwright

from benchmarks.fleet import filled_fleet
from benchmarks.web import add_history

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from playwright.async_api import Browser, BrowserContext, Page

FOLDER: Final = Path(__file__).with_name("screenshots")
CHROMIUM: Final = "/usr/bin/chromium"
COLOURS: Final = 128
MOST_BYTES: Final = 150_000
DESKTOP, TABLET, PHONE = ({"width": w, "height": h} for w, h in ((1440, 900), (834, 1112), (390, 844)))


class View(NamedTuple):
    """A picture: its name, the address, and what must be visible."""

    name: str
    path: str
    visible: str = "main h1"


class Look(NamedTuple):
    """A theme and a size of the window."""

    name: str
    theme: str
    viewport: Mapping[str, int]


LOOKS: Final = (
    Look("light", "light", DESKTOP),
    Look("dark", "dark", DESKTOP),
    Look("tablet", "light", TABLET),
    Look("tablet-dark", "dark", TABLET),
    Look("phone", "light", PHONE),
    Look("phone-dark", "dark", PHONE),
)
PAGES: Final = (
    View("fleet", "/", "tr[data-org]"),
    View("org", "ORG", "main table"),
    View("health", "/health"),
    View("gaps", "/gaps", "main table"),
    View("seats", "/seats", "main table"),
    View("alerts", "/alerts", "li[data-alert]"),
    View("alerts-rule", "/alerts/rules/seats_used", "#preview table"),
    View("api", "/docs"),
    View("failing", "PARKED"),
    View("not-there", "/orgs/999999999"),
)
REPORTED: Final = "Foxglove Education AB"
PAGE_GAP: Final = 24
LARGEST, PARKED = "Fairway Housing Inc", "Yarrow Interiors Oy"


async def main(wanted: list[str]) -> None:
    """Takes all pictures, or those of the named groups: demo, empty, large, report."""
    FOLDER.mkdir(exist_ok=True)
    groups = {"demo": _demo, "empty": _empty, "large": _large, "report": _report}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for group in wanted or groups:
            await groups[group](browser)
        await browser.close()


async def _demo(browser: Browser) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with _running("demo", environ={"POLLER_DATA_DIR": folder}) as process:
            assert process.stdout is not None
            url = (await process.stdout.readline()).decode().split()[1]
            lines = 0
            while lines < 3:
                lines += b"orgs: " in await process.stdout.readline()
            asyncio.get_running_loop().create_task(_drain(process.stdout))
            for view in PAGES:
                for look in LOOKS:
                    await _take(browser, url, view, look)
            # From the first key on, pages are shown after a log-in.
            own = {"POLLER_DATA_DIR": f"{folder}/demo"}
            async with _running("access", "add", "noc", "--may", "read", environ=own) as adding:
                await adding.wait()
            for look in LOOKS:
                await _take(browser, url, View("login", "/login", "input[name=key]"), look)


async def _empty(browser: Browser) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with _running("run", environ={"POLLER_DATA_DIR": folder, "POLLER_WEB_PORT": "0"}) as process:
            url = await _served_at(process)
            for look in LOOKS:
                await _take(browser, url, View("empty", "/"), look)


async def _large(browser: Browser) -> None:
    async with filled_fleet(5_000) as environ:
        await add_history(environ["POLLER_DATABASE_URL"])
        async with _running("web", environ=environ) as process:
            url = await _served_at(process)
            for look in LOOKS:
                await _take(browser, url, View("fleet-5000", "/", "tr[data-org]"), look)
                await _take(browser, url, View("seats-5000", "/seats", "main table"), look)
                await _take(browser, url, View("health-5000", "/health"), look)
            await _without_database(browser, url, environ["POLLER_DATABASE_URL"])


async def _without_database(browser: Browser, url: str, dsn: str) -> None:
    """Pages that were open when PostgreSQL stopped answering, and one that is asked for then."""
    pages = []
    for look in LOOKS:
        page = await (await _context(browser, url, look)).new_page()
        await page.goto("/")
        await page.locator("tr[data-org]").first.wait_for()
        pages.append((page, look))
    path, _, options = dsn.partition("?")
    admin = await asyncpg.connect(f"{path.rpartition('/')[0]}/template1?{options}")
    name = path.rpartition("/")[2]
    await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    for page, look in pages:
        await page.bring_to_front()
        await page.locator(".stale").first.wait_for()
        await _save(page, f"away-{look.name}")
        await page.goto("/seats")
        await _save(page, f"away-new-{look.name}")
        await page.context.close()
    await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    await admin.close()


async def _report(browser: Browser) -> None:
    """The summary of a monthly report beside the page of a customer, as they are printed."""
    with tempfile.TemporaryDirectory() as folder:
        options = ("--orgs", "24", "--days", "420", "--polls", "1")
        async with _running("demo", *options, environ={"POLLER_DATA_DIR": folder}) as process:
            assert process.stdout is not None
            await _drain(process.stdout)
        path = Path(folder) / "report.html"
        environ = {"POLLER_DATA_DIR": f"{folder}/demo"}
        async with _running("report", "--out", str(path), environ=environ) as process:
            assert await process.wait() == 0
        page = await browser.new_page(viewport={"width": 794, "height": 1123})
        await page.goto(path.as_uri())
        parts = [page.locator(".summary"), page.locator(".customer").filter(has_text=REPORTED)]
        pictures = [Image.open(io.BytesIO(await part.first.screenshot())).convert("RGB") for part in parts]
        await page.close()
    width, height = (max(size) for size in zip(*(picture.size for picture in pictures), strict=True))
    both = Image.new("RGB", (2 * width + PAGE_GAP, height), "#eceae5")
    for place, picture in enumerate(pictures):
        both.paste(picture, (place * (width + PAGE_GAP), 0))
    _store(both, "report")


async def _take(browser: Browser, url: str, view: View, look: Look) -> None:
    context = await _context(browser, url, look)
    page = await context.new_page()
    path = view.path
    if path in {"ORG", "PARKED"}:
        await page.goto(f"/?q={LARGEST if path == 'ORG' else PARKED}")
        await page.locator("tr[data-org] a").first.click()
        await page.wait_for_url("**/orgs/*")
    else:
        await page.goto(path)
    await page.locator(view.visible).first.wait_for()
    await page.wait_for_load_state("networkidle")
    await _save(page, f"{view.name}-{look.name}")
    await context.close()


async def _context(browser: Browser, url: str, look: Look) -> BrowserContext:
    return await browser.new_context(
        base_url=url,
        viewport=look.viewport,  # type: ignore[arg-type]
        color_scheme=look.theme,  # type: ignore[arg-type]
        device_scale_factor=1,
        reduced_motion="reduce",
        timezone_id="UTC",
    )


async def _save(page: Page, name: str) -> None:
    _store(Image.open(io.BytesIO(await page.screenshot())).convert("RGB"), name)


def _store(picture: Image.Image, name: str) -> None:
    """Writes the picture with few colours, which text and lines do not miss."""
    for colours in (COLOURS, COLOURS // 2, COLOURS // 4):
        small = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
        if small.tell() <= MOST_BYTES:
            break
    (FOLDER / f"{name}.png").write_bytes(small.getvalue())
    sys.stdout.write(f"{name}: {small.tell() / 1_000:.0f} kB\n")


@asynccontextmanager
async def _running(*arguments: str, environ: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "poller", *arguments),
        env={**os.environ, "POLLER_LOG_FORMAT": "json", "POLLER_WEB_PORT": "0", **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=None if arguments[0] in {"demo", "report"} else asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _served_at(process: asyncio.subprocess.Process) -> str:
    """The address that a starting service logs."""
    assert process.stderr is not None
    while line := await process.stderr.readline():
        with suppress(ValueError):
            event = json.loads(line)
            if event["event"] == "web.served":
                asyncio.get_running_loop().create_task(_drain(process.stderr))
                return str(event["url"])
    raise AssertionError("the service ended")


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65_536):
        pass


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
