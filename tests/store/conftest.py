"""Empty databases at earlier revisions, for the tests of upgrades."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def stages(server_dsn: str) -> Iterator[Stages]:
    """Makes each revision once; a test takes a copy."""
    with Stages(server_dsn) as made:
        yield made
