"""Free drafts on the shipped checkpoint: the autoregressive text, and a changed file in a small share of the passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from trimode.api.answer import Chunk
from trimode.config import ServerConfig
from trimode.runtime import Runtime

pytestmark = [pytest.mark.slow, pytest.mark.subprocess]  # chats are rendered in a process of their own

LENGTH = 400
"""Tokens of the file."""
FILE = '''\
"""Queues of work, in the order in which it came."""

from collections import deque

__all__ = ["Queue", "Worker"]


class Queue:
'''
CHANGES = 5
QUOTED = "Copy this sentence 4 times: The lion is grey and the boat is pink."
SAMPLED = {"temperature": 0.8, "top_p": 0.95, "seed": 11}


@pytest.fixture(scope="module")
def runtime(bundle_of: Callable[..., Path]) -> Iterator[Runtime]:
    bundle = bundle_of(Path(__file__).parents[2] / "checkpoints" / "nano")
    with closing(Runtime.open(ServerConfig(bundle=bundle, prefix_cache_mib=0))) as opened:
        yield opened


def answer(runtime: Runtime, mode: str, **fields: Any) -> Chunk:
    return runtime.generate({"text_input": FILE, "max_tokens": LENGTH, "end_id": -1, "mode": mode, **fields})


def changed(text: str, count: int = CHANGES) -> str:
    """The text with a word put in, taken out or changed at places evenly spread over it."""
    words = text.split(" ")
    for number in range(count):
        at = (2 * number + 1) * len(words) // (2 * count)
        words[at] = ("other", "", f"{words[at]} more")[number % 3]
    return " ".join(words)


@pytest.mark.parametrize("sampled", [{}, SAMPLED])
@pytest.mark.parametrize("mode", ["autoregressive", "self_speculation"])
def test_a_file_with_five_changes_takes_at_most_a_quarter_of_the_passes(
    runtime: Runtime, mode: str, sampled: dict[str, Any]
) -> None:
    plain = answer(runtime, "autoregressive", **sampled)
    assert len(plain.token_ids) == LENGTH
    prediction = changed(plain.text)
    assert prediction != plain.text
    found = answer(runtime, mode, prediction=prediction, **sampled)
    assert found.token_ids == plain.token_ids
    assert found.counters.forwards <= plain.counters.forwards / 4
    assert found.counters.accepted_prediction_tokens >= 0.8 * LENGTH


def test_auto_gives_the_same_file_whatever_it_chooses(runtime: Runtime) -> None:
    plain = answer(runtime, "autoregressive")
    for _ in range(3):
        found = answer(runtime, "auto", prediction=changed(plain.text), prompt_lookup=True)
        assert found.token_ids == plain.token_ids


def test_what_is_quoted_is_looked_up(runtime: Runtime) -> None:
    asked = {"messages": [{"role": "user", "content": QUOTED}], "max_tokens": 80}
    plain = runtime.generate({**asked, "mode": "autoregressive"})
    found = runtime.generate({**asked, "mode": "autoregressive", "prompt_lookup": True})
    assert found.token_ids == plain.token_ids and found.finish_reason == "stop"
    assert found.counters.forwards <= plain.counters.forwards / 3
