"""Whether an org can be polled, proven by live calls: data centre, credentials, API access and each scope.

Four requests at the most, three credits; each finding says what is well or what to do and where in Zoho's console. On
the way the org's own account of itself is read: its edition and licences are what its limits follow from.

It refuses to raise for anything Zoho does, to guess where a call gave no answer (that finding is unknown), and to park
or store anything: it finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from poller.core.another_org import ANOTHER_ORG, is_another_org, remedy_for_another_org
from poller.core.model import Org, Outcome, UserType
from poller.core.poll_result import CountRefusal
from poller.core.remedies import remedy_for
from poller.core.reply import Classification, NoReply, Reply, Retry, classify
from poller.core.reply_body import decode_object
from poller.core.token import SCOPES
from poller.zoho.token_request import NoToken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from poller.core.secret import Secret
    from poller.core.token import AccessToken
    from poller.zoho.limiter import OrgLimiter
    from poller.zoho.tokens import Tokens

PATIENCE_SECONDS: Final = 20.0


class Subject(StrEnum):
    """What is proven."""

    DATA_CENTER = "data centre"
    CREDENTIALS = "credentials"
    API_ACCESS = "API access"
    USERS = SCOPES[0]
    ORG = SCOPES[1]
    FEATURES = SCOPES[2]


class Standing(StrEnum):
    """How it stands."""

    OK = "ok"
    FAULT = "fault"
    UNKNOWN = "unknown"
    """No answer, or none that tells."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One subject: how it stands, the code that says so, and where it is not well what to do about it and where."""

    subject: Subject
    standing: Standing
    code: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class OrgInfo:
    """What an org says of itself; `edition` is Zoho's `paid_type`. None: it did not say."""

    zgid: str | None
    company_name: str | None
    edition: str | None
    licences: int | None
    renews_on: date | None = None


@dataclass(frozen=True, slots=True)
class OrgCheck:
    """Every subject once, in their order, and what the org said of itself where it may be asked."""

    org: Org
    findings: tuple[Finding, ...]
    facts: OrgInfo | None = None

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return all(finding.standing is Standing.OK for finding in self.findings)

    def standing(self, subject: Subject) -> Standing:
        """How one subject stands."""
        return next(finding.standing for finding in self.findings if finding.subject is subject)


@dataclass(frozen=True, slots=True)
class CheckPorts:
    """What a check asks: `count` and `get` of the client, tokens of the fleet's."""

    tokens: Tokens
    count: Callable[[str, str, UserType, Secret], Awaitable[Reply | NoReply]]
    get: Callable[[str, str, Secret], Awaitable[Reply | NoReply]]
    now: Callable[[], datetime]


async def check_org(org: Org, limiter: OrgLimiter, ports: CheckPorts, *, refusal: NoToken | None = None) -> OrgCheck:
    """Prove what can be proven of `org`; `refusal` is what the exchange of its grant code has just come to.

    Exchanges are paced for all orgs of a client together, so none is made here.
    """
    token = refusal or await ports.tokens.get(org)
    check = _Check(org, limiter, ports)
    if isinstance(token, NoToken):
        check.note_no_token(token)
        return OrgCheck(org, check.findings())
    check.note(Subject.CREDENTIALS, Standing.OK)
    good = await check.users(token)
    if good is None:
        return OrgCheck(org, check.findings())
    facts = await check.organisation(good)
    if facts is not None and org.zgid and facts.zgid and is_another_org(org.zgid, facts.zgid):
        remedy = remedy_for_another_org(org.name, org.zgid, facts.zgid)
        check.note(Subject.CREDENTIALS, Standing.FAULT, ANOTHER_ORG, remedy)
    await check.features(good)
    return OrgCheck(org, check.findings(), facts)


async def fetch_org_info(org: Org, limiter: OrgLimiter, ports: CheckPorts) -> tuple[OrgInfo | CountRefusal | None, int]:
    """What the org says of itself, by one request under its limits, and how many requests that took.

    A `CountRefusal` where the answer is another; None where nothing was asked: there was no token, or the org is held.
    """
    token = await ports.tokens.get(org)
    if isinstance(token, NoToken) or await limiter.enter(PATIENCE_SECONDS) > 0.0:
        return None, 0
    try:
        reply = await ports.get(token.api_domain, f"/crm/{org.api_version}/org", token.secret)
    finally:
        limiter.leave()
    verdict = classify(reply, ports.now())
    if verdict.outcome is Outcome.THROTTLED:
        limiter.throttle(verdict.wait_seconds)
    return read_facts(reply) or CountRefusal(verdict.outcome, verdict.code or verdict.outcome.value), 1


def read_facts(reply: Reply | NoReply) -> OrgInfo | None:
    """What a reply to `/org` says; None where it is something else."""
    entry = _first(reply, "org")
    if entry is None:
        return None
    licence = entry.get("license_details")
    licence = licence if isinstance(licence, dict) else {}
    return OrgInfo(
        zgid=_digits(entry.get("zgid")),
        company_name=_text(entry.get("company_name")),
        edition=_text(licence.get("paid_type")),
        licences=_number(licence.get("users_license_purchased")),
        renews_on=_day(licence.get("paid_expiry")),
    )


class _Check:
    """The findings of one check as they come."""

    def __init__(self, org: Org, limiter: OrgLimiter, ports: CheckPorts) -> None:
        self._org = org
        self._limiter = limiter
        self._ports = ports
        self._found: dict[Subject, Finding] = {}

    def findings(self) -> tuple[Finding, ...]:
        """All of them; what nothing was heard of is unknown."""
        return tuple(self._found.get(subject, Finding(subject, Standing.UNKNOWN)) for subject in Subject)

    def note(self, subject: Subject, standing: Standing, code: str | None = None, remedy: str | None = None) -> None:
        """A finding; a code without a remedy gets the one written for it."""
        self._found[subject] = Finding(subject, standing, code, remedy or (code and remedy_for(code)))

    def note_no_token(self, refusal: NoToken) -> None:
        if refusal.code == "unknown_data_center":
            self.note(Subject.DATA_CENTER, Standing.FAULT, refusal.code, refusal.remedy)
            return
        refused = refusal.outcome in {Outcome.UNAUTHORIZED, Outcome.MISSED}
        self.note(Subject.CREDENTIALS, Standing.FAULT if refused else Standing.UNKNOWN, refusal.code, refusal.remedy)
        if refusal.code in _CLIENT_IS_KNOWN:
            self.note(Subject.DATA_CENTER, Standing.OK)

    async def users(self, token: AccessToken) -> AccessToken | None:
        """One count: proves the data centre, API access and the scope that matters. A stale token is renewed once."""
        verdict = await self._count(token)
        if verdict.retry is Retry.REFRESH_TOKEN:
            renewed = await self._ports.tokens.renew(self._org, token)
            if isinstance(renewed, NoToken):
                self.note_no_token(renewed)
                return None
            token, verdict = renewed, await self._count(renewed)
        if verdict.outcome is Outcome.UNAUTHORIZED:
            # A token just issued that the API does not know: issued in one data centre, asked in another.
            self.note(Subject.DATA_CENTER, Standing.FAULT, verdict.code)
            return None
        if verdict.outcome in {Outcome.OK, Outcome.FORBIDDEN}:
            self.note(Subject.DATA_CENTER, Standing.OK)
        self._note_verdict(Subject.USERS, verdict)
        return token

    async def organisation(self, token: AccessToken) -> OrgInfo | None:
        reply = await self._get(token, "org")
        facts = read_facts(reply)
        if facts is None:
            self._note_verdict(Subject.ORG, classify(reply, self._ports.now()))
        else:
            self._note_answer(Subject.ORG)
        return facts

    async def features(self, token: AccessToken) -> None:
        reply = await self._get(token, "__features/user_licenses")
        # 204: the scope is there, this edition has no such report.
        if _first(reply, "__features") is not None or (isinstance(reply, Reply) and reply.status == 204):
            self._note_answer(Subject.FEATURES)
        else:
            self._note_verdict(Subject.FEATURES, classify(reply, self._ports.now()))

    def _note_answer(self, subject: Subject) -> None:
        """An answer with what was asked for: whatever came of other calls, the token is known and may ask there."""
        self.note(subject, Standing.OK)
        for proven in (Subject.DATA_CENTER, Subject.API_ACCESS):
            self._found.setdefault(proven, Finding(proven, Standing.OK))

    def _note_verdict(self, subject: Subject, verdict: Classification) -> None:
        """What a verdict says of a scope, and of access to the API as a whole."""
        if verdict.outcome is Outcome.OK:
            self.note(Subject.API_ACCESS, Standing.OK)
            self.note(subject, Standing.OK)
        elif verdict.outcome is Outcome.FORBIDDEN and verdict.code in _SAYS_NO_ACCESS:
            self.note(Subject.API_ACCESS, Standing.FAULT, verdict.code)
        elif verdict.outcome in {Outcome.FORBIDDEN, Outcome.REJECTED}:
            self.note(subject, Standing.FAULT, verdict.code)
        else:
            self.note(subject, Standing.UNKNOWN, verdict.code)

    async def _count(self, token: AccessToken) -> Classification:
        org, ports = self._org, self._ports
        if await self._limiter.enter(PATIENCE_SECONDS) > 0.0:
            return _HELD
        try:
            reply = await ports.count(token.api_domain, org.api_version, UserType.CURRENT, token.secret)
        finally:
            self._limiter.leave()
        return self._learn(classify(reply, ports.now()))

    async def _get(self, token: AccessToken, what: str) -> Reply | NoReply:
        if await self._limiter.enter(PATIENCE_SECONDS) > 0.0:
            return _NOT_ASKED
        try:
            reply = await self._ports.get(token.api_domain, f"/crm/{self._org.api_version}/{what}", token.secret)
        finally:
            self._limiter.leave()
        self._learn(classify(reply, self._ports.now()))
        return reply

    def _learn(self, verdict: Classification) -> Classification:
        if verdict.outcome is Outcome.THROTTLED:
            self._limiter.throttle(verdict.wait_seconds)
        return verdict


_HELD: Final = Classification(Outcome.THROTTLED, None, "TOO_MANY_REQUESTS", Retry.LATER)
_NOT_ASKED: Final = Reply(429, b'{"code": "TOO_MANY_REQUESTS"}')
"""Stands for the answer to what our own hold kept from leaving."""
_CLIENT_IS_KNOWN: Final = frozenset({"invalid_client_secret", "invalid_code", "grant_code_expired", "missing_org_info"})
"""Refusals that only the data centre of the client gives."""
_SAYS_NO_ACCESS: Final = frozenset(
    {"NO_PERMISSION", "FEATURE_NOT_ENABLED", "API_NOT_SUPPORTED", "AUTHORIZATION_FAILED"}
)


def _first(reply: Reply | NoReply, key: str) -> dict[str, Any] | None:
    """The first entry of a list in a reply of 200."""
    if isinstance(reply, NoReply) or reply.status != 200:
        return None
    document = decode_object(reply.body)
    entries = document.get(key) if isinstance(document, dict) else None
    return entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable() else None


def _day(value: object) -> date | None:
    """The day of an ISO time, as it is written there."""
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def _digits(value: object) -> str | None:
    text = str(value) if type(value) is int else value
    return text if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 32 else None


def _number(value: object) -> int | None:
    """Zoho's old replies say the number of licences in a string."""
    digits = _digits(value)
    return int(digits) if digits is not None and len(digits) <= 9 else None
