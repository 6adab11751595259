"""What int8 costs in exactness: how often speculation departs from autoregression, and int8 from float32, at near ties.

A departure is counted once per answer, at its first differing token: everything after it differs by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from trimode.api.fields import Mode
from trimode.runtime import Runtime

from ..common.markdown import table
from ..common.prompts import Prompt, load
from . import Context, Data, Found, Part
from .layers import ask_runtime


def measure(context: Context) -> dict[str, Data]:
    """Compare with the int8 bundle; nothing where there is none."""
    asked = context.options
    if asked.int8_bundle is None:
        return {}
    prompts = load(asked.heldout, 2 * asked.per_domain)
    int8 = Runtime.open(replace(context.config, bundle=asked.int8_bundle.resolve()))
    try:
        found = compare(context.runtime, int8, prompts, asked.max_tokens, context.seconds, context.progress)
    finally:
        int8.close()
    return {"int8": found}


def compare(
    exact: Runtime,
    int8: Runtime,
    prompts: Sequence[Prompt],
    max_tokens: int,
    seconds: float,
    progress: Callable[[float], None],
) -> Data:
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


def section(found: Found) -> str:
    """Return how often answers depart."""
    int8 = found["int8"]
    titles = ("int8 against", "answers", "answers that differ", "tokens up to there", "departures per 1000 tokens")
    names = (
        ("speculation", "self-speculation against autoregressive, both int8"),
        ("float32", "autoregressive, float32"),
    )
    rows = [
        [name, str(int8["answers"]), *(f"{int8[key][part]:g}" for part in ("differing_answers", "tokens_compared")),
         f"{int8[key]['per_1000_tokens']:.2f}"]
        for key, name in names
    ]  # fmt: skip
    correct = {name: "-" if share is None else f"{100 * share:.0f}%" for name, share in int8["correct"].items()}
    return f"""## int8

Greedy, {int8["answers"]} held-out prompts. float32 speculation gives the autoregressive tokens; int8 rounds
activations, so a pass over a block and a pass over a token can fall on different sides of a near tie. An answer departs
once, at its first differing token. Right answers: {correct["float32"]} in float32, {correct["int8"]} in int8. An
autoregressive token takes the int8 engine 1/{int8["speed_per_token"]:.2f} of float32's time.

{table(titles, rows)}
"""


PART = Part("int8", "what int8 costs in exactness", ("int8",), 20, measure, section)
