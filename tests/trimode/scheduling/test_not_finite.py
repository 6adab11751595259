"""A pass that gives NaN ends its own request with engine_failed; nothing of it is kept, and nobody else notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from trimode.engines.base import Row, RowResult
from trimode.errors import EngineError
from trimode.runtime import Runtime

from tests.support.gated_scheduler import GatedScheduler
from tests.support.toy import MASK, ToyEngine, byte_tokenizer, running

BAD = byte_tokenizer().encode("]")[0]
"""A token after which the engine gives NaN."""
MODES = ["autoregressive", "diffusion", "self_speculation", "auto"]


class Spoiled(ToyEngine):
    """Gives NaN for a row that has or sees BAD."""

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        results = super().run(rows)
        return [self._spoiled(row, result) for row, result in zip(rows, results, strict=True)]

    def _spoiled(self, row: Row, result: RowResult) -> RowResult:
        if BAD in row.tokens or BAD in self._slots[row.slot][: row.start]:
            return RowResult(np.full_like(result.logits, np.nan), MASK)
        return result


@pytest.fixture(params=[0, 1], ids=["no cache", "prefix cache"])
def runtime(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    with running(Spoiled(), prefix_cache_mib=request.param, prefill_chunk=32, max_slots=2) as made:
        yield made


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("more", [{}, {"temperature": 0.7}, {"return_log_probs": True}], ids=str)
def test_the_request_fails_and_the_next_one_is_right(runtime: Runtime, mode: str, more: dict[str, object]) -> None:
    prompt = [3 + at % 50 for at in range(70)]
    good = {"input_ids": prompt, "mode": mode, "max_tokens": 6, "seed": 1, "end_id": -1, **more}
    clean = runtime.generate(good).token_ids
    for place in (0, 40, 69):
        bad = {**good, "input_ids": [*prompt[:place], BAD, *prompt[place + 1 :]]}
        for _ in range(2):  # the second would find what was kept of the first
            with pytest.raises(EngineError, match="not finite"):
                runtime.generate(bad)
        assert runtime.generate(good).token_ids == clean


@pytest.mark.parametrize(
    "given",
    [
        {"segments": ["ab]", {"infill_tokens": 4}, "b"]},
        {"segments": ["ab", {}, "]b"]},
        {"text": "some text ]", "revise_threshold": -1.0},
    ],
    ids=str,
)
def test_other_operations_fail_too(runtime: Runtime, given: dict[str, object]) -> None:
    with pytest.raises(EngineError, match="not finite"):
        runtime.generate({**given, "seed": 1})


def test_a_neighbour_of_the_same_call_gets_what_it_gets_alone(build: Callable[..., GatedScheduler]) -> None:
    bench = build(max_slots=2, cache=2**20)
    alone = bench.submit(max_tokens=20).last.token_ids
    run = bench.engine.run
    spoiled: list[int] = []

    def sometimes(rows: Sequence[Row]) -> list[RowResult]:
        results = run(rows)
        return [
            RowResult(np.full_like(result.logits, np.nan), MASK) if row.slot in spoiled and row.start > 5 else result
            for row, result in zip(rows, results, strict=True)
        ]

    bench.engine.run = sometimes  # type: ignore[method-assign]
    bench.shut_gate()
    good, bad = bench.submit(max_tokens=20), bench.submit(max_tokens=20)
    bench.until_running()
    spoiled.append(1)
    bench.engine.gate.set()
    assert good.last.token_ids == alone
    assert isinstance(bad.last.error, EngineError)
    assert bench.engine.slots_taken == 0
