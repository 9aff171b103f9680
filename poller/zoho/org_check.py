"""Checks with live requests whether an org can be polled: data centre, credentials, API access and each scope.

Sends at most four requests, which cost three credits. Each result is OK or says what to do and where in Zoho's console.
The check also reads what Zoho says about the org, because its limits follow from its edition and licences.

Never raises for anything that Zoho does, never guesses (without a reply, a result is unknown), and neither parks the
org nor stores anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from poller.core.another_org import ANOTHER_ORG, is_another_org, remedy_for_another_org
from poller.core.checks import CheckResult, CheckStatus
from poller.core.model import Org, Outcome, UserType
from poller.core.remedies import remedy_for
from poller.core.reply import Classification, NoReply, Reply, Retry
from poller.core.token import SCOPES
from poller.zoho.org_info import read_org_info
from poller.zoho.org_requests import first_entry, send_limited
from poller.zoho.token_request import NoToken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from poller.core.token import AccessToken
    from poller.zoho.limiter import OrgLimiter
    from poller.zoho.org_info import OrgInfo
    from poller.zoho.org_requests import CheckPorts


class Check(StrEnum):
    """The checks of an org, in the order of the results."""

    DATA_CENTER = "data centre"
    CREDENTIALS = "credentials"
    API_ACCESS = "API access"
    USERS = SCOPES[0]
    ORG = SCOPES[1]
    FEATURES = SCOPES[2]


@dataclass(frozen=True, slots=True)
class OrgCheck:
    """The result of every check, in the order of `Check`, and what Zoho says about the org, if it may be read."""

    org: Org
    results: tuple[CheckResult, ...]
    info: OrgInfo | None = None

    @property
    def ok(self) -> bool:
        """True if every check is OK."""
        return all(result.status is CheckStatus.OK for result in self.results)

    def status(self, check: Check) -> CheckStatus:
        """The status of one check."""
        return next(result.status for result in self.results if result.check is check)


async def check_org(org: Org, limiter: OrgLimiter, ports: CheckPorts, *, refusal: NoToken | None = None) -> OrgCheck:
    """Runs every check of `org`; `refusal` is the result of the exchange of its grant code, if that has just failed.

    Exchanges no grant code: exchanges are paced for all orgs of a client together.
    """
    token = refusal or await ports.tokens.get(org)
    check = _CheckRun(org, limiter, ports)
    if isinstance(token, NoToken):
        check.note_no_token(token)
        return OrgCheck(org, check.results())
    check.note(Check.CREDENTIALS, CheckStatus.OK)
    valid = await check.users(token)
    if valid is None:
        return OrgCheck(org, check.results())
    info = await check.organisation(valid)
    if info is not None and org.zgid and info.zgid and is_another_org(org.zgid, info.zgid):
        remedy = remedy_for_another_org(org.name, org.zgid, info.zgid)
        check.note(Check.CREDENTIALS, CheckStatus.WRONG, ANOTHER_ORG, remedy)
    await check.features(valid)
    return OrgCheck(org, check.results(), info)


class _CheckRun:
    """One run of all checks of an org: collects their results."""

    def __init__(self, org: Org, limiter: OrgLimiter, ports: CheckPorts) -> None:
        self._org = org
        self._limiter = limiter
        self._ports = ports
        self._found: dict[Check, CheckResult] = {}

    def results(self) -> tuple[CheckResult, ...]:
        """One result for every check; unknown if no reply said anything about it."""
        return tuple(self._found.get(check, CheckResult(check, CheckStatus.UNKNOWN)) for check in Check)

    def note(self, check: Check, status: CheckStatus, code: str | None = None, remedy: str | None = None) -> None:
        """Sets the result of a check; `remedy`: by default the one for `code`."""
        self._found[check] = CheckResult(check, status, code or "", remedy or (remedy_for(code) if code else ""))

    def note_no_token(self, refusal: NoToken) -> None:
        """Sets the results that follow from the reason why there is no token."""
        if refusal.code == "unknown_data_center":
            self.note(Check.DATA_CENTER, CheckStatus.WRONG, refusal.code, refusal.remedy)
            return
        refused = refusal.outcome in {Outcome.UNAUTHORIZED, Outcome.MISSED}
        status = CheckStatus.WRONG if refused else CheckStatus.UNKNOWN
        self.note(Check.CREDENTIALS, status, refusal.code, refusal.remedy)
        if refusal.code in _CLIENT_IS_KNOWN:
            self.note(Check.DATA_CENTER, CheckStatus.OK)

    async def users(self, token: AccessToken) -> AccessToken | None:
        """Requests one count: checks data centre, API access and the users scope. Renews a rejected token once.

        Returns the token for further requests, or None if there is none.
        """
        found = await self._count(token)
        if found.retry is Retry.REFRESH_TOKEN:
            renewed = await self._ports.tokens.renew(self._org, token)
            if isinstance(renewed, NoToken):
                self.note_no_token(renewed)
                return None
            token, found = renewed, await self._count(renewed)
        if found.outcome is Outcome.UNAUTHORIZED:
            # The API does not know a token that was issued just now: the org is in another data centre.
            self.note(Check.DATA_CENTER, CheckStatus.WRONG, found.code)
            return None
        if found.outcome in {Outcome.OK, Outcome.FORBIDDEN}:
            self.note(Check.DATA_CENTER, CheckStatus.OK)
        self._note_classification(Check.USERS, found)
        return token

    async def organisation(self, token: AccessToken) -> OrgInfo | None:
        """Requests what Zoho says about the org: checks the org scope."""
        reply, classification = await self._get(token, "org")
        info = read_org_info(reply)
        if info is None:
            self._note_classification(Check.ORG, classification)
        else:
            self._note_success(Check.ORG)
        return info

    async def features(self, token: AccessToken) -> None:
        """Requests the seats: checks the features scope."""
        reply, classification = await self._get(token, "__features/user_licenses")
        # 204: the scope is granted, but this edition has no such report.
        if first_entry(reply, "__features") is not None or (isinstance(reply, Reply) and reply.status == 204):
            self._note_success(Check.FEATURES)
        else:
            self._note_classification(Check.FEATURES, classification)

    def _note_success(self, check: Check) -> None:
        """The reply had data, so the scope is granted, and the data centre and API access are right too."""
        self.note(check, CheckStatus.OK)
        for proven in (Check.DATA_CENTER, Check.API_ACCESS):
            self._found.setdefault(proven, CheckResult(proven, CheckStatus.OK))

    def _note_classification(self, check: Check, found: Classification) -> None:
        """Sets the result of a scope's check, or of API access, from the classification of a reply."""
        if found.outcome is Outcome.OK:
            self.note(Check.API_ACCESS, CheckStatus.OK)
            self.note(check, CheckStatus.OK)
        elif found.outcome is Outcome.FORBIDDEN and found.code in _NO_API_ACCESS:
            self.note(Check.API_ACCESS, CheckStatus.WRONG, found.code)
        elif found.outcome in {Outcome.FORBIDDEN, Outcome.REJECTED}:
            self.note(check, CheckStatus.WRONG, found.code)
        else:
            self.note(check, CheckStatus.UNKNOWN, found.code)

    async def _count(self, token: AccessToken) -> Classification:
        version, ports = self._org.api_version, self._ports
        _, classification = await self._send(
            lambda: ports.count(token.api_domain, version, UserType.CURRENT, token.secret)
        )
        return classification

    async def _get(self, token: AccessToken, what: str) -> tuple[Reply | NoReply, Classification]:
        path, ports = f"/crm/{self._org.api_version}/{what}", self._ports
        return await self._send(lambda: ports.get(token.api_domain, path, token.secret))

    async def _send(self, send: Callable[[], Awaitable[Reply | NoReply]]) -> tuple[Reply | NoReply, Classification]:
        return await send_limited(self._limiter, self._ports, send) or _HELD


_HELD: Final = (
    Reply(429, b'{"code": "TOO_MANY_REQUESTS"}'),
    Classification(Outcome.THROTTLED, None, "TOO_MANY_REQUESTS", Retry.LATER),
)
"""Used in place of a reply if the org is held, so that no request was sent."""
_CLIENT_IS_KNOWN: Final = frozenset({"invalid_client_secret", "invalid_code", "grant_code_expired", "missing_org_info"})
"""Refusals that come only from the data centre that the client belongs to."""
_NO_API_ACCESS: Final = frozenset({"NO_PERMISSION", "FEATURE_NOT_ENABLED", "API_NOT_SUPPORTED", "AUTHORIZATION_FAILED"})
