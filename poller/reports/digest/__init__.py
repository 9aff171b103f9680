"""The digest: one message over all orgs, a day or a week at a time, as text, as HTML and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from poller.notify.message import Message
from poller.reports.digest.fields import digest_fields
from poller.reports.digest.html import digest_html
from poller.reports.digest.text import digest_text
from poller.reports.digest.words import digest_page

if TYPE_CHECKING:
    from poller.query.digest import DigestFacts


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest in every form that it is sent and shown in."""

    title: str
    text: str
    html: str
    fields: dict[str, Any]

    def message(self) -> Message:
        """The digest as a message for the outbox."""
        return Message(str(uuid4()), "digest", self.title, self.text, self.html)


def make_digest(facts: DigestFacts, zone: str, web_origin: str | None) -> Digest:
    """Writes the digest; its times are in `zone`, its links under `web_origin`, None: without links."""
    page = digest_page(facts, zone)
    return Digest(page.title, digest_text(page, web_origin), digest_html(page, web_origin), digest_fields(facts))
