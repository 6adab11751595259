"""On the checkpoint that ships, self-speculation gives the autoregressive tokens, greedy and sampled."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trimode.config import ServerConfig
from trimode.runtime import Runtime

pytestmark = [pytest.mark.slow, pytest.mark.subprocess]  # chats are rendered in a process of their own

NANO = Path(__file__).parents[2] / "checkpoints" / "nano"
PROMPTS = 24


def held_out(count: int) -> list[dict[str, Any]]:
    """Every n-th held-out prompt, so that all domains are among them, as request fields."""
    rows = [json.loads(line) for line in (NANO / "heldout.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= count
    chosen = rows[:: max(1, len(rows) // count)][:count]
    return [{"messages": row["messages"]} if "messages" in row else {"text_input": row["prompt"]} for row in chosen]


@pytest.fixture(scope="module")
def runtime(bundle_of: Callable[[Path], Path]) -> Iterator[Runtime]:
    opened = Runtime.open(ServerConfig(bundle=bundle_of(NANO)))
    yield opened
    opened.close()


@pytest.mark.parametrize("knobs", [{}, {"block_length": 8}, {"block_length": 16, "denoise_steps": 4}])
def test_greedy(runtime: Runtime, knobs: dict[str, Any]) -> None:
    for prompt in held_out(PROMPTS):
        serial = runtime.generate({**prompt, "mode": "autoregressive", "max_tokens": 96})
        drafted = runtime.generate({**prompt, "mode": "self_speculation", "max_tokens": 96, **knobs})
        assert drafted.token_ids == serial.token_ids, prompt
        assert drafted.text == serial.text


def test_sampled(runtime: Runtime) -> None:
    for seed, prompt in enumerate(held_out(PROMPTS)):
        asked = {**prompt, "max_tokens": 64, "temperature": 0.8, "top_p": 0.95, "seed": seed}
        serial = runtime.generate({**asked, "mode": "autoregressive"})
        drafted = runtime.generate({**asked, "mode": "self_speculation"})
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
