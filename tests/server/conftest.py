"""One real server for the whole session, and the nano bundle that every server of this folder serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.server import Server

CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "nano"


@pytest.fixture(scope="session")
def bundle(bundle_of: Callable[..., Path]) -> Path:
    return bundle_of(CHECKPOINT)


@pytest.fixture(scope="session")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(bundle, tmp_path_factory.mktemp("server") / "log", "--exit-timeout", "4") as made:
        yield made
