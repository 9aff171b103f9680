"""One poll, with a function as Zoho and a manual clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import given, strategies as st

from poller.core.editions import limits_of
from poller.core.model import USER_TYPES, Org, Outcome, Snapshot, UserType
from poller.core.reply import Failure, NoReply, Reply
from poller.core.secret import Secret
from poller.core.token import AccessToken, StoredToken
from poller.polling.poll import poll_org
from poller.polling.ports import PollPorts
from poller.zoho.limiter import Limiter
from poller.zoho.tokens import NoToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.zoho.limiter import OrgLimiter
    from poller.zoho.org_info import OrgInfo
    from poller.zoho.seats import SeatCount, SeatRefusal

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ORG = Org(id=7, name="Acme", data_center="us", api_version="v7", interval_seconds=900, edition="enterprise")


def count(number: int) -> Reply:
    return Reply(200, b'{"count": %d}' % number, {"content-type": "application/json"})


def refusal(status: int, code: str, **headers: str) -> Reply:
    return Reply(status, b'{"code": "%s", "details": {}, "message": "m", "status": "error"}' % code.encode(), headers)


@dataclass
class Zoho:
    """Answers each request with `answer`, and records the requests."""

    answer: Callable[[Zoho, UserType, str], Reply | NoReply]
    token: AccessToken | NoToken
    edition: str = "enterprise"
    asked: list[tuple[UserType, str]] = field(default_factory=list)
    renewals: int = 0
    renewed: AccessToken | NoToken | None = None
    seconds: float = 0.0
    ends_told: list[datetime] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def ask(self, api_domain: str, version: str, user_type: UserType, token: Secret) -> Reply | NoReply:
        assert (api_domain, version) == ("https://www.zohoapis.com", "v7")
        self.asked.append((user_type, token.reveal()))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        return self.answer(self, user_type, token.reveal())

    async def get_token(self, org: Org, known: StoredToken | None) -> AccessToken | NoToken:
        assert (org, known) == (ORG, None)
        return self.token

    async def renew_token(self, org: Org, stale: AccessToken) -> AccessToken | NoToken:
        assert stale is self.token
        self.renewals += 1
        assert self.renewed is not None
        return self.renewed

    async def set_token_expiry(self, org: Org, token: AccessToken, ends_at: datetime) -> None:
        assert (org, token) == (ORG, self.token)
        self.ends_told.append(ends_at)

    async def read_seats(self, org: Org, limiter: OrgLimiter) -> tuple[SeatCount | SeatRefusal | None, int]:
        raise AssertionError("a poll reads no seats")

    async def fetch_org_info(self, org: Org, limiter: OrgLimiter) -> tuple[OrgInfo | None, int]:
        raise AssertionError("the counts are all a poll asks for")

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    async def poll(self) -> Snapshot:
        limiter = Limiter(64, now=lambda: NOON.timestamp() + self.seconds, sleep=self.sleep)
        world = PollPorts(
            request_count=self.ask,
            get_token=self.get_token,
            renew_token=self.renew_token,
            set_token_expiry=self.set_token_expiry,
            fetch_org_info=self.fetch_org_info,
            read_seats=self.read_seats,
            now=lambda: NOON + timedelta(seconds=self.seconds),
            sleep=self.sleep,
            jitter=lambda: 0.0,
        )
        with limiter.org(ORG.id, limits_of(self.edition)) as line:
            return await poll_org(ORG, NOON, line, world)


def token(value: str = "first") -> AccessToken:
    return AccessToken(Secret(value), "https://www.zohoapis.com", NOON, NOON + timedelta(hours=1), 1)


async def test_ten_concurrent_requests_give_the_counts_of_one_snapshot() -> None:
    zoho = Zoho(lambda _, user_type, __: count(1 if user_type is UserType.CURRENT else 11), token())
    snapshot = await zoho.poll()
    assert snapshot.outcome is Outcome.OK
    assert snapshot.counts == dict.fromkeys(USER_TYPES, 11) | {UserType.CURRENT: 1}
    assert (snapshot.requests, snapshot.slot, snapshot.polled_at) == (10, NOON, NOON)
    assert zoho.most_in_flight == 10


async def test_a_free_org_never_has_more_than_its_share_of_five_in_flight() -> None:
    zoho = Zoho(lambda *_: count(1), token(), edition="free")
    assert (await zoho.poll()).outcome is Outcome.OK
    assert zoho.most_in_flight == 2


async def test_an_invalid_token_is_renewed_once_for_all_requests_of_a_poll() -> None:
    def answer(_: Zoho, __: UserType, sent: str) -> Reply:
        return count(1) if sent == "second" else refusal(401, "INVALID_TOKEN")

    zoho = Zoho(answer, token(), renewed=token("second"))
    snapshot = await zoho.poll()
    assert (snapshot.outcome, zoho.renewals) == (Outcome.OK, 1)
    assert snapshot.requests == len(zoho.asked) <= 20


async def test_a_second_invalid_token_in_one_poll_is_not_renewed_again() -> None:
    zoho = Zoho(lambda *_: refusal(401, "INVALID_TOKEN"), token(), renewed=token("second"))
    snapshot = await zoho.poll()
    assert (snapshot.outcome, snapshot.error) == (Outcome.UNAUTHORIZED, "INVALID_TOKEN")
    assert zoho.renewals == 1
    assert snapshot.counts == {}


async def test_without_a_token_no_request_is_sent_and_the_row_has_the_reason() -> None:
    zoho = Zoho(lambda *_: count(1), NoToken(Outcome.UNAUTHORIZED, "invalid_code", "connect it again"))
    snapshot = await zoho.poll()
    assert (snapshot.outcome, snapshot.error, snapshot.requests) == (Outcome.UNAUTHORIZED, "invalid_code", 0)
    assert set(snapshot.errors) == set(USER_TYPES)


async def test_a_transient_failure_is_retried_with_growing_waits_until_it_succeeds() -> None:
    def answer(zoho: Zoho, user_type: UserType, _: str) -> Reply | NoReply:
        if user_type is UserType.ADMIN and zoho.seconds < 1:
            return NoReply(Failure.RESET)
        return count(1)

    zoho = Zoho(answer, token())
    snapshot = await zoho.poll()
    assert (snapshot.outcome, snapshot.requests, zoho.seconds) == (Outcome.OK, 12, 2.0)


async def test_a_permanent_failure_of_one_count_leaves_the_other_nine_known() -> None:
    def answer(_: Zoho, user_type: UserType, __: str) -> Reply | NoReply:
        return NoReply(Failure.TIMEOUT) if user_type is UserType.ADMIN else count(1)

    snapshot = await Zoho(answer, token()).poll()
    assert (snapshot.outcome, snapshot.error) == (Outcome.PARTIAL, "timeout")
    assert snapshot.errors == {UserType.ADMIN: "timeout"}
    assert len(snapshot.counts) == 9


async def test_after_a_429_no_further_request_is_sent_and_none_is_repeated() -> None:
    zoho = Zoho(lambda *_: refusal(429, "TOO_MANY_REQUESTS"), token(), edition="free")
    snapshot = await zoho.poll()
    assert snapshot.outcome is Outcome.THROTTLED
    assert snapshot.requests == 2
    assert zoho.seconds == 0.0
    assert Counter(snapshot.errors.values()) == {"TOO_MANY_REQUESTS": 2, "held": 8}


async def test_several_holds_in_one_poll_share_one_maximum_wait() -> None:
    zoho = Zoho(lambda *_: refusal(429, "TOO_MANY_REQUESTS", **{"retry-after": "15"}), token(), edition="free")
    snapshot = await zoho.poll()
    # Of the 20 s that a poll waits, the first hold took 15: the second would end at 30.
    assert zoho.seconds == 15.0
    assert snapshot.outcome is Outcome.THROTTLED
    assert set(snapshot.errors.values()) == {"TOO_MANY_REQUESTS", "held"}


async def test_the_expiry_of_a_replaced_token_is_not_used_for_the_new_one() -> None:
    def answer(_: Zoho, user_type: UserType, sent: str) -> Reply:
        if sent == "second":
            return count(1)
        ends = {"x-accesstoken-reset": (NOON + timedelta(minutes=10)).isoformat()}
        return refusal(401, "INVALID_TOKEN") if user_type is UserType.ADMIN else Reply(200, b'{"count": 1}', ends)

    zoho = Zoho(answer, token(), renewed=token("second"))
    assert (await zoho.poll()).outcome is Outcome.OK
    assert zoho.ends_told == []


async def test_without_any_reply_a_pass_sends_no_more_requests_than_can_be_in_flight() -> None:
    zoho = Zoho(lambda *_: NoReply(Failure.TIMEOUT), token(), edition="free")
    snapshot = await zoho.poll()
    assert (snapshot.outcome, snapshot.error, snapshot.requests) == (Outcome.UNAVAILABLE, "timeout", 6)
    assert set(snapshot.errors) == set(USER_TYPES)


async def test_after_a_first_reply_one_unanswered_request_does_not_stop_the_others() -> None:
    def answer(_: Zoho, user_type: UserType, __: str) -> Reply | NoReply:
        return NoReply(Failure.TIMEOUT) if user_type is UserType.ADMIN else count(1)

    snapshot = await Zoho(answer, token(), edition="free").poll()
    assert (len(snapshot.counts), snapshot.requests) == (9, 12)


async def test_a_retry_after_within_the_maximum_wait_is_waited_for() -> None:
    def answer(zoho: Zoho, *_: object) -> Reply:
        return count(1) if zoho.seconds >= 7 else refusal(503, "INTERNAL_ERROR", **{"retry-after": "7"})

    zoho = Zoho(answer, token())
    assert (await zoho.poll()).outcome is Outcome.OK
    assert zoho.seconds == 7.0


async def test_a_retry_after_beyond_the_maximum_wait_is_left_to_the_next_poll() -> None:
    zoho = Zoho(lambda *_: refusal(503, "INTERNAL_ERROR", **{"retry-after": "60"}), token())
    snapshot = await zoho.poll()
    assert (snapshot.outcome, snapshot.requests, zoho.seconds) == (Outcome.UNAVAILABLE, 10, 0.0)


async def test_the_lowest_number_of_remaining_credits_is_kept_even_if_it_is_0() -> None:
    def answer(zoho: Zoho, *_: object) -> Reply:
        left = {"x-api-credits-remaining": str(max(3 - len(zoho.asked), 0))}
        return Reply(200, b'{"count": 1}', left)

    assert (await Zoho(answer, token(), edition="free").poll()).credits_remaining == 0


async def test_counts_received_before_a_429_are_kept() -> None:
    def answer(zoho: Zoho, *_: object) -> Reply:
        return count(4) if len(zoho.asked) <= 4 else refusal(429, "TOO_MANY_REQUESTS")

    snapshot = await Zoho(answer, token(), edition="free").poll()
    assert snapshot.outcome is Outcome.PARTIAL
    assert set(snapshot.counts.values()) == {4}


async def test_a_permanent_refusal_is_not_retried() -> None:
    zoho = Zoho(lambda *_: refusal(401, "OAUTH_SCOPE_MISMATCH"), token())
    snapshot = await zoho.poll()
    assert (snapshot.outcome, snapshot.error) == (Outcome.FORBIDDEN, "OAUTH_SCOPE_MISMATCH")
    assert (zoho.renewals, snapshot.requests) == (0, 10)


async def test_the_earliest_expiry_of_a_token_is_reported_once_per_poll() -> None:
    def answer(_: Zoho, user_type: UserType, __: str) -> Reply:
        minute = 10 if user_type is UserType.ADMIN else 30
        return Reply(200, b'{"count": 1}', {"x-accesstoken-reset": f"2026-11-23T12:{minute}:00+00:00"})

    zoho = Zoho(answer, token())
    await zoho.poll()
    assert zoho.ends_told == [NOON + timedelta(minutes=10)]


replies = st.one_of(
    st.integers(0, 2**31 - 1).map(count),
    st.sampled_from(Failure).map(NoReply),
    st.tuples(
        st.sampled_from([200, 204, 400, 401, 403, 429, 500, 503]),
        st.sampled_from(["INVALID_TOKEN", "NO_PERMISSION", "TOO_MANY_REQUESTS", "INTERNAL_ERROR", "NEW_CODE"]),
    ).map(lambda pair: refusal(*pair)),
)


@given(st.data())
async def test_for_any_replies_every_user_type_has_a_count_or_an_error_after_few_requests(data: st.DataObject) -> None:
    said: dict[UserType, set[int]] = {}

    def answer(_: Zoho, user_type: UserType, __: str) -> Reply | NoReply:
        reply = data.draw(replies)
        if isinstance(reply, Reply) and reply.body.startswith(b'{"count"'):
            said.setdefault(user_type, set()).add(int(reply.body[10:-1]))
        return reply

    zoho = Zoho(answer, token(), renewed=token("second"))
    snapshot = await zoho.poll()
    assert all(number in said[user_type] for user_type, number in snapshot.counts.items())
    assert set(snapshot.counts) | set(snapshot.errors) == set(USER_TYPES)
    assert snapshot.requests == len(zoho.asked) <= 40
    assert zoho.renewals <= 1
