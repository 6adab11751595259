"""What int8 costs in exactness: how often speculation departs from autoregression, and int8 from float32, at near ties.

A departure is counted once per answer, at its first differing token: everything after it differs by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from trimode.api.fields import Mode
from trimode.runtime import Runtime

from ..common.prompts import Prompt
from .layers import ask_runtime


def compare(
    exact: Runtime,
    int8: Runtime,
    prompts: Sequence[Prompt],
    max_tokens: int,
    seconds: float,
    progress: Callable[[float], None],
) -> dict[str, Any]:
    """Answer `prompts` autoregressively in float32 and int8, and by self-speculation in int8; stop after `seconds`."""
    serial = {"mode": Mode.AUTOREGRESSIVE.value, "max_tokens": max_tokens}
    drafted = {"mode": Mode.SELF_SPECULATION.value, "max_tokens": max_tokens}
    pairs: dict[str, list[tuple[list[int], list[int]]]] = {"speculation": [], "float32": []}
    right = {"float32": 0, "int8": 0}
    engine_seconds = {"float32": 0.0, "int8": 0.0}
    began, asked, checkable = time.perf_counter(), 0, 0
    for number, prompt in enumerate(prompts):
        if time.perf_counter() - began > seconds:
            break
        reference, _, reference_seconds = ask_runtime(exact, prompt, serial)
        plain, _, plain_seconds = ask_runtime(int8, prompt, serial)
        speculated, _, _ = ask_runtime(int8, prompt, drafted)
        pairs["speculation"].append((plain.token_ids, speculated.token_ids))
        pairs["float32"].append((reference.token_ids, plain.token_ids))
        engine_seconds["float32"] += reference_seconds / max(1, len(reference.token_ids))
        engine_seconds["int8"] += plain_seconds / max(1, len(plain.token_ids))
        asked += 1
        if prompt.answer is not None:
            checkable += 1
            right["float32"] += prompt.answered_by(reference.text)
            right["int8"] += prompt.answered_by(plain.text)
        progress((number + 1) / len(prompts))
    return {
        "answers": asked,
        "max_tokens": max_tokens,
        "correct": {name: count / checkable if checkable else None for name, count in right.items()},
        "speed_per_token": engine_seconds["float32"] / engine_seconds["int8"],
        **{name: departures(found) for name, found in pairs.items()},
    }


def departures(pairs: Sequence[tuple[list[int], list[int]]]) -> dict[str, float]:
    """Return how many answers differ, the tokens up to the first difference, and departures per 1000 of those."""
    compared = differing = 0
    for one, other in pairs:
        same = next(
            (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
        )
        differs = one != other
        compared += same + differs
        differing += differs
    return {
        "differing_answers": differing,
        "tokens_compared": compared,
        "per_1000_tokens": 1000 * differing / compared if compared else 0.0,
    }
