"""`poller web`: the pages, the API and the metrics of the fleet, without polling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.cli.output import terminal

if TYPE_CHECKING:
    import typer

    from poller.settings import Settings
    from poller.web import Access


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("web")(web)


def web() -> None:
    """Serve the pages and the API, and poll nothing, until Ctrl-C or SIGTERM.

    Workers (poller run) serve the same; this is for a process of its own, that people's questions keep busy.

    Example: [bold]POLLER_WEB_PORT=8090 poller web[/bold]
    """
    terminal.run(_web(terminal.settings(serving=True)))


def access_of(settings: Settings) -> Access:
    """Who may ask a server with these settings; a `SettingsError` where others could ask it unprotected."""
    from poller.web import access_from

    return access_from(settings.web_host, settings.api_key, settings.web_origin, settings.trusted_proxies)


async def _web(settings: Settings) -> None:
    from poller.app import open_app
    from poller.store.clock_reader import clock_kept_right
    from poller.store.fleet_stats import fleet_stats, org_ages
    from poller.store.read_only import connect_read_only
    from poller.web import Api, Health, ProcessMetrics, serve

    access = access_of(settings)
    async with (
        open_app(settings, name="poller web") as app,
        await connect_read_only(app.dsn) as database,
        clock_kept_right(database),
    ):
        now = database.clock.now
        health = Health(
            lambda: None,
            lambda: fleet_stats(database, now()),
            lambda at_most: org_ages(database, now(), at_most),
            settings.metrics_orgs,
        )
        with terminal.stop_signals() as stopped:
            async with serve(
                settings.web_host,
                settings.web_port,
                health,
                ProcessMetrics(),
                Api(database),
                access=access,
                required=True,
            ):
                await stopped.wait()
