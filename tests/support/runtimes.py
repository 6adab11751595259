"""Builds runtimes on toy engines and closes them after a test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trimode.runtime import Runtime

from tests.support.toy import ToyEngine, toy_runtime

Build = Callable[..., Runtime]


@contextmanager
def building(usual_template: str | None = None) -> Iterator[Build]:
    """Give a function of an engine, a chat template and limits; what it has built is closed at the end."""
    built: list[tuple[Runtime, ToyEngine]] = []

    def make(engine: ToyEngine | None = None, template: str | None = usual_template, **config: int) -> Runtime:
        engine = engine or ToyEngine()
        built.append((toy_runtime(engine, template, **config), engine))
        return built[-1][0]

    yield make
    for runtime, engine in built:
        getattr(engine, "gate", threading.Event()).set()
        runtime.close()
