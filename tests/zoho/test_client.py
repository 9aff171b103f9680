"""The client against servers on loopback that fail in the ways of networks and edges."""

from __future__ import annotations

import asyncio
import gzip
import logging
import random
import socket
import ssl
import struct
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import pytest
import trustme
import uvloop
from aiohttp.abc import AbstractResolver, ResolveResult

from poller.core.datacenters import ZOHO_DATA_CENTERS
from poller.core.model import USER_TYPES, UserType
from poller.core.org_entry import OrgEntry, entry_from
from poller.core.reply import Failure, NoReply, Reply
from poller.core.secret import Secret
from poller.settings import Settings
from poller.zoho.client import MAX_BODY, ClientMode, ZohoClient
from tests.worker.waiting import PATIENCE_SECONDS
from tests.zoho.modes import open_client, opened_for

pytestmark = pytest.mark.usefixtures("every_mode")
TOKEN = Secret("1000.8cb99dfeedfacefeedfacebe93.9b8feedfacef")
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"count": 11}'
SYSTEM = ssl.create_default_context()  # once: reading the system's authorities takes 50 ms


@dataclass
class Standin:
    """A server in the place of Zoho, and the head and body of each received request."""

    base: str = ""
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    clients_left: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)


Answer = Callable[[asyncio.StreamWriter, Standin], Awaitable[None]]


@asynccontextmanager
async def standin(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Standin]:
    """A server on loopback that answers each request by `answer`."""
    seen = Standin()
    writers: list[asyncio.StreamWriter] = []
    idle = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        seen.connections += 1
        idle.clear()
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((int(line[15:]) for line in head.split("\r\n") if line[:15] == "Content-Length:"), 0)
                seen.requests.append(head + (await reader.readexactly(length)).decode())
                await answer(writer, seen)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            seen.clients_left += 1
            writer.transport.abort()
            if seen.clients_left == seen.connections:
                idle.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    seen.base = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield seen
    finally:
        seen.over.set()
        for writer in writers:
            writer.transport.abort()
        server.close()
        await server.wait_closed()
        if seen.connections > seen.clients_left:
            await idle.wait()


def saying(reply: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter, _: Standin) -> None:
        writer.write(reply)

    return answer


def saying_and_closing(reply: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter, _: Standin) -> None:
        writer.write(reply)
        writer.close()

    return answer


async def silence(writer: asyncio.StreamWriter, seen: Standin) -> None:
    await seen.over.wait()


async def drip(writer: asyncio.StreamWriter, seen: Standin) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.005)


async def reset(writer: asyncio.StreamWriter, _: Standin) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def client(
    seconds: float = PATIENCE_SECONDS, trust: ssl.SSLContext | None = SYSTEM, resolver: AbstractResolver | None = None
) -> AsyncIterator[ZohoClient]:
    async with open_client(connections=20, request_timeout_seconds=seconds, trust=trust, resolver=resolver) as opened:
        yield opened


async def count_from(answer: Answer, seconds: float = PATIENCE_SECONDS) -> Reply | NoReply:
    async with standin(answer) as zoho, client(seconds) as asking:
        return await asking.count(zoho.base, "v7", UserType.ALL, TOKEN)


async def test_a_count_request_names_its_type_and_has_the_token_only_in_the_header() -> None:
    async with standin(saying(OK)) as zoho, client() as asking:
        for user_type in USER_TYPES:
            assert await asking.count(zoho.base, "v8", user_type, TOKEN) == Reply(200, b'{"count": 11}')
    for user_type, request in zip(USER_TYPES, zoho.requests, strict=True):
        line, *headers = request.split("\r\n")
        assert line == f"GET /crm/v8/users/actions/count?type={user_type.value} HTTP/1.1"
        assert f"Authorization: Zoho-oauthtoken {TOKEN.reveal()}" in headers
        assert request.count(TOKEN.reveal()) == 1


async def test_other_paths_are_requested_unchanged() -> None:
    async with standin(saying(OK)) as zoho, client() as asking:
        await asking.get(zoho.base, "/crm/v7/__features/user_licenses", TOKEN)
    assert zoho.requests[0].startswith("GET /crm/v7/__features/user_licenses HTTP/1.1\r\n")


async def test_credentials_of_a_token_request_are_only_in_its_body() -> None:
    form: dict[str, str | Secret] = {
        "grant_type": "refresh_token",
        "client_id": "1000.ID",
        "client_secret": Secret("a&b=c d+é"),
        "code": TOKEN,
    }
    async with standin(saying(OK)) as zoho, client() as asking:
        assert isinstance(await asking.post_token(zoho.base, form), Reply)
    head, _, body = zoho.requests[0].partition("\r\n\r\n")
    assert head.startswith("POST /oauth/v2/token HTTP/1.1\r\n")
    assert "\r\nContent-Type: application/x-www-form-urlencoded" in head
    assert "Authorization" not in head
    assert "1000." not in head
    assert parse_qs(body) == {
        "grant_type": ["refresh_token"],
        "client_id": ["1000.ID"],
        "client_secret": ["a&b=c d+é"],
        "code": [TOKEN.reveal()],
    }


async def test_only_the_reply_headers_that_are_evaluated_are_returned() -> None:
    reply = (
        b"HTTP/1.1 429 Too Many Requests\r\nRETRY-AFTER: 30\r\nX-API-CREDITS-REMAINING: 7\r\n"
        b"X-ACCESSTOKEN-RESET: 2026-03-29T03:00:00+01:00\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert await count_from(saying(reply)) == Reply(
        429,
        b"{}",
        {
            "retry-after": "30",
            "x-api-credits-remaining": "7",
            "x-accesstoken-reset": "2026-03-29T03:00:00+01:00",
        },
    )


async def test_connections_are_kept_alive() -> None:
    async with standin(saying(OK)) as zoho, client() as asking:
        for _ in range(10):
            await asking.count(zoho.base, "v7", UserType.ALL, TOKEN)
    assert (len(zoho.requests), zoho.connections) == (10, opened_for(10, kept=1))


async def test_a_connection_that_the_server_closed_while_idle_is_not_used_again() -> None:
    async with standin(saying_and_closing(OK)) as zoho, client() as asking:
        for _ in range(3):
            assert await asking.count(zoho.base, "v7", UserType.ALL, TOKEN) == Reply(200, b'{"count": 11}')
            await turns()
    assert (len(zoho.requests), zoho.connections) == (3, 3)


async def test_a_cookie_is_never_sent_back() -> None:
    reply = OK.replace(b"Content-Type", b"Set-Cookie: _zcsr_tmp=1; Path=/\r\nContent-Type")
    async with standin(saying(reply)) as zoho, client() as asking:
        for _ in range(2):
            await asking.count(zoho.base, "v7", UserType.ALL, TOKEN)
    assert "ookie" not in zoho.requests[1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_the_token_goes_nowhere(status: int) -> None:
    async with standin(saying(OK)) as elsewhere:
        reply = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.base}/\r\nContent-Length: 0\r\n\r\n".encode()
        async with standin(saying(reply)) as zoho, client() as asking:
            assert await asking.count(zoho.base, "v7", UserType.ALL, TOKEN) == Reply(status, b"")
            assert await asking.post_token(zoho.base, {"code": TOKEN}) == Reply(status, b"")
    assert elsewhere.connections == 0


async def test_a_proxy_from_the_environment_gets_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async with standin(saying(OK)) as proxy, standin(saying(OK)) as zoho:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.base)
        monkeypatch.delenv("no_proxy", raising=False)
        async with client() as asking:
            assert isinstance(await asking.count(zoho.base, "v7", UserType.ALL, TOKEN), Reply)
    assert (proxy.connections, zoho.connections) == (0, 1)


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", b"<html>"),
        (
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"cou\r\n8\r\nnt": 11}\r\n0\r\n\r\n',
            b'{"count": 11}',
        ),
    ],
)
async def test_a_reply_is_returned_unchanged(reply: bytes, body: bytes) -> None:
    answer = await count_from(saying(reply))
    assert isinstance(answer, Reply)
    assert (answer.status, answer.body) == (int(reply[9:12]), body)


async def test_a_reply_without_a_length_ends_with_its_connection() -> None:
    answer = await count_from(saying_and_closing(b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n{"count": 11}'))
    assert answer == Reply(200, b'{"count": 11}')


async def test_a_compressed_reply_is_read_although_not_requested() -> None:
    packed = gzip.compress(b'{"count": 11}')
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    assert await count_from(saying(head + packed)) == Reply(200, b'{"count": 11}')


async def test_an_interim_reply_is_skipped() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    assert await count_from(saying(interim + interim + OK)) == Reply(200, b'{"count": 11}')


async def test_a_token_with_a_line_break_is_never_sent_as_a_header() -> None:
    async with standin(saying(OK)) as zoho, client() as asking:
        with pytest.raises(ValueError, match="another request"):
            await asking.count(zoho.base, "v7", UserType.ALL, Secret("1000.aa\r\nHost: elsewhere"))
    assert zoho.requests == []


def body_of(size: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + b" " * size


async def test_a_body_of_64_kb_is_read_and_a_longer_one_is_too_large() -> None:
    assert await count_from(saying(body_of(MAX_BODY))) == Reply(200, b" " * MAX_BODY)
    assert await count_from(saying(body_of(MAX_BODY + 1))) == NoReply(Failure.TOO_LARGE)


async def flood(writer: asyncio.StreamWriter, _: Standin) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize(
    "answer",
    [
        flood,
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n "),
        saying(
            f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(gzip.compress(bytes(5_000_000)))}"
            "\r\n\r\n".encode()
            + gzip.compress(bytes(5_000_000))
        ),
    ],
    ids=["endless", "announced", "bomb"],
)
async def test_the_connection_of_too_large_a_reply_is_closed(
    answer: Answer, every_mode: ClientMode, request: pytest.FixtureRequest
) -> None:
    async with standin(answer) as zoho, client() as asking:
        assert await asking.count(zoho.base, "v7", UserType.ALL, TOKEN) == NoReply(Failure.TOO_LARGE)
        await asking.count(zoho.base, "v7", UserType.ALL, TOKEN)
    # A packed reply is short until it is unpacked: the session has read it to its end, and may keep the connection.
    whole = "bomb" in request.node.callspec.id and every_mode is ClientMode.SESSION
    assert zoho.connections == (1 if whole else 2)


@pytest.mark.parametrize(
    ("body", "encoding", "expected"),
    [
        (zlib.compress(b'{"count": 11}'), "deflate", Reply(200, b'{"count": 11}')),
        (b'{"count": 11}', "identity", Reply(200, b'{"count": 11}')),
        (gzip.compress(b'{"count": 11}')[:-9], "gzip", NoReply(Failure.RESET)),
        (b"whatever", "br", NoReply(Failure.PROTOCOL)),
    ],
    ids=["deflate", "identity", "cut short", "unknown"],
)
async def test_a_reply_with_a_content_encoding_is_decoded_or_refused(
    body: bytes, encoding: str, expected: Reply | NoReply
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert await count_from(saying(head + body)) == expected


async def test_a_small_reply_that_decompresses_to_50_mb_is_not_decompressed_completely() -> None:
    packing = zlib.compressobj(9, wbits=31)
    packed = b"".join(packing.compress(bytes(1_000_000)) for _ in range(50)) + packing.flush()
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    tracemalloc.start()
    try:
        assert await count_from(saying(head + packed)) == NoReply(Failure.TOO_LARGE)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("answer", [silence, drip])
async def test_the_request_timeout_ends_a_reply_that_never_ends(answer: Answer) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    # The replies never end: nothing but this timeout is there to end the wait.
    assert await count_from(answer, seconds=0.15) == NoReply(Failure.TIMEOUT)
    assert loop.time() - started > 0.14


async def test_a_connection_whose_request_timed_out_is_not_used_again() -> None:
    async def late_then_prompt(writer: asyncio.StreamWriter, seen: Standin) -> None:
        if len(seen.requests) == 1:
            await silence(writer, seen)
        writer.write(OK)

    async with standin(late_then_prompt) as zoho, client(seconds=2.0) as asking:
        assert await asking.count(zoho.base, "v7", UserType.ALL, TOKEN) == NoReply(Failure.TIMEOUT)
        assert isinstance(await asking.count(zoho.base, "v7", UserType.ALL, TOKEN), Reply)
    assert zoho.connections == 2


async def turns() -> None:
    """Lets the event loop run a few times, so that bytes written on loopback arrive."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_unsolicited_reply_is_not_used_for_the_next_request() -> None:
    answered = asyncio.Event()

    async def chatter(writer: asyncio.StreamWriter, seen: Standin) -> None:
        writer.write(OK)
        if len(seen.requests) == 1:
            await answered.wait()  # in the same breath aiohttp itself would notice
            writer.write(OK.replace(b"11", b"99"))

    async with standin(chatter) as zoho, client() as asking:
        for _ in range(3):
            assert await asking.count(zoho.base, "v7", UserType.ALL, TOKEN) == Reply(200, b'{"count": 11}')
            answered.set()
            await turns()
    assert (len(zoho.requests), zoho.connections) == (3, opened_for(3, kept=2))


async def test_connections_with_unsolicited_replies_are_all_discarded() -> None:
    together, answered = asyncio.Barrier(8), asyncio.Event()

    async def chatter(writer: asyncio.StreamWriter, seen: Standin) -> None:
        if len(seen.requests) <= 8:
            await together.wait()  # so that eight connections are made
            writer.write(OK)
            await answered.wait()
            writer.write(OK.replace(b"11", b"99"))
        else:
            writer.write(OK)

    async with standin(chatter) as zoho, client() as asking:
        async with asyncio.TaskGroup() as group:
            for user_type in USER_TYPES[:8]:
                group.create_task(asking.count(zoho.base, "v7", user_type, TOKEN))
        answered.set()
        await turns()
        assert await asking.count(zoho.base, "v7", UserType.ALL, TOKEN) == Reply(200, b'{"count": 11}')
    assert (len(zoho.requests), zoho.connections) == (9, 9)


@pytest.mark.parametrize(
    "answer",
    [
        reset,
        saying_and_closing(b""),
        saying_and_closing(b"HTTP/1.1 200 OK\r\nContent-Le"),
        saying_and_closing(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"cou'),
        saying_and_closing(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"cou\r\n'),
    ],
    ids=["reset", "nothing", "within the head", "within the body", "within the chunks"],
)
async def test_a_broken_connection_is_a_reset_without_a_partial_reply_or_a_second_request(answer: Answer) -> None:
    async with standin(answer) as zoho, client() as asking:
        assert await asking.count(zoho.base, "v7", UserType.ALL, TOKEN) == NoReply(Failure.RESET)
    assert len(zoho.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\nnogzip",
    ],
)
async def test_a_server_that_does_not_speak_http_is_its_own_kind_of_failure(reply: bytes) -> None:
    assert await count_from(saying_and_closing(reply)) == NoReply(Failure.PROTOCOL)


every_way = pytest.mark.parametrize("way", ["count", "session"])


async def asked_by(way: str, reply: bytes) -> tuple[Reply | NoReply, int]:
    """The results of this reply for a count request and a session request, and the received requests."""
    async with standin(saying(reply)) as zoho, client() as asking:
        if way == "count":
            return await asking.count(zoho.base, "v7", UserType.ALL, TOKEN), len(zoho.requests)
        return await asking.get(zoho.base, "/crm/v7/org", TOKEN), len(zoho.requests)


@every_way
async def test_a_reply_with_a_long_unused_header_is_accepted(way: str) -> None:
    reply = OK.replace(b"Content-Type", b"Content-Security-Policy: " + b"x" * 60_000 + b"\r\nContent-Type")
    assert await asked_by(way, reply) == (Reply(200, b'{"count": 11}'), 1)


@every_way
async def test_a_header_longer_than_64_kb_is_too_large(way: str) -> None:
    reply = OK.replace(b"Content-Type", b"X: " + b"x" * 70_000 + b"\r\nContent-Type")
    assert await asked_by(way, reply) == (NoReply(Failure.TOO_LARGE), 1)


async def test_a_closed_port_is_the_failure_refused() -> None:
    async with standin(saying(OK)) as gone:
        pass
    async with client() as asking:
        assert await asking.count(gone.base, "v7", UserType.ALL, TOKEN) == NoReply(Failure.REFUSED)


class NoNames(AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def close(self) -> None:
        pass


async def test_an_unknown_name_is_a_dns_failure() -> None:
    async with client(resolver=NoNames()) as asking:
        answer = await asking.count("https://www.zohoapis.example", "v7", UserType.ALL, TOKEN)
    assert answer == NoReply(Failure.DNS)


async def test_an_invalid_host_name_is_a_dns_failure() -> None:
    async with client() as asking:
        answer = await asking.count(f"https://{'a' * 64}.example", "v7", UserType.ALL, TOKEN)
    assert answer == NoReply(Failure.DNS)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def served_with(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_a_certificate_of_a_trusted_authority_is_accepted(authority: trustme.CA) -> None:
    server = standin(saying(OK), served_with(authority, "127.0.0.1"))
    async with server as zoho, client(trust=trusting(authority)) as asking:
        for _ in range(3):
            assert await asking.count(zoho.base, "v7", UserType.ALL, TOKEN) == Reply(200, b'{"count": 11}')
    assert zoho.connections == opened_for(3, kept=1)


async def test_a_certificate_of_an_untrusted_authority_ends_the_request_before_the_token_is_sent(
    authority: trustme.CA,
) -> None:
    async with standin(saying(OK), served_with(authority, "127.0.0.1")) as zoho, client(trust=None) as asking:
        assert await asking.count(zoho.base, "v7", UserType.ALL, TOKEN) == NoReply(Failure.TLS)
    assert zoho.requests == []


async def test_a_certificate_of_another_host_ends_the_request_before_the_token_is_sent(authority: trustme.CA) -> None:
    server = standin(saying(OK), served_with(authority, "www.zohoapis.example"))
    async with server as zoho, client(trust=trusting(authority)) as asking:
        assert await asking.count(zoho.base, "v7", UserType.ALL, TOKEN) == NoReply(Failure.TLS)
    assert zoho.requests == []


async def test_a_plain_http_server_at_an_https_address_is_a_tls_failure() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(OK)
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server, client() as asking:
        base = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert await asking.count(base, "v7", UserType.ALL, TOKEN) == NoReply(Failure.TLS)


@pytest.mark.parametrize("check_hostname", [True, False])
async def test_a_client_without_certificate_verification_is_refused(check_hostname: bool) -> None:
    lax = ssl.create_default_context()
    lax.check_hostname = False
    if check_hostname:
        lax.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError, match="does not verify"):
        async with client(trust=lax):
            pass


async def test_a_cancelled_request_raises_its_cancellation() -> None:
    async with standin(silence) as zoho, client() as asking:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asking.count(zoho.base, "v7", UserType.ALL, TOKEN)


@pytest.mark.parametrize("version", ["v2", "v8", "v123.456"])
async def test_every_api_version_allowed_in_settings_or_org_files_can_be_requested(version: str) -> None:
    assert Settings(api_version=version).api_version == version
    row = {"name": "A", "data_center": "us", "client_id": "1000.A", "client_secret": "s", "refresh_token": "r"}
    assert isinstance(entry_from({**row, "api_version": version}, ZOHO_DATA_CENTERS), OrgEntry)
    async with standin(saying(OK)) as zoho, client() as asking:
        assert await asking.count(zoho.base, version, UserType.ALL, TOKEN) == Reply(200, b'{"count": 11}')


@pytest.mark.parametrize("version", ["", "7", "v7/../v2", "v7 HTTP/1.1\r\nX: y\r\n", "v7?a=b", "v٧"])  # noqa: RUF001 - an Arabic digit
async def test_an_api_version_with_characters_that_would_change_the_request_is_refused(version: str) -> None:
    async with client() as asking:
        with pytest.raises(ValueError, match="not an API version"):
            await asking.count("http://127.0.0.1:1", version, UserType.ALL, TOKEN)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (silence, Failure.TIMEOUT),
        (drip, Failure.TIMEOUT),
        (reset, Failure.RESET),
        (saying_and_closing(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"cou'), Failure.RESET),
        (saying_and_closing(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), Failure.PROTOCOL),
        (flood, Failure.TOO_LARGE),
    ],
)
def test_broken_replies_are_the_same_failures_on_uvloop(answer: Answer, failure: Failure) -> None:
    seconds = 0.2 if failure is Failure.TIMEOUT else PATIENCE_SECONDS
    assert uvloop.run(count_from(answer, seconds)) == NoReply(failure)


def test_failed_connection_attempts_are_the_same_failures_on_uvloop(authority: trustme.CA) -> None:
    async def failures() -> list[Reply | NoReply]:
        async with standin(saying(OK)) as gone:
            pass
        server = standin(saying(OK), served_with(authority, "127.0.0.1"))
        async with server as zoho, client() as asking, client(resolver=NoNames()) as lost:
            return [
                await asking.count(zoho.base, "v7", UserType.ALL, TOKEN),
                await asking.count(gone.base, "v7", UserType.ALL, TOKEN),
                await lost.count("https://www.zohoapis.example", "v7", UserType.ALL, TOKEN),
                await asking.count(f"https://{'a' * 64}.example", "v7", UserType.ALL, TOKEN),
            ]

    expected = (Failure.TLS, Failure.REFUSED, Failure.DNS, Failure.DNS)
    assert uvloop.run(failures()) == [NoReply(failure) for failure in expected]


async def test_no_reply_of_any_bytes_makes_the_client_raise_or_reveal_a_token(caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(20_260_329)
    whole = [
        OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n" + OK[-13:] + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 33\r\n\r\n" + gzip.compress(OK[-13:]),
    ]

    async def babble(writer: asyncio.StreamWriter, seen: Standin) -> None:
        reply = bytearray(chance.choice(whole))
        for _ in range(chance.randint(0, 6)):
            reply[chance.randrange(len(reply))] = chance.choice(b"\r\n :;0129azAZ{}\x00\x7f\x80\xff")
        writer.write(reply[: chance.randint(0, len(reply) * 2)])
        writer.close()

    caplog.set_level(logging.DEBUG)
    answers: list[Reply | NoReply] = []
    async with standin(babble) as zoho, client(seconds=1.0) as asking:
        for _ in range(300):
            answers.append(await asking.count(zoho.base, "v7", UserType.ALL, TOKEN))
            answers.append(await asking.post_token(zoho.base, {"refresh_token": TOKEN}))
    assert {type(answer) for answer in answers} == {Reply, NoReply}
    assert TOKEN.reveal() not in f"{answers!r} {asking!r} {caplog.text}"
