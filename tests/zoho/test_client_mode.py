"""The client with an aiohttp that differs in one place from the version it knows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from poller.zoho.client import ClientMode
from poller.zoho.client_mode import Choice, usable_mode
from tests.zoho.changed_aiohttp import ask_with, change
from tests.zoho.test_client import OK, TOKEN, saying, saying_and_closing, standin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RIGHT = [[200, '{"count": 11}']] * 4
# Only over a socket, which the check before the first request does not use.
FAILS_ONCE = """
_read, _failures = ResponseHandler.read, ["the first"]


async def _fail_once(self):
    if self.transport.get_extra_info("socket") and _failures:
        raise AttributeError(_failures.pop())
    return await _read(self)


ResponseHandler.read = _fail_once
"""


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_the_fast_transport_works_with_the_installed_aiohttp(run: Callable[..., Choice]) -> None:
    assert run(usable_mode()) == Choice(ClientMode.FAST)


@pytest.mark.parametrize(
    ("pattern", "replacement", "files", "why"),
    [
        (r'(traces: [^=\n]*"Trace"[^=\n]*) = None,', r"\1,", "client_reqrep.py", "traces"),
        (r'hdrs.ACCEPT: "\*/\*",', r'\g<0> "X-New": "1",', "client_reqrep.py", "headers"),
    ],
    ids=["a parameter of ClientRequest", "a header of ClientRequest"],
)
async def test_if_only_the_fast_transport_does_not_fit_aiohttp_counts_use_the_session(
    pattern: str, replacement: str, files: str, why: str, tmp_path: Path
) -> None:
    change(tmp_path, pattern, replacement, files)
    async with standin(saying(OK)) as zoho:
        asked = await ask_with(tmp_path, zoho.base, TOKEN.reveal())
    assert (asked.mode, asked.answers) == ("session", RIGHT)
    assert (len(zoho.requests), zoho.connections) == (4, 1)
    assert [line["event"] for line in asked.log] == ["transport.ordinary"]
    assert why in asked.log[0]["why"]


@pytest.mark.parametrize(
    ("pattern", "replacement", "files", "why"),
    [
        (r"\bclient_proto\b", "client_protocol", "*.py", "_factory"),
        (r"\b_factory\b", "_make_protocol", "*.py", "_factory"),
        (r"\bset_response_params\b", "begin_reply", "*.py", "closed differently"),
        (r"\b_release\b", "_give_back", "*.py", "_release"),
        (r"\b_create_connection\b", "_open_connection", "*.py", "_create_connection"),
        (r"\b_retry_connection\b", "_repeat", "*.py", "_retry_connection"),
        (r"def force_close\(self\) -> None", "def close_later(self) -> None", "client_proto.py", "force_close"),
        (r"(_connector\.|async def )connect\(", r"\1lend(", "c*.py", "closed differently"),
    ],
)
async def test_if_the_pool_guard_does_not_fit_aiohttp_each_request_has_its_own_connection(
    pattern: str, replacement: str, files: str, why: str, tmp_path: Path
) -> None:
    change(tmp_path, pattern, replacement, files)
    async with standin(saying(OK)) as zoho:
        asked = await ask_with(tmp_path, zoho.base, TOKEN.reveal())
    assert (asked.mode, asked.answers) == ("single_use", RIGHT)
    assert (len(zoho.requests), zoho.connections) == (4, 4)
    assert [line["event"] for line in asked.log] == ["transport.ordinary"]
    assert why in asked.log[0]["why"]


async def test_a_broken_request_is_sent_once_even_if_retries_of_aiohttp_cannot_be_turned_off(tmp_path: Path) -> None:
    change(tmp_path, r"\b_retry_connection\b", "_repeat")
    async with standin(saying_and_closing(b"")) as zoho:
        asked = await ask_with(tmp_path, zoho.base, TOKEN.reveal())
    assert (asked.answers, len(zoho.requests)) == (["reset"] * 4, 4)


async def test_a_pool_guard_that_aiohttp_does_not_use_is_detected_at_the_first_request(tmp_path: Path) -> None:
    change(tmp_path, r"\bself\._factory,", "lambda: ResponseHandler(self._loop),", "connector.py")
    async with standin(saying(OK)) as zoho:
        asked = await ask_with(tmp_path, zoho.base, TOKEN.reveal())
    assert (asked.mode, asked.answers, len(zoho.requests)) == ("single_use", RIGHT, 4)
    assert [(line["event"], line["why"]) for line in asked.log] == [
        ("transport.ordinary", "aiohttp.TCPConnector does not use its _factory")
    ]


async def test_an_error_inside_aiohttp_is_not_a_network_failure_and_the_request_is_not_repeated(
    tmp_path: Path,
) -> None:
    change(tmp_path, r"\Z", FAILS_ONCE, "client_proto.py")
    async with standin(saying(OK)) as zoho:
        asked = await ask_with(tmp_path, zoho.base, TOKEN.reveal())
    answers: list[Any] = ["protocol", *RIGHT[1:]]
    assert (asked.mode, asked.answers, len(zoho.requests)) == ("session", answers, 4)
    assert [line["event"] for line in asked.log] == ["transport.ordinary"]
    assert asked.log[0]["why"].startswith("AttributeError in aiohttp/client_proto.py:")
    assert TOKEN.reveal() not in asked.errors
