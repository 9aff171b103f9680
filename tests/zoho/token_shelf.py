"""An in-memory token store that follows the rules of `core.token`'s ports, and a token endpoint with fixed replies."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from poller.core.datacenters import ZOHO_DATA_CENTERS
from poller.core.model import Org
from poller.core.reply import NoReply, Reply
from poller.core.secret import Secret
from poller.core.token import (
    ISSUE_WINDOW_SECONDS,
    ISSUES_PER_WINDOW,
    AccessToken,
    Credentials,
    Denial,
    IssuedToken,
    Lease,
    LeaseDenied,
    StoredToken,
)
from poller.zoho.tokens import NoToken, TokenPorts, Tokens
from tests.zoho.turned_clock import now as seconds_now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from uuid import UUID

    from poller.core.datacenters import DataCenter
    from poller.core.token import ParkReason

ORG = Org(7, "Ärzte & Co", "eu", "v7", 900)
CREDENTIALS = Credentials("1000.CLIENT", Secret("client-secret-XYZ"), refresh_token=Secret("1000.refresh-XYZ"))
EU = ZOHO_DATA_CENTERS["eu"]


def utc_now() -> datetime:
    return datetime.fromtimestamp(seconds_now(), UTC)


def granted(token: str = "1000.access-XYZ", **said: Any) -> Reply:
    body = {"access_token": token, "api_domain": "https://www.zohoapis.eu", "token_type": "Bearer", "expires_in": 3_600}
    return Reply(200, json.dumps({key: value for key, value in (body | said).items() if value is not None}).encode())


def refused(error: str, status: int = 200) -> Reply:
    return Reply(status, json.dumps({"error": error}).encode())


THROTTLED = Reply(
    400,
    b'{"error":"Access Denied","error_description":"Sie haben zu viele Anfragen gestellt","status":"failure"}',
)


def token_of(found: AccessToken | NoToken) -> AccessToken:
    """The token; fails if there is none."""
    assert isinstance(found, AccessToken), found
    return found


def refusal_of(found: AccessToken | NoToken) -> NoToken:
    """The reason why there is no token; fails if there is one."""
    assert isinstance(found, NoToken)
    return found


@dataclass
class Shelf:
    """One org's row of `org_credentials`, `access_tokens` and `token_budgets`."""

    credentials: Credentials | None = CREDENTIALS
    stored: StoredToken | None = None
    lease: tuple[UUID, datetime] | None = None
    cool_until: datetime | None = None
    cool_downs: int = 0
    issues: list[datetime] = field(default_factory=list)
    parked: tuple[str, str] | None = None
    reads: int = 0

    def keep(
        self, *, seconds_ago: float, life_seconds: float = 3_600.0, api_domain: str | None = EU.api_domain
    ) -> None:
        """A token issued this long ago."""
        issued_at = utc_now() - timedelta(seconds=seconds_ago)
        generation = self.stored.generation + 1 if self.stored else 1
        expires_at = issued_at + timedelta(seconds=life_seconds)
        self.stored = StoredToken(Secret(f"kept-{generation}"), api_domain, issued_at, expires_at, generation)

    async def read_credentials(self, org_id: int) -> Credentials | None:
        return self.credentials

    async def read(self, org_id: int) -> StoredToken | None:
        self.reads += 1
        await asyncio.sleep(0)
        return self.stored

    async def acquire_lease(
        self, org_id: int, holder: UUID, seconds: float, seen_generation: int, now: datetime
    ) -> Lease | LeaseDenied:
        await asyncio.sleep(0)
        if self.stored is not None and self.stored.generation > seen_generation:
            return LeaseDenied(Denial.RENEWED, now)
        if self.cool_until is not None and self.cool_until > now:
            return LeaseDenied(Denial.COOLING, self.cool_until)
        if self.lease is not None and self.lease[1] > now:
            return LeaseDenied(Denial.HELD, self.lease[1])
        window = timedelta(seconds=ISSUE_WINDOW_SECONDS)
        self.issues = [at for at in self.issues if at > now - window]
        if len(self.issues) >= ISSUES_PER_WINDOW:
            return LeaseDenied(Denial.BUDGET, self.issues[0] + window)
        self.issues.append(now)
        self.lease = (holder, now + timedelta(seconds=seconds))
        return Lease(holder, self.lease[1], self.cool_downs)

    async def save(self, org_id: int, holder: UUID, issued: IssuedToken) -> int | None:
        await asyncio.sleep(0)
        if self.lease is None or self.lease[0] != holder:
            return None
        generation = self.stored.generation + 1 if self.stored else 1
        self.stored = StoredToken(issued.secret, issued.api_domain, issued.issued_at, issued.expires_at, generation)
        self.lease, self.cool_until, self.cool_downs = None, None, 0
        return generation

    async def release(self, org_id: int, holder: UUID) -> None:
        if self.lease is not None and self.lease[0] == holder:
            self.lease = None

    async def cool_down(self, org_id: int, holder: UUID, until: datetime) -> None:
        self.cool_until = until
        self.cool_downs += 1
        await self.release(org_id, holder)

    async def park(self, org_id: int, holder: UUID, reason: ParkReason, now: datetime) -> None:
        self.parked = (reason.code, reason.remedy)

    async def save_refresh_token(self, org_id: int, grant_code: Secret, refresh_token: Secret) -> None:
        assert self.credentials is not None
        assert self.credentials.grant_code == grant_code
        self.credentials = Credentials(self.credentials.client_id, self.credentials.client_secret, refresh_token)

    async def expire_early(self, org_id: int, generation: int, expires_at: datetime) -> None:
        if self.stored is not None and self.stored.generation == generation:
            self.stored = replace(self.stored, expires_at=min(self.stored.expires_at, expires_at))


Answer = Reply | NoReply


@dataclass
class Endpoint:
    """A token endpoint that gives the replies in order, each after `seconds`; the last one is repeated."""

    answers: list[Answer]
    seconds: float = 0.2
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def post(self, accounts_server: str, form: Mapping[str, str | Secret]) -> Answer:
        plain = {key: value.reveal() if isinstance(value, Secret) else value for key, value in form.items()}
        self.asked.append((accounts_server, plain))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await asyncio.sleep(self.seconds)
        return answer


def tokens(
    shelf: Shelf,
    post: Callable[[str, Mapping[str, str | Secret]], Awaitable[Answer]],
    *,
    data_centers: Mapping[str, DataCenter] = ZOHO_DATA_CENTERS,
    now: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Tokens:
    """The token manager of one worker; several workers may share a shelf."""
    ports = TokenPorts(
        read_credentials=shelf.read_credentials,
        read=shelf.read,
        acquire_lease=shelf.acquire_lease,
        save=shelf.save,
        release=shelf.release,
        cool_down=shelf.cool_down,
        park=shelf.park,
        save_refresh_token=shelf.save_refresh_token,
        post=post,
        now=now,
        sleep=sleep,
        expire_early=shelf.expire_early,
    )
    return Tokens(ports, data_centers)
