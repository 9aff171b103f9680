"""The pages of a database on a real port, and their HTML as a tree."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import aiohttp

from poller.admin.writer import open_writer
from poller.query.reader import Reader
from poller.store.read_only import connect_read_only
from poller.web import Api, Health, ProcessMetrics, serve
from tests.web.test_web import Process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from datetime import datetime

    from poller.store.orgs.encryption import Keyring
    from poller.web import Access

HTML = {"Accept": "text/html"}
_VOID = {"meta", "link", "input", "br", "hr", "img"}


@dataclass
class Element:
    """One element: its name, attributes, and children in order, text among them."""

    name: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text inside, with single spaces."""
        parts = (child if isinstance(child, str) else child.text for child in self.children)
        return " ".join(" ".join(parts).split())

    def __getitem__(self, attribute: str) -> str:
        return self.attributes.get(attribute) or ""

    def all(self, name: str, **attributes: str) -> Iterator[Element]:
        """Every element inside with this name and these attributes; `data_org` means `data-org`."""
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
        for child in self.children:
            if isinstance(child, str):
                continue
            if child.name == name and all(
                value in child[key].split() or child[key] == value for key, value in wanted.items()
            ):
                yield child
            yield from child.all(name, **attributes)

    def one(self, name: str, **attributes: str) -> Element:
        """The only such element."""
        (found,) = self.all(name, **attributes)
        return found


class _Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("document")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"</{tag}> closes <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(html: str) -> Element:
    """The tree of a page; an error where an element is not closed by its own end tag."""
    tree = _Tree()
    tree.feed(html)
    tree.close()
    assert len(tree.open) == 1, f"<{tree.open[-1].name}> is not closed"
    return tree.open[0]


@dataclass
class Pages:
    """A client of one server."""

    url: str
    session: aiohttp.ClientSession

    async def get(self, path: str, headers: Mapping[str, str] = HTML) -> tuple[int, str, Mapping[str, str]]:
        """Status, text and headers of a reply."""
        async with self.session.get(self.url + path, headers=headers, allow_redirects=False) as reply:
            return reply.status, await reply.text(), reply.headers

    async def post(
        self, path: str, headers: Mapping[str, str] = HTML, form: Mapping[str, str] | None = None
    ) -> tuple[int, str, Mapping[str, str]]:
        """Status, text and headers of the reply to a form of our own page; None: an empty one."""
        ours = {"Origin": self.url, **headers}
        async with self.session.post(self.url + path, headers=ours, data=form, allow_redirects=False) as reply:
            return reply.status, await reply.text(), reply.headers

    async def page(self, path: str) -> Element:
        """The tree of a page that is there."""
        status, text, _ = await self.get(path)
        assert status == 200, text
        return parse(text)


@asynccontextmanager
async def pages_of(
    database_url: str,
    now: Callable[[], datetime] | None = None,
    *,
    keyring: Keyring | None = None,
    access: Access | None = None,
) -> AsyncIterator[Pages]:
    """Serves the pages of a database, through the pool that only reads; with a keyring they may also change orgs."""
    process = Process()
    health = Health(lambda: None, process.figures, process.ages)
    async with (
        await connect_read_only(database_url) as database,
        aiohttp.ClientSession() as session,
        AsyncExitStack() as stack,
    ):
        writer = None
        if keyring is not None:
            writer = await stack.enter_async_context(open_writer(database_url, keyring, database.clock))
        serving = serve(
            "127.0.0.1", 0, health, ProcessMetrics(), Api(Reader(database, now)), access=access, writer=writer
        )
        url = await stack.enter_async_context(serving)
        assert url is not None
        yield Pages(url, session)
