from __future__ import annotations

from typing import TYPE_CHECKING

from poller.app import open_app
from poller.core.secret import Secret
from poller.settings import Settings
from poller.store.orgs.encryption import Column

if TYPE_CHECKING:
    from pathlib import Path


async def test_an_embedded_database_is_started_migrated_and_keeps_its_generated_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new folder")
    async with open_app(settings, create=True) as app:
        assert await app.database.fetchval("SELECT count(*) FROM orgs") == 0
        sealed = app.keyring.encrypt(7, Column.CLIENT, Secret("tell nobody"))

    async with open_app(settings) as app:
        opened = app.keyring.decrypt(7, Column.CLIENT, app.keyring.current_id, sealed)
    assert opened == Secret("tell nobody")
