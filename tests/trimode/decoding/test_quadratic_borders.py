"""Quadratic passes of any shape, and changes of shape, give the autoregressive answer: at every border, for every knob.

Auto applies the shapes here, whatever they are worth, so that they change while an answer is made.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.api.answer import Chunk
from trimode.auto.ahead import AheadDrafts, PassLimits
from trimode.decoding.quadratic_shape import QuadraticShape
from trimode.runtime import Runtime

from tests.support.requests import requests
from tests.support.toy import ToyEngine, running

LENGTHS = (2, 4, 8)
SHAPES = [
    QuadraticShape.official(4),
    QuadraticShape.official(8),
    QuadraticShape.two_pass(4),
    QuadraticShape((0, 3, 0), (2, 0, 4, 4)),
]


class Changing(AheadDrafts):
    """Chooses one shape after another, None among them for drafts of their own."""

    def __init__(self, shapes: Sequence[QuadraticShape | None]) -> None:
        super().__init__(PassLimits())
        self._shapes = itertools.cycle(shapes)

    def best(self, *asked: object, **more: object) -> tuple[float, QuadraticShape | None]:
        return 1.0, next(self._shapes)


@contextmanager
def shaped(engine: ToyEngine, shapes: Sequence[QuadraticShape | None], **config: int) -> Iterator[Runtime]:
    with running(engine, None, **config) as runtime:
        runtime.auto.ahead = Changing(shapes)
        yield runtime


@st.composite
def shape(draw: st.DrawFn) -> QuadraticShape:
    length = draw(st.sampled_from(LENGTHS))
    counts = st.sampled_from([0, *range(2, length + 1)])
    inner = draw(st.lists(counts, min_size=length - 1, max_size=length - 1))
    return QuadraticShape(tuple(inner), tuple(draw(st.lists(counts, min_size=length, max_size=length))))


@settings(max_examples=30)
@given(
    st.lists(st.one_of(st.none(), shape()), min_size=1, max_size=4),
    st.lists(requests("auto"), min_size=1, max_size=2),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_any_shapes_give_the_autoregressive_answer(
    shapes: list[QuadraticShape | None], asked: list[dict[str, Any]], hit: float, seed: int
) -> None:
    """Greedy and sampled, with penalties, bans and a thinking budget; ids, probabilities and the likeliest tokens."""
    more = {"seed": seed, "return_log_probs": True, "top_log_probs": 2}
    with shaped(ToyEngine(hit=hit, seed=seed, eos_rate=0.05), shapes) as runtime:
        for one in asked:
            serial = {name: value for name, value in one.items() if name != "block_length"}
            expected = runtime.generate({**serial, "mode": "autoregressive", **more})
            found = runtime.generate({**one, **more})
            assert (found.token_ids, found.log_probs, found.top) == (
                expected.token_ids,
                expected.log_probs,
                expected.top,
            )
            assert found.finish_reason == expected.finish_reason


def asked(**given: Any) -> dict[str, Any]:
    return {"input_ids": [5, 6, 7], "max_tokens": 24, "end_id": -1, "seed": 1, **given}


WAYS: list[dict[str, Any]] = [
    {"mode": "auto"},
    {"mode": "self_speculation", "speculation": "quadratic", "block_length": 4},
    {"mode": "self_speculation", "speculation": "quadratic", "block_length": 8},
]


@pytest.mark.slow
@pytest.mark.parametrize("one", SHAPES)
@pytest.mark.parametrize("hit", [0.6, 1.0])
def test_an_answer_ends_at_every_border(one: QuadraticShape, hit: float) -> None:
    """By its limit, by an end token, by a stop string and by a token to stop at, at each place of a run."""
    engine = ToyEngine(hit=hit, peak=40)
    text = engine.greedy([5, 6, 7], 24)
    with shaped(engine, [one]) as runtime:
        for place in (*range(1, 10), 13, 17):
            ends: list[dict[str, Any]] = [
                {"max_tokens": place},
                {"end_id": text[place]},
                {"stop_token_ids": [text[place]]},
                {"stop_words": [runtime.generate(asked(max_tokens=place + 1)).text[-1]]},
                {"max_thinking_tokens": place, "end_think_token_id": 9},
            ]
            for end in ends:
                expected = runtime.generate(asked(**end, mode="autoregressive"))
                for way in WAYS:
                    found = runtime.generate(asked(**end, **way))
                    assert (found.token_ids, found.text) == (expected.token_ids, expected.text), (end, way)
                    assert found.finish_reason == expected.finish_reason


@pytest.mark.slow
@settings(max_examples=15)
@given(st.lists(requests(), min_size=2, max_size=6), st.lists(st.one_of(st.none(), shape()), min_size=1, max_size=3))
def test_beside_every_other_mode_each_answer_is_the_one_given_alone(
    others: list[dict[str, Any]], shapes: list[QuadraticShape | None]
) -> None:
    every = [{"seed": 7, **one} for one in others]
    every += [asked(input_ids=[3, 4, place], **way) for place, way in enumerate(WAYS)]
    with running(ToyEngine(eos_rate=0.03)) as runtime:
        alone = [runtime.generate(one) for one in every]
    found: dict[int, Chunk] = {}
    done = threading.Semaphore(0)
    with shaped(ToyEngine(eos_rate=0.03), shapes, max_slots=4, max_queue=99, prefill_chunk=3) as runtime:
        for number, one in enumerate(every):

            def sink(chunk: Chunk, number: int = number) -> None:
                found[number] = chunk
                done.release()

            runtime.submit(one, sink)
        for _ in every:
            assert done.acquire(timeout=60)
    assert [found[number].token_ids for number in range(len(every))] == [one.token_ids for one in alone]


@pytest.mark.parametrize("prompt", [480, 500, 508, 511])
def test_shapes_stop_where_the_capacity_ends(prompt: int) -> None:
    engine = ToyEngine(hit=1.0, peak=40)
    ids = [3 + at % 40 for at in range(prompt)]
    with shaped(engine, [QuadraticShape.official(8)]) as runtime:
        found = runtime.generate(asked(input_ids=ids, max_tokens=512 - prompt, mode="auto"))
    assert found.token_ids == engine.greedy(ids, 512 - prompt)
