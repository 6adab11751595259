"""What int8 costs in exactness: how often speculation departs from autoregression, and int8 from float32, at near ties.

A departure is counted once per answer, at its first differing token: everything after it differs by itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from trimode.runtime import Runtime

from ..common.markdown import table
from ..common.prompts import Prompt, load
from ..common.statistics import departures
from . import Context, Data, Found, Part
from .layers import ask_runtime


def measure(context: Context) -> dict[str, Data]:
    """Compare with the int8 bundle; nothing where there is none."""
    asked = context.options
    if asked.int8_bundle is None:
        return {}
    prompts = load(context.heldout, 2 * asked.per_domain)
    with closing(Runtime.open(replace(context.config, bundle=asked.int8_bundle.resolve()))) as int8:
        return {"int8": compare({"float32": context.runtime, "int8": int8}, prompts, context)}


def compare(runtimes: Mapping[str, Runtime], prompts: Sequence[Prompt], context: Context) -> Data:
    """Answer `prompts` autoregressively in float32 and int8, and by self-speculation in int8, until the time is up."""
    max_tokens = context.options.max_tokens
    serial, drafted = ({"mode": mode, "max_tokens": max_tokens} for mode in ("autoregressive", "self_speculation"))
    pairs: dict[str, list[tuple[list[int], list[int]]]] = {"speculation": [], "float32": []}
    right, spent = dict.fromkeys(runtimes, 0), dict.fromkeys(runtimes, 0.0)
    began, checkable = time.perf_counter(), 0
    for number, prompt in enumerate(prompts):
        if time.perf_counter() - began > context.seconds:
            break
        ids = {}
        for name, runtime in runtimes.items():
            chunk, _, seconds = ask_runtime(runtime, prompt, serial)
            ids[name] = chunk.token_ids
            spent[name] += seconds / max(1, len(chunk.token_ids))
            right[name] += prompt.answered_by(chunk.text)
        speculated, _, _ = ask_runtime(runtimes["int8"], prompt, drafted)
        pairs["speculation"].append((ids["int8"], speculated.token_ids))
        pairs["float32"].append((ids["float32"], ids["int8"]))
        checkable += prompt.answer is not None
        context.progress((number + 1) / len(prompts))
    return {
        "answers": len(pairs["float32"]),
        "max_tokens": max_tokens,
        "correct": {name: count / checkable if checkable else None for name, count in right.items()},
        "speed_per_token": spent["float32"] / spent["int8"],
        **{name: departures(found) for name, found in pairs.items()},
    }


def section(found: Found) -> str:
    """Return how often answers depart."""
    int8 = found["int8"]
    titles = ("int8 against", "answers", "answers that differ", "tokens up to there", "departures per 1000 tokens")
    speculation, float32 = (
        [int8["answers"], one["differing_answers"], one["tokens_compared"], f"{one['per_1000_tokens']:.2f}"]
        for one in (int8["speculation"], int8["float32"])
    )
    rows = [
        ["self-speculation against autoregressive, both int8", *speculation],
        ["autoregressive, float32", *float32],
    ]
    correct = {name: "-" if share is None else f"{100 * share:.0f}%" for name, share in int8["correct"].items()}
    return f"""## int8

Greedy, {int8["answers"]} held-out prompts. float32 speculation gives the autoregressive tokens; int8 rounds
activations, so a pass over a block and a pass over a token can fall on different sides of a near tie. An answer departs
once, at its first differing token. Right answers: {correct["float32"]} in float32, {correct["int8"]} in int8. An
autoregressive token takes the int8 engine 1/{int8["speed_per_token"]:.2f} of float32's time.

{table(titles, rows)}
"""


PART = Part("int8", "what int8 costs in exactness", ("int8",), 20, measure, section)
