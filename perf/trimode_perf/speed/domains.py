"""What each mode's decoding is worth, by domain: tokens per forward, acceptance, and how often the answer is right.

Every prompt is answered once per mode in process; with greedy decoding a second answer would be the same.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trimode.api.fields import Mode
from trimode.runtime import Runtime

from ..common.prompts import Prompt
from .layers import MODES, ask_runtime, counters_of

BASELINE = Mode.AUTOREGRESSIVE.value


@dataclass(frozen=True)
class Answer:
    """One prompt's answer in one mode."""

    domain: str
    mode: str
    text: str
    counters: dict[str, int]
    equals_autoregressive: bool
    correct: bool
    checkable: bool


def decode(
    runtime: Runtime, prompts: Sequence[Prompt], max_tokens: int, seconds: float, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Return the figures of every mode over all prompts that have an answer, and of every domain.

    The domains take turns; no new turn begins once `seconds` have passed.
    """
    answers: list[Answer] = []
    domains = sorted({prompt.domain for prompt in prompts})
    began = time.perf_counter()
    for number, prompt in enumerate(prompts):
        if number % len(domains) == 0 and time.perf_counter() - began > seconds:
            break
        chunks = {m: ask_runtime(runtime, prompt, {"mode": m, "max_tokens": max_tokens})[0] for m in MODES}
        for mode, chunk in chunks.items():
            same, right = chunk.text == chunks[BASELINE].text, prompt.answered_by(chunk.text)
            checkable = prompt.answer is not None
            answers.append(Answer(prompt.domain, mode, chunk.text, counters_of(chunk), same, right, checkable))
        progress((number + 1) / len(prompts))
    return {
        "max_tokens": max_tokens,
        "all": {mode: figures([a for a in answers if a.mode == mode and a.checkable]) for mode in MODES},
        "domains": {
            domain: {mode: figures([a for a in answers if (a.domain, a.mode) == (domain, mode)]) for mode in MODES}
            for domain in domains
        },
    }


def figures(answers: Sequence[Answer]) -> dict[str, float | None]:
    """Return counters summed over `answers` as ratios, and the shares of equal and of correct texts.

    `correct` is None where no answer can be checked.
    """
    checkable = [answer for answer in answers if answer.checkable]
    total: Counter[str] = Counter()
    for answer in answers:
        total.update(answer.counters)
    return {
        "answers": len(answers),
        "tokens": total["output_tokens"],
        "tokens_per_forward": share(total["output_tokens"], total["forwards"]),
        "tokens_per_cycle": share(total["output_tokens"], total["cycles"]),
        "acceptance_rate": share(total["total_accepted_draft_tokens"], total["total_draft_tokens"]),
        "equals_autoregressive": share(sum(a.equals_autoregressive for a in answers), len(answers)),
        "correct": share(sum(a.correct for a in checkable), len(checkable)) if checkable else None,
    }


def share(part: int, whole: int) -> float:
    """Return part over whole, 0 of nothing."""
    return part / whole if whole else 0.0
