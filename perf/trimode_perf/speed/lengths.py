"""How an answer's cost grows with the prompt's length and with its own; the modes in turn, one request at a time.

Prompts are cut from held-out text strung together, so every token is one that the tokenizer makes; the prefix cache is
off, or they would be read once.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from typing import Any

from trimode.config import ServerConfig
from trimode.runtime import Runtime

from ..common.markdown import spread, table
from ..common.progress import Pace
from ..common.prompts import Prompt
from ..common.statistics import Spread, ratios
from . import MODES, Context, Data, Found, Part
from .layers import BASELINE

PROMPTS = (64, 128, 256, 512, 1024, 1536, 2048, 3072, 4000)
OUTPUTS = (16, 32, 64, 128, 256, 512)
PROMPT_FOR_OUTPUTS = 64
OUTPUT_FOR_PROMPTS = 33
MIN_ROUNDS = 3
SHARED, SHARED_QUESTIONS = 1024, 12


def measure(context: Context) -> dict[str, Data]:
    """Time both kinds of lengths, then a shared text with the prefix cache and without."""
    config = replace(context.config, bundle=context.options.bundle.resolve())
    grown = by_length(context, context.runtime, context.pace())
    return {"growth": {**grown, "shared": shared_prefix(config, context.every)}}


def by_length(context: Context, runtime: Runtime, pace: Pace) -> Data:
    """Return milliseconds by length of prompt (to the first token, and of the whole) and of answer.

    At least MIN_ROUNDS rounds; fewer where the warm-up shows that time is short, but one. A checkpoint that was not
    trained to denoise is asked in one mode, and of prompts only: its answers cost the same token by token.
    """
    modes = MODES if runtime.manifest.denoises else (BASELINE,)
    block, capacity = runtime.manifest.block_size, runtime.manifest.capacity
    ids = _text(runtime, context.every, max(PROMPTS))
    room = capacity - block
    asked = [n for n in PROMPTS if n + OUTPUT_FOR_PROMPTS <= room]
    given = [n for n in OUTPUTS if n + PROMPT_FOR_OUTPUTS <= room]
    points = [
        *((mode, "prompt", n, n, OUTPUT_FOR_PROMPTS) for mode in modes for n in asked),
        *((mode, "output", n, PROMPT_FOR_OUTPUTS, n) for mode in modes for n in given if len(modes) > 1),
    ]
    taken: defaultdict[tuple[str, str, int], list[tuple[float, float]]] = defaultdict(list)
    began = time.perf_counter()
    for mode, _, _, prompt, output in points:  # warms up
        _ask(runtime, ids[:prompt], mode, output)
    warmed_up = time.perf_counter() - began
    affordable = max(1, int(pace.seconds / warmed_up) - 1)
    rest = replace(pace, seconds=max(0.1, pace.seconds - warmed_up))
    for _, (mode, axis, value, prompt, output) in rest.shuffled(points, min(MIN_ROUNDS, affordable), 0):
        whole, first = _ask(runtime, ids[:prompt], mode, output)
        taken[mode, axis, value].append((1000 * whole, 1000 * first))
    rounds = max(map(len, taken.values()))
    rows = []
    for (mode, axis, value), pairs in sorted(taken.items()):
        whole_ms, first_ms = ([pair[place] for pair in pairs] for place in (0, 1))
        base = [pair[0] for pair in taken[BASELINE, axis, value]]
        times = {"milliseconds": asdict(Spread.of(whole_ms)), "first_milliseconds": asdict(Spread.of(first_ms))}
        speed = {"speed_against_autoregressive": asdict(ratios(base, whole_ms))}
        rows.append({"mode": mode, "axis": axis, "tokens": value, **times, **speed})
    head = {"capacity": capacity, "rounds": rounds, "prompt": PROMPT_FOR_OUTPUTS, "output": OUTPUT_FOR_PROMPTS}
    return {**head, "rows": rows}


def shared_prefix(config: ServerConfig, prompts: Sequence[Prompt]) -> Data:
    """Return milliseconds to the first token of questions after one long text, with the prefix cache and without.

    The questions differ; with the cache all but the first find the text read. In turn, SHARED tokens long.
    """
    taken: defaultdict[bool, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        sizes = {True: 64, False: 0}
        runtimes = {
            on: stack.enter_context(closing(Runtime.open(replace(config, prefix_cache_mib=mib))))
            for on, mib in sizes.items()
        }
        head = _text(runtimes[True], prompts, SHARED)
        for number, prompt in enumerate(prompts[:SHARED_QUESTIONS]):
            tail = _text(runtimes[True], [prompt], 32)
            for on, runtime in runtimes.items():
                _, first = _ask(runtime, [*head, *tail], "autoregressive", 2)
                if number:
                    taken[on].append(1000 * first)
        stats = runtimes[True].stats()
        return {
            "prompt": SHARED + 32,
            "with": asdict(Spread.of(taken[True])),
            "without": asdict(Spread.of(taken[False])),
            "times_faster": asdict(ratios(taken[False], taken[True])),
            "hit_rate": stats.cached_tokens / stats.prompt_tokens,
        }


def _text(runtime: Runtime, prompts: Sequence[Prompt], count: int) -> list[int]:
    """Return `count` ids of held-out questions and answers, again and again."""
    assert runtime.tokenizer is not None
    pieces = [
        f"{prompt.messages[0]['content']}\n{prompt.answer or ''}" if prompt.messages else prompt.text or ""
        for prompt in prompts
    ]
    ids = runtime.tokenizer.encode("\n".join(pieces))
    return (ids * (count // len(ids) + 1))[:count]


def _ask(runtime: Runtime, ids: list[int], mode: str, output: int) -> tuple[float, float]:
    """Return seconds to the last chunk and to the first; the answer goes on past its end to its full length."""
    done, first = threading.Event(), 0.0
    began = time.perf_counter()

    def sink(chunk: Any) -> None:
        nonlocal first
        if not first:
            first = time.perf_counter() - began
        if chunk.last:
            done.set()

    given = {"input_ids": ids, "mode": mode, "max_tokens": output, "end_id": -1, "stream": True}
    runtime.submit({**given, "return_token_ids": True}, sink)
    done.wait()
    return time.perf_counter() - began, first


def section(found: Found) -> str:
    """Return how cost grows with length."""
    growth = found["growth"]
    ordered = sorted(growth["rows"], key=lambda row: (row["tokens"], MODES.index(row["mode"])))
    cells: dict[str, list[list[object]]] = {"prompt": [], "output": []}
    for row in ordered:
        times = (spread(row[name], 1) for name in ("first_milliseconds", "milliseconds"))
        gain = spread(row["speed_against_autoregressive"])
        cells[row["axis"]].append([row["tokens"], row["mode"], *times, gain])
    shared = growth["shared"]
    titles = ("mode", "first token ms", "whole answer ms", "speed against autoregressive")
    return f"""## Long prompts, long answers

One request at a time in process, {growth["rounds"]} rounds in shuffled order; answers go on past their end to the
length given, where the checkpoint has little to say: what blocks gain there is not what they gain on its domains.

Prompts of 64 to 4000 tokens, as far as the checkpoint's {growth["capacity"]} hold them with the answer, which is of {growth["output"]} tokens:

{table(("prompt tokens", *titles), cells["prompt"])}

Answers, behind a prompt of {growth["prompt"]} tokens:

{table(("answer tokens", *titles), cells["output"])}

Questions behind one shared text, {shared["prompt"]} tokens in all: with the prefix cache the first token comes
{spread(shared["times_faster"])} times as soon; {shared["hit_rate"]:.0%} of the prompts' tokens were found there.
"""  # noqa: E501


PART = Part("lengths", "long prompts and answers", ("growth",), 60, measure, section)
