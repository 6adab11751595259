"""Accuracy against forwards along `effort`, over every held-out prompt of the claimed domains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from trimode.runtime import Runtime

from ..common.ask import ask
from ..common.prompts import Prompt
from ..quality.settings import MAX_TOKENS

EFFORTS = tuple(at / 8 for at in range(9))


def measure(runtime: Runtime, prompts: Sequence[Prompt], advance: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return a row for each effort, and one of autoregressive."""
    ways: list[dict[str, Any]] = [{"effort": effort} for effort in EFFORTS]
    rows = []
    for way in [*ways, {"mode": "autoregressive"}]:
        name = " ".join(str(value) for value in way.values())
        requests = [{**prompt.fields, **way, "max_tokens": MAX_TOKENS} for prompt in prompts]
        answers = ask(runtime, requests, answered=partial(advance, f"effort {name}")).chunks
        pairs = list(zip(prompts, answers, strict=True))
        rows.append(
            {
                **way,
                "asked": len(pairs),
                "exact": sum(answer.text == prompt.answer for prompt, answer in pairs),
                "tokens": sum(len(answer.token_ids) for answer in answers),
                "forwards": sum(answer.counters.forwards for answer in answers),
            }
        )
    return rows
