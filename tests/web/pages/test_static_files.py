"""Static files: their addresses, their headers, and that vendored ones are what their authors published."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from poller.web.pages.static_files import StaticFiles
from tests.web.pages.served import pages_of

STATIC = Path(__file__).parents[3] / "poller" / "web" / "static"


@pytest.mark.parametrize("sums", sorted(STATIC.rglob("SHA256SUMS")), ids=lambda path: path.parent.name)
def test_vendored_files_are_unchanged_and_their_licence_is_beside_them(sums: Path) -> None:
    listed = dict(line.split()[::-1] for line in sums.read_text().splitlines())
    there = {path.name for path in sums.parent.iterdir()} - {"SHA256SUMS", "LICENSE"}
    assert there == set(listed) - {"LICENSE"}
    for name, digest in listed.items():
        assert hashlib.sha256((sums.parent / name).read_bytes()).hexdigest() == digest, name
    assert (sums.parent / "LICENSE").is_file()


def test_our_scripts_and_styles_name_no_other_host() -> None:
    for path in STATIC.rglob("*"):
        if path.suffix in {".js", ".css"} and "vendor" not in path.parts:
            assert not re.search(r"(https?:)?//[a-z0-9.-]+\.[a-z]{2,}", path.read_text()), path.name


def test_the_address_of_a_file_changes_with_the_content_of_any_file(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a")
    (tmp_path / "b.js").write_text("b")
    first = StaticFiles(tmp_path).url("a.css")
    assert StaticFiles(tmp_path).url("a.css") == first
    (tmp_path / "b.js").write_text("c")
    assert StaticFiles(tmp_path).url("a.css") != first
    with pytest.raises(KeyError):
        StaticFiles(tmp_path).url("c.css")


async def test_files_are_kept_by_browsers_for_a_year_and_sent_compressed_where_accepted(database_url: str) -> None:
    async with pages_of(database_url) as pages:
        page = await pages.page("/")
        sheet = next(page.all("link", rel="stylesheet"))["href"]
        body = (STATIC / "poller.css").read_bytes()
        for accepted, coding in (("gzip, br", "gzip"), ("identity", None), ("gzip;q=0", None)):
            async with pages.session.get(
                pages.url + sheet, headers={"Accept-Encoding": accepted}, auto_decompress=False
            ) as reply:
                assert reply.status == 200
                assert "immutable" in reply.headers["Cache-Control"]
                assert reply.headers.get("Content-Encoding") == coding
                assert reply.content_type == "text/css"
                sent = await reply.read()
                assert (gzip.decompress(sent) if coding else sent) == body


@pytest.mark.parametrize(
    "path", ["/static/0123456789ab/poller.css", "/static/x/../../web/server.py", "/static/x/%2e%2e"]
)
async def test_other_addresses_below_static_are_not_there(database_url: str, path: str) -> None:
    async with pages_of(database_url) as pages:
        assert (await pages.get(path))[0] == 404
