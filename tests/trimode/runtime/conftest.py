"""Builds runtimes on toy engines, and closes them after the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.runtimes import Build, building


@pytest.fixture
def build() -> Iterator[Build]:
    with building() as build:
        yield build
