"""A pass that loses the GPU ends every request with an error, the waiting ones too; then whoever asked hears of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest
from trimode.api.answer import Chunk
from trimode.engines.base import Row, RowResult
from trimode.errors import DeviceLostError, EngineError, OverloadedError

from tests.support.gated_scheduler import WAIT, GatedScheduler
from tests.support.toy import ToyEngine, running

LOST = DeviceLostError("cudaStreamSynchronize failed with cudaErrorIllegalAddress (700)")


def test_all_requests_end_and_no_more_are_taken(build: Callable[..., GatedScheduler]) -> None:
    bench = build(max_slots=2)
    over, seen = threading.Event(), list[object]()

    def hear(cause: DeviceLostError) -> None:
        seen.extend([cause, [answer.done.is_set() for answer in bench.answers]])
        over.set()

    bench.scheduler.on_lost = hear
    bench.shut_gate()
    answers = [bench.submit(max_tokens=50) for _ in range(4)]
    bench.until_running()

    def fail(rows: Sequence[Row]) -> None:
        raise LOST

    bench.engine.before = fail
    bench.engine.gate.set()
    for answer in answers:
        error = answer.last.error
        assert type(error) is EngineError
        assert str(error) == "a decoding step failed: the GPU failed, so the backend ends; send the request again"
    assert over.wait(WAIT)
    assert seen == [LOST, [True] * 4]
    assert bench.engine.slots_taken == 0
    with pytest.raises(OverloadedError):
        bench.submit()


def test_a_gpu_that_another_thread_lost_ends_an_idle_scheduler(build: Callable[..., GatedScheduler]) -> None:
    bench = build()
    over = threading.Event()
    bench.scheduler.on_lost = lambda cause: over.set()
    bench.scheduler.lose(LOST)
    assert over.wait(WAIT)


def test_callers_have_their_errors_before_the_process_ends() -> None:
    class Failing(ToyEngine):
        def run(self, rows: Sequence[Row]) -> list[RowResult]:
            raise LOST

    with running(Failing()) as runtime:
        over, chunks = threading.Event(), list[Chunk]()
        seen: list[tuple[DeviceLostError, bool]] = []

        def end(cause: DeviceLostError) -> None:
            seen.append((cause, bool(chunks) and chunks[-1].last))
            over.set()

        runtime.when_lost(end)
        runtime.submit({"input_ids": [3, 4], "mode": "autoregressive", "max_tokens": 4}, chunks.append)
        assert over.wait(WAIT)
        assert seen == [(LOST, True)]
        assert "the GPU failed" in str(chunks[-1].error)
