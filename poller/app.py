"""The composition root: the one place that knows every room, and puts them together from the settings.

Commands open an `App` and get what they need from it; nothing is opened that is not asked for. What polls is imported
only where it is opened: the HTTP client and the queue take longer to load than most commands take to answer.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from poller.core.errors import EmbeddedError
from poller.core.reply import NoReply, Reply
from poller.core.shares import connections_needed
from poller.store.database import Database, connect
from poller.zoho.access import Zoho

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime
    from pathlib import Path

    from poller.core.reply import Classification
    from poller.embedded import EmbeddedServer
    from poller.polling.runner import PollRunner
    from poller.settings import Settings
    from poller.store.orgs.encryption import Keyring
    from poller.traces.spans import Spans

P = ParamSpec("P")
T = TypeVar("T")

KEY_FILE: Final = "secret.key"
"""In `DATA_DIR`: the keys of the embedded database, made on first use."""


@dataclass(frozen=True, slots=True)
class App:
    """What a command works with: the settings, the database, and the keys of what is encrypted in it."""

    settings: Settings
    database: Database
    keyring: Keyring
    dsn: str = field(default="", repr=False)
    """The address of the database, for more connections to it."""


@asynccontextmanager
async def open_app(settings: Settings, *, name: str = "poller", create: bool = False) -> AsyncIterator[App]:
    """Everything opened and of the right version; closed again at the end.

    The embedded database is started, and brought up to date; where there is none, it is made only with `create`. One
    that the operator runs is only checked.
    """
    async with database_dsn(settings, create=create) as dsn:
        if settings.embedded:
            from poller.store import schema

            await schema.upgrade(dsn)
        keyring = _keyring(settings)
        async with await connect(dsn, application_name=name) as database:
            yield App(settings, database, keyring, dsn)


@dataclass(frozen=True, slots=True)
class Ears:
    """Who is told of what happens thousands of times, for the figures.

    `judged`: a count request ended, and what that means. `waited`: one could not leave at once, for so many seconds.
    `token_replied`: a token request ended, with which HTTP status or why without a reply. `token_issued`: with a token.
    """

    classified: Callable[[Reply | NoReply, Classification], None] = lambda _reply, _verdict: None
    waited: Callable[[float], None] = lambda _seconds: None
    token_replied: Callable[[str], None] = lambda _status: None
    token_issued: Callable[[], None] = lambda: None


NULL_EARS: Final = Ears()


@asynccontextmanager
async def open_zoho(
    app: App,
    *,
    now: Callable[[], datetime] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ears: Ears = NULL_EARS,
    spans: Spans | None = None,
) -> AsyncIterator[Zoho]:
    """One HTTP session, one limiter, tokens shared through PostgreSQL, all by PostgreSQL's time.

    Who passes `now` and `sleep` turns the clock.
    """
    from poller.store.orgs.tokens import TokenStore
    from poller.zoho.client import open_client
    from poller.zoho.limiter import Limiter
    from poller.zoho.tokens import TokenPorts, Tokens

    settings = app.settings
    in_seconds = app.database.clock.seconds if now is None else _in_seconds(now)
    limiter = Limiter(settings.concurrency, now=in_seconds, sleep=sleep, waited=ears.waited)
    now = now or app.database.clock.now
    async with open_client(
        connections=connections_needed(settings.concurrency),
        request_timeout_seconds=settings.request_timeout_seconds,
        proxy=settings.proxy_address,
    ) as client:
        store = TokenStore(app.database, app.keyring)
        post = client.post_token if spans is None else spans.post(client.post_token)
        tokens = Tokens(
            TokenPorts(
                read_credentials=store.read_credentials,
                read=store.read,
                acquire_lease=store.acquire_lease,
                save=_after(store.save, ears.token_issued),
                release=store.release,
                cool_down=store.cool_down,
                park=store.park,
                save_refresh_token=store.save_refresh_token,
                expire_early=store.expire_early,
                post=_overheard(post, ears.token_replied),
                now=now,
                sleep=sleep,
            ),
            settings.data_centers,
            lease_seconds=2.0 * settings.request_timeout_seconds,
        )
        yield Zoho(client, tokens, limiter, now, sleep)


@asynccontextmanager
async def open_fleet(
    app: App,
    *,
    now: Callable[[], datetime] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ears: Ears = NULL_EARS,
    spans: Spans | None = None,
) -> AsyncIterator[PollRunner]:
    """What polls the orgs of this database; `spans`: with a trace of every poll."""
    from poller.polling.poll import PollPorts
    from poller.polling.runner import PollRunner
    from poller.zoho.org_info import fetch_org_info
    from poller.zoho.org_requests import CheckPorts
    from poller.zoho.seats import read_seats

    async with open_zoho(app, now=now, sleep=sleep, ears=ears, spans=spans) as zoho:
        tokens, client = zoho.tokens, zoho.client
        get = client.get if spans is None else spans.get(client.get)
        ports = CheckPorts(tokens, client.count, get, zoho.now)
        world = PollPorts(
            ask=client.count,
            get_token=tokens.get,
            renew_token=tokens.renew,
            set_token_expiry=tokens.set_expiry,
            fetch_org_info=lambda org, limiter: fetch_org_info(org, limiter, ports),
            read_seats=lambda org, limiter: read_seats(org, limiter, ports),
            now=zoho.now,
            sleep=zoho.sleep,
            classified=ears.classified,
        )
        make = PollRunner if spans is None else spans.fleet
        yield make(app.settings, app.database, app.keyring, zoho.limiter, world)


@asynccontextmanager
async def database_dsn(settings: Settings, *, create: bool = False) -> AsyncIterator[str]:
    """The database's address, with the embedded server kept running meanwhile; `create`: made where there is none."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    server = await asyncio.to_thread(start_embedded, settings.data_dir, create=create)
    with contextlib.closing(server):
        yield server.dsn()


def _overheard(
    send: Callable[P, Awaitable[Reply | NoReply]], hear: Callable[[str], None]
) -> Callable[P, Awaitable[Reply | NoReply]]:
    async def ask(*args: P.args, **kwargs: P.kwargs) -> Reply | NoReply:
        reply = await send(*args, **kwargs)
        hear(reply.failure.value if isinstance(reply, NoReply) else str(reply.status))
        return reply

    return ask


def _after(do: Callable[P, Awaitable[T]], tell: Callable[[], None]) -> Callable[P, Awaitable[T]]:
    async def done(*args: P.args, **kwargs: P.kwargs) -> T:
        result = await do(*args, **kwargs)
        tell()
        return result

    return done


def start_embedded(data_dir: Path, *, create: bool = False) -> EmbeddedServer:
    """The embedded server of a folder. Raises `EmbeddedError` where it has no database and none is to be made."""
    from poller import embedded

    if not create and not embedded.is_made(data_dir):
        remedy = "run `poller migrate` to make one, or correct POLLER_DATA_DIR or POLLER_DATABASE_URL"
        raise EmbeddedError(f"there is no database in {data_dir}", remedy)

    return embedded.start(data_dir)


def _in_seconds(now: Callable[[], datetime]) -> Callable[[], float]:
    return lambda: now().timestamp()


def _keyring(settings: Settings) -> Keyring:
    from poller.store.orgs.encryption import Keyring

    if settings.secret_keys is not None:
        return Keyring.from_setting(settings.secret_keys.get_secret_value())
    return Keyring.from_key_file(settings.data_dir / KEY_FILE)
