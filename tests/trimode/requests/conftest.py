"""Builds runtimes on toy engines that know a chat template, and closes them after the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.runtimes import Build, building

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


@pytest.fixture
def build() -> Iterator[Build]:
    with building(TEMPLATE) as build:
        yield build
