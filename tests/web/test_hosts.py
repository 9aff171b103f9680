from __future__ import annotations

import ipaddress
from contextlib import suppress
from ipaddress import ip_network

import pytest
from hypothesis import assume, given, strategies as st
from pydantic import SecretStr

from poller.core.errors import SettingsError
from poller.web.access import access_from
from poller.web.hosts import Origin, client_address, is_allowed, parse_host
from tests.web.test_api import KEY

ORIGIN = Origin.parse("https://Poller.Example.org")


@pytest.mark.parametrize(
    ("header", "local", "allowed"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080), True),
        ("localhost:8080", ("127.0.0.1", 8080), True),
        ("LocalHost.:8080", ("127.0.0.1", 8080), True),
        ("[::1]:8080", ("::1", 8080), True),
        ("127.0.0.1:8080", ("::ffff:127.0.0.1", 8080), True),
        ("10.1.2.3:8080", ("10.1.2.3", 8080), True),
        ("[fd00::2]:8080", ("fd00:0::2", 8080), True),
        ("localhost", ("127.0.0.1", 80), True),
        ("poller.example.org", ("10.1.2.3", 8080), True),
        ("POLLER.example.org:443", ("10.1.2.3", 8080), True),
        ("poller.example.org:8080", ("10.1.2.3", 8080), False),
        ("evil.example", ("127.0.0.1", 8080), False),
        ("evil.example:8080", ("127.0.0.1", 8080), False),
        ("localhost.evil.example:8080", ("127.0.0.1", 8080), False),
        ("127.0.0.1.evil.example:8080", ("127.0.0.1", 8080), False),
        ("localhost:8081", ("127.0.0.1", 8080), False),
        ("localhost", ("127.0.0.1", 8080), False),
        ("10.1.2.4:8080", ("10.1.2.3", 8080), False),
        ("0.0.0.0:8080", ("127.0.0.1", 8080), False),
    ],
)
def test_an_allowed_host_is_loopback_the_address_of_the_connection_or_the_origin(
    header: str, local: tuple[str, int], allowed: bool
) -> None:
    parsed = parse_host(header)
    assert parsed is not None
    assert is_allowed(*parsed, local, ORIGIN) is allowed


@pytest.mark.parametrize(
    "header",
    ["", " ", "a b", "http://localhost", "localhost:", "localhost:x", "user@localhost", "[::1", "a/b", "a:123456"],
)
def test_an_invalid_host_header_is_not_parsed(header: str) -> None:
    assert parse_host(header) is None


@given(st.text(max_size=300))
def test_any_text_as_a_host_header_is_decided_without_an_error(text: str) -> None:
    parsed = parse_host(text)
    if parsed is not None:
        assert isinstance(is_allowed(*parsed, ("127.0.0.1", 8080), ORIGIN), bool)


ANY_NAME = st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){1,3}", fullmatch=True)
OURS = st.sampled_from(["localhost", "127.0.0.1", "0.0.0.0", ORIGIN.host])
LOOK_ALIKES = st.builds("{}.{}".format, OURS, ANY_NAME) | st.builds("{}{}".format, ANY_NAME, OURS)


@given(ANY_NAME | LOOK_ALIKES)
def test_no_host_name_that_a_third_party_can_own_is_allowed(name: str) -> None:
    parsed = parse_host(f"{name}:8080")
    assert parsed is not None
    with suppress(ValueError):  # an address is not a name that a third party can own
        ipaddress.ip_address(parsed[0])
        assume(False)
    assert not is_allowed(*parsed, ("127.0.0.1", 8080), ORIGIN)
    assert not is_allowed(parsed[0], ORIGIN.port, ("127.0.0.1", 8080), ORIGIN)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_on_loopback_no_key_is_needed(host: str) -> None:
    assert not access_from(host, None, None).published
    assert not access_from(host, SecretStr(KEY), None).published


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "poller.internal"])
@pytest.mark.parametrize(
    ("key", "origin", "told"),
    [
        (None, None, "POLLER_API_KEY"),
        (None, "https://poller.example.org", "POLLER_API_KEY"),
        (KEY, None, "POLLER_WEB_ORIGIN"),
        (KEY, "http://poller.example.org", "POLLER_WEB_ORIGIN"),
    ],
)
def test_a_public_address_needs_a_key_and_an_https_origin(
    host: str, key: str | None, origin: str | None, told: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        access_from(host, None if key is None else SecretStr(key), origin)
    assert told in str(refused.value)
    assert host in str(refused.value)
    assert "POLLER_WEB_HOST=127.0.0.1" in str(refused.value)
    assert KEY not in str(refused.value)


def test_behind_a_proxy_on_the_same_machine_everything_but_probes_needs_the_key() -> None:
    access = access_from("127.0.0.1", SecretStr(KEY), "https://poller.example.org")
    assert access.published
    with pytest.raises(SettingsError, match="POLLER_API_KEY"):
        access_from("127.0.0.1", None, "https://poller.example.org")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1", "203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["nonsense\x1b[31m"], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("192.0.2.9", ["203.0.113.7"], "192.0.2.9"),
        (None, ["203.0.113.7"], "unknown"),
    ],
)
def test_a_forwarded_address_is_used_only_from_trusted_proxies(
    peer: str | None, forwarded_for: list[str], client: str
) -> None:
    assert client_address(peer, forwarded_for, [ip_network("10.0.0.0/8")]) == client
