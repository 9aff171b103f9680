"""`poller web`: the pages, the API and the metrics of the fleet, without polling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.cli.output import terminal

if TYPE_CHECKING:
    import typer

    from poller.app import App
    from poller.settings import Settings
    from poller.web import Access


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("web")(web)


def web() -> None:
    """Serve the pages and the API, and poll nothing, until Ctrl-C or SIGTERM.

    Workers (poller run) serve the same. Use this command to answer many questions in a process that polls nothing.

    Example: [bold]POLLER_WEB_PORT=8090 poller web[/bold]
    """
    terminal.run(_web(terminal.settings(serving=True)))


async def access_of(app: App) -> Access:
    """Who may send requests to a server with these settings; a `SettingsError` if strangers could."""
    import structlog

    from poller.admin.access import any_usable_key, second_wall_missing
    from poller.web import access_from

    settings = app.settings
    stored_keys = await any_usable_key(app.database)
    if stored_keys and await second_wall_missing(app.database):
        structlog.get_logger("poller.web").warning("web.second_wall_missing", remedy="run `poller doctor`")
    return access_from(
        settings.web_host, settings.api_key, settings.web_origin, settings.trusted_proxies, stored_keys=stored_keys
    )


async def _web(settings: Settings) -> None:
    from poller.admin.writer import open_writer
    from poller.app import open_app
    from poller.query.reader import open_reader
    from poller.web import Api, Health, ProcessMetrics, serve

    async with (
        open_app(settings, name="poller web") as app,
        open_reader(app.dsn) as reader,
        open_writer(app.dsn, app.keyring, reader.database.clock) as writer,
    ):
        access = await access_of(app)
        health = Health(lambda: None, reader.fleet_stats, reader.org_ages, settings.metrics_orgs)
        place, api = (settings.web_host, settings.web_port), Api(reader)
        with terminal.stop_signals() as stopped:
            async with serve(*place, health, ProcessMetrics(), api, access=access, required=True, writer=writer):
                terminal.tune_gc()
                await stopped.wait()
