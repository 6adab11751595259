"""Where an answer's time goes in process: request, hand-overs, the loop between passes, the passes, the way out.

Stamps are taken around the runtime's own methods; what a stamp costs (well under a microsecond) is in the figures.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from prompts import Prompt
from trimode.api.params import GenerationParams
from trimode.runtime import Runtime

ROUNDS = 12
WARM_UP = 3
STAGES = {
    "check": "the request's fields",
    "prompt": "chat template and tokenizer",
    "wake": "the loop wakes up",
    "choose": "auto looks up what is alike, and chooses",
    "plan": "between passes: what comes next",
    "around": "around a pass: buffers filled, keys and values kept",
    "pass": "the engine's passes",
    "apply": "between passes: tokens chosen, text made",
    "leave": "sender and asker wake up",
    "rest": "all else",
}
ONCE = ("check", "prompt", "wake", "leave")
"""Stages that an answer goes through once."""


class _Clock:
    """Seconds by stage; nested stages are taken off the one around them."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)

    def around(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """Return `call` timed as `stage`."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.spent[stage] += time.perf_counter() - began

        return timed


@contextmanager
def stamped(runtime: Runtime, clock: _Clock) -> Iterator[None]:
    """Time the runtime's stages inside the block."""
    loop = runtime._scheduler
    places: list[tuple[Any, str, str]] = [
        (GenerationParams, "parse", "check"),
        (runtime, "_prompt", "prompt"),
        (loop._auto, "admit", "choose"),
        (loop._auto, "steer", "choose"),
        (loop, "_plan", "plan"),
        (runtime.engine, "run", "run"),
        (loop, "_apply", "apply"),
    ]
    kept = [(owner, name, owner.__dict__.get(name)) for owner, name, _ in places]
    for owner, name, stage in places:
        timed = clock.around(getattr(owner, name), stage)
        setattr(owner, name, staticmethod(timed) if isinstance(owner, type) else timed)
    try:
        yield
    finally:
        for owner, name, before in kept:
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)


def measure(runtime: Runtime, prompts: Sequence[Prompt], modes: Sequence[str], max_tokens: int) -> dict[str, Any]:
    """Return microseconds an answer by mode and stage (medians), and passes an answer."""
    taken: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
    for number in range(WARM_UP + ROUNDS):
        for prompt in prompts:
            for mode in modes:
                sample = _answer(runtime, {**prompt.fields, "mode": mode, "max_tokens": max_tokens})
                if number >= WARM_UP:
                    taken[mode].append(sample)
    stages = [*STAGES, "total", "passes"]
    return {
        "again": _again(runtime, prompts, max_tokens),
        "modes": {m: {s: float(np.median([one[s] for one in taken[m]])) for s in stages} for m in modes},
    }


def _again(runtime: Runtime, prompts: Sequence[Prompt], max_tokens: int) -> dict[str, float]:
    """Return microseconds (medians) of the stages before the first pass, again and again with no pass between."""
    clocks = []
    for prompt in prompts:
        for number in range(WARM_UP + ROUNDS):
            clock = _Clock()
            parse, render = clock.around(GenerationParams.parse, "check"), clock.around(runtime._prompt, "prompt")
            render(parse({**prompt.fields, "max_tokens": max_tokens}, runtime._defaults))
            if number >= WARM_UP:
                clocks.append(clock.spent)
    return {stage: 1e6 * float(np.median([spent[stage] for spent in clocks])) for stage in ("check", "prompt")}


def _answer(runtime: Runtime, given: dict[str, Any]) -> dict[str, float]:
    clock, stamps = _Clock(), dict[str, float]()
    passes, busy = runtime.engine.calls, runtime.engine.busy_seconds
    loop = runtime._scheduler
    with stamped(runtime, clock):
        submit, end = loop.submit, loop._end_early

        def submitted(*args: Any, **kwargs: Any) -> None:
            submit(*args, **kwargs)
            stamps["queued"] = time.perf_counter()

        def woken() -> None:
            stamps.setdefault("woken", time.perf_counter())
            end()

        loop.submit, loop._end_early = submitted, woken  # type: ignore[method-assign]
        deliver = loop._deliver

        def leaving(*args: Any, **kwargs: Any) -> None:
            stamps["left"] = time.perf_counter()
            deliver(*args, **kwargs)

        loop._deliver = leaving  # type: ignore[method-assign]
        try:
            began = time.perf_counter()
            runtime.generate(given)
            total = time.perf_counter() - began
        finally:
            del loop.submit, loop._end_early, loop._deliver
    engine = runtime.engine.busy_seconds - busy
    found = {
        "check": clock.spent["check"],
        "prompt": clock.spent["prompt"],
        "wake": max(0.0, stamps.get("woken", 0.0) - stamps.get("queued", 0.0)),
        "choose": clock.spent["choose"],
        "plan": clock.spent["plan"],
        "around": clock.spent["run"] - engine,
        "pass": engine,
        "apply": clock.spent["apply"],
        "leave": began + total - stamps["left"],
    }
    return {
        **{name: 1e6 * value for name, value in found.items()},
        "rest": 1e6 * max(0.0, total - sum(found.values())),
        "total": 1e6 * total,
        "passes": runtime.engine.calls - passes,
    }
