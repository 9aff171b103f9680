"""Refused requests: the reason and the remedy, as problem JSON (RFC 9457) for programs, else as one line."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

from poller.core.errors import PollerError
from poller.web.access import is_api

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROBLEM_JSON: Final = "application/problem+json"
BUSY_SECONDS: Final = 5
"""How long a client that met a busy or unavailable service is asked to wait before it tries again."""


class Problem(PollerError):  # noqa: N818  # the word of HTTP's manuals, and of ours
    """A request that is answered with an error status: `what` is wrong and the `remedy`, both shown to the client."""

    def __init__(
        self,
        status: int,
        what: str,
        remedy: str,
        headers: Mapping[str, str] | None = None,
        *,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(what, remedy)
        self.status = status
        self.headers = dict(headers or {})
        self.errors = errors
        """Each wrong parameter: `parameter`, `in` (path, query, header, body) and `detail`."""


def unavailable(what: str, remedy: str = "try again in a few seconds") -> Problem:
    """Status 503: the service is busy, or its database does not answer."""
    return Problem(503, what, remedy, {"Retry-After": str(BUSY_SECONDS)})


def database_away() -> Problem:
    """503 for a person: PostgreSQL does not answer."""
    return unavailable(
        "the database does not answer", "see whether PostgreSQL runs and can be reached: `poller doctor`"
    )


def wants_html(request: web.Request) -> bool:
    """Whether a person's browser asks: neither for JSON nor for CSV."""
    return "text/html" in request.headers.get("Accept", "") and request.query.get("format") != "csv"


def wants_problem(request: web.Request) -> bool:
    """Whether a refusal is problem JSON: at every address of the API, and where a program asks for JSON."""
    return is_api(request.path) or ("json" in request.headers.get("Accept", "") and not wants_html(request))


def refusal_reply(refusal: Problem, *, as_problem: bool = True) -> web.Response:
    """The reply to a refused request: problem JSON, always with the same members, or one line of text."""
    if as_problem:
        problem = {
            "title": HTTPStatus(refusal.status).phrase,
            "status": refusal.status,
            "detail": refusal.what,
            "remedy": refusal.remedy,
            "errors": refusal.errors,
        }
        body, kind = orjson.dumps(problem), PROBLEM_JSON
    else:
        body, kind = f"{refusal}\n".encode(), "text/plain; charset=utf-8"
    return web.Response(status=refusal.status, body=body, headers={"Content-Type": kind, **refusal.headers})


def from_router(error: web.HTTPException) -> Problem:
    """A refusal by the router or by aiohttp itself, with the poller's text and remedy."""
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    what, remedy = _ROUTER.get(error.status, (HTTPStatus(error.status).phrase.lower(), "correct the request"))
    return Problem(error.status, what, remedy, headers)


_ROUTER: Final = {
    404: ("there is nothing at this address", "start at /"),
    405: ("this address does not take this method", "use one of the methods in the Allow header"),
    413: ("the request's body is too large", "send less than 64 KiB"),
}
