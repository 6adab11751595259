"""Fixtures of the unit tests."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType

import pytest

PLACES = {
    "decoding": "speed.domains",
    "report": "speed.report",
    "choices": "speed.auto",
    "analyzer": "speed.perf_analyzer",
    "stats": "common.statistics",
    "startup": "speed.startup",
    "conversion": "conversion",
    "plots": "speed.plots",
    "crowd": "common.ask",
    "bench": "speed.layers",
    "tables": "common.markdown",
    "readme": "speed.readme",
    "prompts": "common.prompts",
    "growth": "speed.lengths",
    "beyond": "speed.beyond",
    "cost": "speed.passes",
    "released": "common.published",
    "held": "speed.held",
    "run": "speed.run",
    "wire": "speed.wire",
    "summary": "speed.summary",
    "timeline": "speed.timeline",
    "sweep": "speed.knobs",
    "hardware": "common.hardware",
    "fetch_perf_analyzer": "speed.fetch_perf_analyzer",
    "int8": "speed.int8",
}
"""Modules of perf by the short names that tests use."""


def load(name: str) -> ModuleType:
    """Import a module of perf."""
    return importlib.import_module(f"trimode_perf.{PLACES.get(name, name)}")


@pytest.fixture
def perf() -> Callable[[str], ModuleType]:
    """Import a module of perf."""
    return load
