"""Builds runtimes on toy engines and closes them after the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from trimode.runtime import Runtime

from tests.support.toy import ToyEngine, toy_runtime

Build = Callable[..., Runtime]
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


@pytest.fixture
def build() -> Iterator[Build]:
    built: list[tuple[Runtime, ToyEngine]] = []

    def make(engine: ToyEngine | None = None, **config: int) -> Runtime:
        engine = engine or ToyEngine()
        built.append((toy_runtime(engine, TEMPLATE, **config), engine))
        return built[-1][0]

    yield make
    for runtime, engine in built:
        getattr(engine, "gate", threading.Event()).set()
        runtime.close()
