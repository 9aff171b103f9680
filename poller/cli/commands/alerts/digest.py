"""`poller alerts digest`: one message over all orgs, printed or sent."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from poller.cli.output import terminal
from poller.core.errors import UsageError
from poller.core.quantities import count
from poller.query.parameters import seconds_of
from poller.query.rows import json_text

if TYPE_CHECKING:
    from poller.app import App
    from poller.core.digest_schedule import DigestPeriod
    from poller.reports.digest import Digest
    from poller.settings import Settings

_HANG: Final = 4


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("digest")(digest)


def digest(
    *,
    since: Annotated[
        str | None,
        typer.Option(metavar="D", help="How far back, such as 7d; by default as POLLER_DIGEST says, else 1d."),
    ] = None,
    as_html: Annotated[bool, typer.Option("--html", help="As HTML, as it is mailed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    send: Annotated[bool, typer.Option("--send", help="Send it to POLLER_NOTIFY_URLS.")] = False,
) -> None:
    """Print one digest over all orgs: what changed, what needs a person, what runs out, what is unknown.

    With POLLER_DIGEST=[bold]daily 08:00 Europe/Berlin[/bold], or monday instead of daily, the service sends it.

    Example: [bold]poller alerts digest --since 7d[/bold]
    """
    if sum((as_html, as_json, send)) > 1:
        raise UsageError("--html, --json and --send exclude each other", "give one of them")
    span = None if since is None else timedelta(seconds=seconds_of(since))
    terminal.run(_digest(terminal.settings(), span, as_html=as_html, as_json=as_json, send=send))


async def _digest(settings: Settings, span: timedelta | None, *, as_html: bool, as_json: bool, send: bool) -> None:
    from poller.app import open_app
    from poller.query.digest import read_digest
    from poller.reports.digest import make_digest

    if send and not settings.notify_urls:
        raise UsageError("there is no address to send the digest to", "set POLLER_NOTIFY_URLS")
    async with open_app(settings, name="poller alerts digest") as app:
        zone = "UTC" if settings.digest is None else settings.digest.zone
        made = make_digest(await read_digest(app.database, _period(app, span)), zone, settings.web_origin)
        if send:
            sent = await _send(app, made)
            terminal.say(f"The digest is on its way to {count(sent, 'address', 'addresses')}; a worker delivers it.")
            return
    if as_json:
        terminal.out(json_text(made.fields))
    elif as_html:
        terminal.write(made.html)
    else:
        terminal.begin_listing()
        for line in made.text.split("\n"):
            terminal.out_wrapped(line, _HANG)


def _period(app: App, span: timedelta | None) -> DigestPeriod:
    from poller.core.digest_schedule import DigestPeriod

    now, schedule = app.database.clock.now(), app.settings.digest
    if span is None:
        span = timedelta(days=1 if schedule is None else schedule.days)
    return DigestPeriod(now - span, now)


async def _send(app: App, made: Digest) -> int:
    from poller.admin.digests import send_digest

    occasion = f"by hand, {app.database.clock.now():%Y-%m-%d %H:%M:%S}"
    return await send_digest(
        app.database, made.message(), occasion, urls=app.settings.notify_addresses, keyring=app.keyring
    )
