"""On the real engine: what a request gets does not depend on who shares its calls, lanes and buckets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trimode.api.answer import Chunk
from trimode.config import ServerConfig
from trimode.requests.request import Handle
from trimode.runtime import Runtime

MODES = st.sampled_from(["autoregressive", "diffusion", "self_speculation"])
REQUESTS = st.lists(
    st.fixed_dictionaries(
        {
            "mode": MODES,
            "input_ids": st.lists(st.integers(14, 90), min_size=1, max_size=70),
            "max_tokens": st.integers(1, 60),
            "seed": st.integers(0, 9),
            "temperature": st.sampled_from([0.0, 1.0]),
            "end_id": st.just(-1),
        }
    ),
    min_size=3,
    max_size=7,
)


@pytest.fixture(scope="module")
def runtimes(parity_kit: Path, bundle_of: Callable[[Path], Path]) -> Iterator[tuple[Runtime, Runtime]]:
    bundle = bundle_of(parity_kit / "checkpoints" / "plain")
    alone = Runtime.open(ServerConfig(bundle=bundle, threads=1, max_slots=1))
    shared = Runtime.open(ServerConfig(bundle=bundle, threads=1, max_slots=3, prefill_chunk=17))
    yield alone, shared
    alone.close()
    shared.close()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=REQUESTS, blocks=st.lists(st.integers(1, 20), min_size=7, max_size=7), cancelled=st.integers(0, 6))
def test_neighbours_come_and_go_unnoticed(
    runtimes: tuple[Runtime, Runtime], asked: list[dict[str, Any]], blocks: list[int], cancelled: int
) -> None:
    alone, shared = runtimes
    for one, block in zip(asked, blocks, strict=False):
        if one["mode"] != "autoregressive":
            one["block_length"] = block
    answers: dict[int, Chunk] = {}
    done = threading.Semaphore(0)
    handles: list[Handle] = []
    for number, one in enumerate(asked):

        def sink(chunk: Chunk, number: int = number) -> None:
            answers[number] = chunk
            done.release()

        handles.append(shared.submit(one, sink))
    handles[cancelled % len(handles)].cancel()
    for _ in asked:
        assert done.acquire(timeout=60)
    for number, one in enumerate(asked):
        if answers[number].error is None:
            assert answers[number].token_ids == alone.generate(one).token_ids
