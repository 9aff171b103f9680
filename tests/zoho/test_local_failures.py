from __future__ import annotations

import errno
import os
import resource
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest

from poller.core.model import UserType
from poller.core.reply import Failure, NoReply, Reply
from poller.core.secret import Secret
from poller.zoho.local_failures import local_failure
from tests.worker.waiting import PATIENCE_SECONDS
from tests.zoho.modes import open_client
from tests.zoho.test_client import OK, saying, standin

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = Secret("1000.8cb99dfeedfacefeedfacebe93.9b8feedfacef")


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Prevents opening any file besides the three standard streams, also after others are closed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("every_mode")
async def test_a_request_without_a_free_file_descriptor_is_a_local_failure_and_the_next_one_succeeds() -> None:
    async with (
        standin(saying(OK)) as zoho,
        open_client(connections=4, request_timeout_seconds=PATIENCE_SECONDS) as client,
    ):
        with no_descriptor_left():
            refused = NoReply(Failure.LOCAL_RESOURCES)
            assert await client.count(zoho.base, "v7", UserType.ALL, TOKEN) == refused
            assert await client.get(zoho.base, "/crm/v7/org", TOKEN) == refused
            assert await client.post_token(zoho.base, {"refresh_token": TOKEN}) == refused
        assert await client.count(zoho.base, "v7", UserType.ALL, TOKEN) == Reply(200, b'{"count": 11}')
        assert len(zoho.requests) == 1


@pytest.mark.usefixtures("every_mode")
async def test_a_name_lookup_that_fails_for_lack_of_file_descriptors_is_a_local_failure() -> None:
    async with open_client(connections=4, request_timeout_seconds=PATIENCE_SECONDS) as client:
        with no_descriptor_left():
            answer = await client.count("http://localhost:1", "v7", UserType.ALL, TOKEN)
            try:
                os.close(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                pass
            else:
                pytest.skip("another thread of this process closed a descriptor")
    assert answer == NoReply(Failure.LOCAL_RESOURCES)


@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (errno.EMFILE, Failure.LOCAL_RESOURCES),
        (errno.ENFILE, Failure.LOCAL_RESOURCES),
        (errno.ENOMEM, Failure.LOCAL_RESOURCES),
        (errno.EADDRNOTAVAIL, Failure.LOCAL_RESOURCES),
        (errno.ENETUNREACH, Failure.NO_ROUTE),
        (errno.EHOSTUNREACH, Failure.NO_ROUTE),
        (errno.ECONNREFUSED, None),
        (errno.ECONNRESET, None),
        (errno.ETIMEDOUT, None),
    ],
)
def test_errors_of_this_machine_are_distinguished_from_errors_of_the_server(
    number: int, failure: Failure | None
) -> None:
    error = OSError(number, os.strerror(number))
    assert local_failure(error) is failure
    wrapped = aiohttp.ClientError()
    wrapped.__cause__ = error
    assert local_failure(wrapped) is failure


def test_an_unknown_host_name_is_not_a_local_failure_while_files_can_be_opened() -> None:
    assert local_failure(socket.gaierror(socket.EAI_NONAME, "Name or service not known")) is None
    assert local_failure(socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure")) is Failure.LOCAL_RESOURCES
