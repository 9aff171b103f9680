"""The composition root: connects the packages, by the settings.

Commands open an `App` and take what they need from it; nothing else is opened. The HTTP client and the queue are
imported only when they are opened: loading them takes longer than most commands take to answer.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from poller.core.errors import EmbeddedError
from poller.core.shares import connections_needed, polls_at_once
from poller.store.database import Database, connect
from poller.zoho.access import Zoho

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from poller.core.token import IssuedToken
    from poller.embedded import EmbeddedServer
    from poller.polling.instrumentation import Instrumentation
    from poller.polling.runner import PollRunner
    from poller.settings import Settings
    from poller.store.orgs.encryption import Keyring
    from poller.zoho.client import ZohoClient
    from poller.zoho.tokens import TokenPorts

KEY_FILE: Final = "secret.key"
"""In `DATA_DIR`: the encryption keys of the embedded database, created on first use."""


@dataclass(frozen=True, slots=True)
class App:
    """What a command works with: the settings, the database, and the encryption keys."""

    settings: Settings
    database: Database
    keyring: Keyring
    dsn: str = field(default="", repr=False)
    """The address of the database, for more connections."""


@asynccontextmanager
async def open_app(settings: Settings, *, name: str = "poller", create: bool = False) -> AsyncIterator[App]:
    """Opens the database, checks its version, and closes it at the end.

    An embedded database is started and migrated, and created only with `create`. A database that the operator runs is
    only checked.
    """
    async with database_dsn(settings, create=create) as dsn:
        if settings.embedded:
            from poller.store import schema

            await schema.upgrade(dsn)
        keyring = _keyring(settings)
        async with await connect(dsn, application_name=name) as database:
            yield App(settings, database, keyring, dsn)


@asynccontextmanager
async def open_zoho(
    app: App,
    *,
    now: Callable[[], datetime] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    instrumentation: Instrumentation | None = None,
) -> AsyncIterator[Zoho]:
    """Opens an HTTP client with a limiter and tokens shared through PostgreSQL, all in PostgreSQL's time.

    `now` and `sleep` replace that clock.
    """
    from poller.polling.instrumentation import NULL_INSTRUMENTATION
    from poller.zoho.client import open_client
    from poller.zoho.limiter import Limiter
    from poller.zoho.tokens import Tokens

    settings, hooks = app.settings, instrumentation or NULL_INSTRUMENTATION
    in_seconds = app.database.clock.seconds if now is None else _in_seconds(now)
    waited = None if hooks is NULL_INSTRUMENTATION else hooks.limiter_waited
    limiter = Limiter(settings.concurrency, now=in_seconds, sleep=sleep, waited=waited)
    now = now or app.database.clock.now
    async with open_client(
        connections=connections_needed(settings.concurrency),
        request_timeout_seconds=settings.request_timeout_seconds,
        proxy=settings.proxy_address,
    ) as client:
        tokens = Tokens(
            _token_ports(app, client, hooks, now, sleep),
            settings.data_centers,
            lease_seconds=2.0 * settings.request_timeout_seconds,
        )
        yield Zoho(client, tokens, limiter, now, sleep)


def _token_ports(
    app: App,
    client: ZohoClient,
    hooks: Instrumentation,
    now: Callable[[], datetime],
    sleep: Callable[[float], Awaitable[None]],
) -> TokenPorts:
    from poller.store.orgs.tokens import TokenStore
    from poller.zoho.tokens import TokenPorts

    store = TokenStore(app.database, app.keyring)

    async def save(org_id: int, holder: UUID, issued: IssuedToken) -> int | None:
        generation = await store.save(org_id, holder, issued)
        hooks.token_issued()
        return generation

    return TokenPorts(
        read_credentials=store.read_credentials,
        read=store.read,
        acquire_lease=store.acquire_lease,
        save=save,
        release=store.release,
        cool_down=store.cool_down,
        park=store.park,
        save_refresh_token=store.save_refresh_token,
        expire_early=store.expire_early,
        post=hooks.wrap_post_token(client.post_token),
        now=now,
        sleep=sleep,
    )


@asynccontextmanager
async def open_runner(
    app: App,
    *,
    now: Callable[[], datetime] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    instrumentation: Instrumentation | None = None,
) -> AsyncIterator[PollRunner]:
    """Opens a runner for the polls of this database; see `open_zoho` for the clock."""
    from poller.polling.instrumentation import NULL_INSTRUMENTATION
    from poller.polling.ports import PollPorts
    from poller.polling.runner import PollRunner
    from poller.zoho.org_info import fetch_org_info
    from poller.zoho.org_requests import CheckPorts
    from poller.zoho.seats import read_seats

    hooks = instrumentation or NULL_INSTRUMENTATION
    async with open_zoho(app, now=now, sleep=sleep, instrumentation=hooks) as zoho:
        tokens, client = zoho.tokens, zoho.client
        check_ports = CheckPorts(tokens, client.count, hooks.wrap_get(client.get), zoho.now)
        ports = PollPorts(
            request_count=hooks.wrap_request_count(client.count),
            get_token=hooks.wrap_get_token(tokens.get),
            renew_token=hooks.wrap_renew_token(tokens.renew),
            set_token_expiry=tokens.set_expiry,
            fetch_org_info=lambda org, limiter: fetch_org_info(org, limiter, check_ports),
            read_seats=lambda org, limiter: read_seats(org, limiter, check_ports),
            now=zoho.now,
            sleep=zoho.sleep,
            classified=hooks.request_classified,
        )
        yield PollRunner(
            app.settings.poll_policy,
            app.database,
            app.keyring,
            zoho.limiter,
            ports,
            max_concurrent_polls=polls_at_once(app.settings.concurrency),
            instrumentation=hooks,
        )


@asynccontextmanager
async def database_dsn(settings: Settings, *, create: bool = False) -> AsyncIterator[str]:
    """Yields the address of the database and keeps the embedded server running; `create`: creates it if missing."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    server = await asyncio.to_thread(start_embedded, settings.data_dir, create=create)
    with contextlib.closing(server):
        yield server.dsn()


def start_embedded(data_dir: Path, *, create: bool = False) -> EmbeddedServer:
    """Starts the embedded server of a folder. An `EmbeddedError` if the folder has no database, unless `create`."""
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
