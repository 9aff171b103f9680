"""Requests through a proxy that opens tunnels, to a server behind TLS whose name only the proxy can resolve."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trustme
from yarl import URL

from poller.core.errors import SettingsError
from poller.core.model import UserType
from poller.core.reply import Failure, NoReply, Reply
from poller.core.secret import Secret
from poller.zoho.client import ClientMode
from poller.zoho.proxy import proxy_for
from tests.connect_proxy import ConnectProxy, connect_proxy
from tests.zoho.modes import open_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.zoho.client import ZohoClient

pytestmark = pytest.mark.usefixtures("every_mode")
TOKEN = Secret("1000.8cb99dfeedfacefeedfacebe93.9b8feedfacef")
LOGIN = "user:pa:ss/wörd"
ENCODED = "user:pa%3Ass%2Fw%C3%B6rd"
HOST = "zoho.example"
ZOHO = f"https://{HOST}"


class Network:
    """A proxy, the requests that reached the server behind it, and a client that trusts this server."""

    def __init__(self, proxy: ConnectProxy, heads: list[str], trust: ssl.SSLContext) -> None:
        self.proxy = proxy
        self.heads = heads
        self.trust = trust

    @asynccontextmanager
    async def client(self, proxy: str | None = None, seconds: float = 5) -> AsyncIterator[ZohoClient]:
        setting = Secret(proxy or f"http://{ENCODED}@127.0.0.1:{self.proxy.port}")
        async with open_client(
            connections=4, request_timeout_seconds=seconds, trust=self.trust, proxy=setting
        ) as opened:
            yield opened

    async def count(self, proxy: str | None = None) -> Reply | NoReply:
        async with self.client(proxy) as client:
            return await client.count(ZOHO, "v7", UserType.ALL, TOKEN)


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    authority = trustme.CA()
    tls, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(HOST).configure_cert(tls)
    authority.configure_trust(trust)
    heads: list[str] = []
    served: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                heads.append(head)
                length = next((int(line[15:]) for line in head.split("\r\n") if line[:15] == "Content-Length:"), 0)
                await reader.readexactly(length)
                body = b"" if head.startswith("HEAD ") else b'{"count": 11}'
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + body)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with connect_proxy(server.sockets[0].getsockname()[1], LOGIN) as proxy:
        yield Network(proxy, heads, trust)
    server.close()
    for task in served:
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
    await server.wait_closed()


async def test_every_kind_of_request_goes_through_the_proxy_and_tls_ends_at_zoho(
    network: Network, every_mode: ClientMode
) -> None:
    async with network.client() as client:
        answers = [
            await client.count(ZOHO, "v7", UserType.ALL, TOKEN),
            await client.count(ZOHO, "v7", UserType.ACTIVE, TOKEN),
            await client.get(ZOHO, "/crm/v7/org", TOKEN),
            await client.head(ZOHO),
            await client.post_token(ZOHO, {"refresh_token": TOKEN}),
        ]
    assert [answer.status for answer in answers if isinstance(answer, Reply)] == [200] * 5
    assert [head.split("\r\n")[0] for head in network.heads] == [
        "GET /crm/v7/users/actions/count?type=AllUsers HTTP/1.1",
        "GET /crm/v7/users/actions/count?type=ActiveUsers HTTP/1.1",
        "GET /crm/v7/org HTTP/1.1",
        "HEAD / HTTP/1.1",
        "POST /oauth/v2/token HTTP/1.1",
    ]
    assert set(network.proxy.asked_for) == {f"{HOST}:443"}
    # One tunnel is kept for counts and one for everything else, or one for all that the session asks.
    assert len(network.proxy.heads) == {"fast": 2, "session": 1, "single_use": 5}[every_mode]
    assert TOKEN.reveal() not in "".join(network.proxy.heads)
    assert "Proxy-Authorization" not in "".join(network.heads)


async def test_concurrent_requests_each_have_their_own_tunnel(network: Network) -> None:
    async with network.client() as client:
        asked = [client.count(ZOHO, "v7", UserType.ALL, TOKEN) for _ in range(4)]
        assert await asyncio.gather(*asked) == [Reply(200, b'{"count": 11}')] * 4
    assert len(network.proxy.heads) <= 4


async def test_each_tunnel_is_opened_to_the_host_of_its_request(network: Network) -> None:
    async with network.client() as client:
        await client.head(ZOHO)
        await client.head("https://other.example:8443")
        await client.count("https://third.example", "v7", UserType.ALL, TOKEN)
    hosts = [[line for line in head.split("\r\n") if line.startswith("Host: ")] for head in network.proxy.heads]
    assert network.proxy.asked_for == [f"{HOST}:443", "other.example:8443", "third.example:443"]
    assert hosts == [[f"Host: {HOST}"], ["Host: other.example:8443"], ["Host: third.example"]]


async def test_a_proxy_that_refuses_the_password_is_its_own_kind_of_failure(network: Network) -> None:
    for login in ("", "user:wrong@"):
        proxy = f"http://{login}127.0.0.1:{network.proxy.port}"
        assert await network.count(proxy) == NoReply(Failure.PROXY_LOGIN)
        async with network.client(proxy) as client:
            assert await client.post_token(ZOHO, {"refresh_token": TOKEN}) == NoReply(Failure.PROXY_LOGIN)
    assert network.heads == []


@pytest.mark.parametrize("answer", ["403 Forbidden", "502 Bad Gateway", "503 Service Unavailable"])
async def test_a_proxy_that_refuses_the_tunnel_is_its_own_kind_of_failure(network: Network, answer: str) -> None:
    network.proxy.denied = answer
    assert await network.count() == NoReply(Failure.PROXY_DENIED)


@pytest.mark.parametrize(
    "nonsense", [b"", b"HTTP/1.1 200 Conn", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"\x16\x03\x01\r\n\r\n"]
)
async def test_a_proxy_that_does_not_speak_http_is_a_failure_of_the_proxy_and_not_of_zoho(
    network: Network, nonsense: bytes, every_mode: ClientMode
) -> None:
    network.proxy.nonsense = nonsense
    found = await network.count()
    assert isinstance(found, NoReply)
    # Without the guard of the pool there is no seeing how far aiohttp came.
    unguarded = every_mode is ClientMode.SINGLE_USE
    assert found.failure in ({Failure.RESET, Failure.PROTOCOL} if unguarded else {Failure.PROXY_DENIED})
    assert network.heads == []


async def test_an_unreachable_proxy_is_its_own_kind_of_failure(network: Network) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert await network.count(f"http://127.0.0.1:{port}") == NoReply(Failure.PROXY_UNREACHABLE)
    assert await network.count("http://proxy.invalid:3128") == NoReply(Failure.PROXY_DNS)


async def test_a_proxy_that_intercepts_tls_gets_no_token(network: Network) -> None:
    network.trust = ssl.create_default_context()
    assert await network.count() == NoReply(Failure.TLS)
    assert network.heads == []


async def test_a_silent_proxy_is_ended_by_the_request_timeout(network: Network) -> None:
    network.proxy.silent = True
    async with network.client(seconds=0.3) as client:
        assert await client.count(ZOHO, "v7", UserType.ALL, TOKEN) == NoReply(Failure.TIMEOUT)
        assert await client.head(ZOHO) == NoReply(Failure.TIMEOUT)


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.usefixtures("bare_environment")
def test_proxies_from_the_environment_are_used_only_if_the_setting_allows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "accounts.zoho.in,.internal")
    zoho, exempt = URL("https://www.zohoapis.eu"), URL("https://accounts.zoho.in")
    assert proxy_for(None)(zoho) is None
    of_environment = proxy_for(Secret("environment"))
    found = of_environment(zoho)
    assert found is not None
    assert (str(found.url), found.headers) == (
        "http://proxy.example:3128",
        {"Proxy-Authorization": "Basic dXNlcjpzZWNyZXQ="},
    )
    assert of_environment(exempt) is None
    assert of_environment(URL("https://zoho.internal")) is None
    named = proxy_for(Secret("http://other.example:1"))(exempt)
    assert named is not None
    assert str(named.url) == "http://other.example:1"
    assert "secret" not in repr(found)


@pytest.mark.usefixtures("bare_environment")
def test_without_a_proxy_in_the_environment_requests_go_directly_to_zoho(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_for(Secret("environment"))(URL(ZOHO)) is None
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    assert proxy_for(Secret("environment"))(URL(ZOHO)) is None


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize("address", ["socks5://user:secret@h:1", "https://h:1", "http://h:99999", "http://[h"])
def test_an_unusable_proxy_in_the_environment_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("https_proxy", address)
    with pytest.raises(SettingsError, match=r"^HTTPS_PROXY is not the http:// address of a proxy; write ") as raised:
        proxy_for(Secret("environment"))
    assert "secret" not in str(raised.value)


def test_plain_http_requests_go_only_to_loopback_and_never_to_a_proxy() -> None:
    assert proxy_for(Secret("http://proxy.example:3128"))(URL("http://127.0.0.1:9000")) is None
