"""What parts are given: a toy engine, prompts, options."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trimode.config import ServerConfig
from trimode.runtime import Runtime
from trimode_perf.common.prompts import Prompt
from trimode_perf.speed import Context, Options

from tests.support.toy import ToyEngine, manifest, toy_runtime

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = toy_runtime(ToyEngine(), TEMPLATE)
    yield runtime
    runtime.close()


@pytest.fixture
def prompts() -> list[Prompt]:
    asked = [Prompt(f"d{n % 2}", messages=({"role": "user", "content": "x" * (3 + n)},), answer="y") for n in range(4)]
    return [*asked, Prompt("code", text="import")]


@pytest.fixture
def context(runtime: Runtime, prompts: list[Prompt]) -> Context:
    """What a part is given, with a runtime and prompts from here."""
    made = Context(Options(Path("no bundle"), max_tokens=6), ServerConfig(bundle=Path("no bundle")), 0.001)
    made.runtime, made.prompts, made.every = runtime, prompts, prompts
    return made


@pytest.fixture
def options(tmp_path: Path) -> Options:
    """A bundle with nothing but a manifest."""
    manifest().save(tmp_path)
    return Options(tmp_path)
