"""`poller web`: the pages, the API and the metrics of the fleet, without polling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.cli.output import terminal

if TYPE_CHECKING:
    import typer

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


def access_of(settings: Settings) -> Access:
    """Who may send requests to a server with these settings; a `SettingsError` if strangers could."""
    from poller.web import access_from

    return access_from(settings.web_host, settings.api_key, settings.web_origin, settings.trusted_proxies)


async def _web(settings: Settings) -> None:
    from poller.app import open_app
    from poller.query.reader import open_reader
    from poller.web import Api, Health, ProcessMetrics, serve

    access = access_of(settings)
    async with open_app(settings, name="poller web") as app, open_reader(app.dsn) as reader:
        health = Health(lambda: None, reader.fleet_stats, reader.org_ages, settings.metrics_orgs)
        place = settings.web_host, settings.web_port
        with terminal.stop_signals() as stopped:
            async with serve(*place, health, ProcessMetrics(), Api(reader), access=access, required=True):
                await stopped.wait()
