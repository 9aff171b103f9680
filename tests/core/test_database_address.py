from __future__ import annotations

import pytest

from poller.core.database_address import database_address, without_password


@pytest.mark.parametrize(
    ("dsn", "told"),
    [
        ("postgresql://poller:hunter2@db.example:6543/counts", "database counts on db.example:6543"),
        ("postgres://poller:hunter2@db.example", "database poller on db.example:5432"),
        ("postgresql://poller:hunter2@a:1,b:2,c/counts", "database counts on a:1,b:2,c:5432"),
        ("postgresql://poller@[fd00::1]:6543/counts", "database counts on [fd00::1]:6543"),
        ("postgresql://poller@/counts?host=/run/postgresql&port=6543", "database counts on /run/postgresql:6543"),
        ("postgresql://poller@/counts?host=a,b&port=1,2", "database counts on a:1,b:2"),
        (
            "postgresql://poller:hunter2@db.example/?dbname=counts&password=x",
            "database counts on db.example:5432",
        ),
        ("postgresql:///counts", "database counts on its default host:5432"),
        ("postgresql://poller:hun@ter2@db.example/a%20b", "database a b on db.example:5432"),
        ("postgresql://[hunter2", "database ? on ?:?"),
    ],
)
def test_an_address_names_host_port_and_database_and_no_password(dsn: str, told: str) -> None:
    assert str(database_address(dsn)) == told


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://poller:hunter2@db:5432/x?sslmode=require", "postgresql://poller:…@db:5432/x?sslmode=require"),
        ("postgresql://poller@db/x?password=hunter2&sslmode=a", "postgresql://poller@db/x?password=…&sslmode=a"),
        ("postgresql://db/x?sslpassword=hunter2", "postgresql://db/x?sslpassword=…"),
        ("http://user:hun@ter2@proxy:3128", "http://user:…@proxy:3128"),
        ("http://proxy:3128", "http://proxy:3128"),
        ("postgresql://[hunter2", "…"),
        ("hunter2", "…"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, masked: str) -> None:
    assert without_password(url) == masked
