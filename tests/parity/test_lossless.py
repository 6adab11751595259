"""On the checkpoint that ships, self-speculation gives the autoregressive tokens, greedy and sampled."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trimode.api.answer import Chunk
from trimode.auto.ahead import AheadDrafts, PassLimits
from trimode.config import ServerConfig
from trimode.decoding.quadratic_shape import QuadraticShape
from trimode.runtime import Runtime

pytestmark = [pytest.mark.slow, pytest.mark.subprocess]  # chats are rendered in a process of their own

NANO = Path(__file__).parents[2] / "checkpoints" / "nano"
PROMPTS, OF_LARGE_PASSES = 24, 6
"""Held-out prompts; and those of which each pass has a thousand tokens, which take long."""

NOT_CLAIMED = re.findall(r"\(`(\w+)`\).*Not claimed", (NANO / "README.md").read_text(encoding="utf-8"))
"""The kinds of chat that the checkpoint's card does not claim; plain code, which it does not either, is no chat."""


def held_out(count: int, *, claimed_only: bool = False) -> list[dict[str, Any]]:
    """Every n-th held-out prompt, so that all domains are among them, as request fields."""
    rows = [json.loads(line) for line in (NANO / "heldout.jsonl").read_text(encoding="utf-8").splitlines()]
    if claimed_only:
        rows = [row for row in rows if "messages" in row and row["domain"] not in NOT_CLAIMED]
    assert len(rows) >= count
    chosen = rows[:: max(1, len(rows) // count)][:count]
    return [{"messages": row["messages"]} if "messages" in row else {"text_input": row["prompt"]} for row in chosen]


@pytest.fixture(scope="module")
def runtime(bundle_of: Callable[[Path], Path]) -> Iterator[Runtime]:
    opened = Runtime.open(ServerConfig(bundle=bundle_of(NANO)))
    yield opened
    opened.close()


QUADRATIC = {"speculation": "quadratic"}


@pytest.mark.parametrize(
    "knobs",
    [{}, {"block_length": 8}, {"block_length": 16, "denoise_steps": 4}, QUADRATIC, {**QUADRATIC, "block_length": 32}],
)
def test_greedy(runtime: Runtime, knobs: dict[str, Any]) -> None:
    large = knobs == {**QUADRATIC, "block_length": 32}
    for prompt in held_out(OF_LARGE_PASSES if large else PROMPTS):
        serial = runtime.generate({**prompt, "mode": "autoregressive", "max_tokens": 96})
        drafted = runtime.generate({**prompt, "mode": "self_speculation", "max_tokens": 96, **knobs})
        assert drafted.token_ids == serial.token_ids, prompt
        assert drafted.text == serial.text


WAYS: dict[str, dict[str, Any]] = {
    "linear": {"mode": "self_speculation", "block_length": 16},
    "quadratic": {"mode": "self_speculation", **QUADRATIC, "block_length": 8},
    "auto": {"mode": "auto"},
    "few masks": {"mode": "auto"},
    "two passes": {"mode": "auto"},
}
SHAPES = {"few masks": QuadraticShape((8, *(0,) * 14), (16, *(0,) * 14, 8)), "two passes": QuadraticShape.two_pass(16)}


class Always(AheadDrafts):
    """Has auto take one shape whatever it is worth."""

    def __init__(self, shape: QuadraticShape) -> None:
        super().__init__(PassLimits())
        self._shape = shape

    def best(self, *asked: object, **more: object) -> tuple[float, QuadraticShape | None]:
        return 1.0, self._shape


def every_answer(runtime: Runtime, prompts: list[dict[str, Any]], fields: dict[str, Any]) -> list[tuple[int, ...]]:
    """Return the ids of all answers, asked at once."""
    found: dict[int, tuple[int, ...]] = {}
    done = threading.Semaphore(0)
    for number, prompt in enumerate(prompts):

        def sink(chunk: Chunk, number: int = number) -> None:
            found[number] = tuple(chunk.token_ids)
            done.release()

        runtime.submit({**prompt, **fields, "max_tokens": 24}, sink)
    for _ in prompts:
        assert done.acquire(timeout=600)
    return [found[number] for number in range(len(prompts))]


def test_greedy_texts_in_every_shape_of_drafts(bundle_of: Callable[[Path], Path]) -> None:
    """The same in every mode that gives the autoregressive text, many at once."""
    prompts = held_out(PROMPTS)
    runtime = Runtime.open(ServerConfig(bundle=bundle_of(NANO), max_slots=8, max_queue=len(prompts)))
    own = runtime.auto.ahead
    try:
        serial = every_answer(runtime, prompts, {"mode": "autoregressive"})
        for name, fields in WAYS.items():
            runtime.auto.ahead = Always(SHAPES[name]) if name in SHAPES else own
            found = every_answer(runtime, prompts, fields)
            differing = [prompt for prompt, one, other in zip(prompts, serial, found, strict=True) if one != other]
            assert differing == [], name
    finally:
        runtime.close()


def test_sampled(runtime: Runtime) -> None:
    for seed, prompt in enumerate(held_out(PROMPTS)):
        asked = {**prompt, "max_tokens": 64, "temperature": 0.8, "top_p": 0.95, "seed": seed}
        serial = runtime.generate({**asked, "mode": "autoregressive"})
        for knobs in ({}, QUADRATIC):
            drafted = runtime.generate({**asked, "mode": "self_speculation", **knobs})
            assert drafted.token_ids == serial.token_ids, prompt


@pytest.mark.parametrize("sampled", [{}, {"temperature": 0.8, "top_p": 0.95}])
def test_under_rules(runtime: Runtime, sampled: dict[str, Any]) -> None:
    """What forbids and prefers tokens is the same for a draft, its verification and a step of one token."""
    words, moved = ["Answer", "carry", " the", "12"], {str(token): 3.0 for token in range(60, 90)}
    for seed, prompt in enumerate(held_out(PROMPTS)):
        asked = {**prompt, **sampled, "max_tokens": 64, "seed": seed, "bad_words": words, "logit_bias": moved}
        asked |= {"min_tokens": 40, "bad_token_ids": [95, 96], "return_log_probs": True, "top_log_probs": 2}
        serial = runtime.generate({**asked, "mode": "autoregressive"})
        drafted = runtime.generate({**asked, "mode": "self_speculation"})
        assert drafted.token_ids == serial.token_ids, prompt
        assert len(serial.token_ids) >= 40 and not any(word in serial.text for word in words)
        diffused = runtime.generate({**asked, "mode": "diffusion"})
        assert len(diffused.token_ids) >= 40 and not any(word in diffused.text for word in words)


def test_drafts_of_this_model_are_accepted(runtime: Runtime) -> None:
    """It was trained to draft: the verification confirms more than the one token that it adds itself."""
    answers = [runtime.generate({**prompt, "max_tokens": 96, "block_length": 16}) for prompt in held_out(PROMPTS)]
    tokens = sum(len(answer.token_ids) for answer in answers)
    assert tokens / sum(answer.counters.verify_forwards for answer in answers) > 2


def test_a_quadratic_pass_gives_nearly_twice_the_tokens_of_a_linear_one(runtime: Runtime) -> None:
    """On the domains that the checkpoint's card claims, drafts of 16: it verifies and drafts in one pass."""
    asked = {"mode": "self_speculation", "block_length": 16, "max_tokens": 256}
    tokens, passes = 0, {"linear": 0, "quadratic": 0}
    for prompt in held_out(2 * PROMPTS, claimed_only=True):
        answers = {one: runtime.generate({**prompt, **asked, "speculation": one}) for one in passes}
        assert answers["linear"].token_ids == answers["quadratic"].token_ids, prompt
        tokens += len(answers["linear"].token_ids)
        for one, answer in answers.items():
            passes[one] += answer.counters.forwards
    assert tokens / passes["quadratic"] >= 12.5
    assert passes["linear"] / passes["quadratic"] >= 1.85
