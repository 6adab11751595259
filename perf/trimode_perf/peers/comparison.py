"""Peers and our runtimes asked the same prompts, interleaved, one at a time.

Peers live in processes of their own and wait while another is asked; ours are asked in this one. Knows no peer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..common.progress import MeasureError, Pace
from ..common.prompts import Prompt, spread
from .table import AUTO, OURS, Sample, rows
from .workers import Workers

if TYPE_CHECKING:
    from trimode.runtime import Runtime

MODES = ("autoregressive", "diffusion", "self_speculation", AUTO)
MIN_ROUNDS = 3
MIN_PROMPTS = 4


class Comparison:
    """Our runtimes by name, one of them OURS, the workers, the prompts as token ids, and the samples taken."""

    def __init__(
        self, runtimes: Mapping[str, Runtime], prompts: Sequence[Prompt], max_tokens: int, workers: Workers
    ) -> None:
        self._runtimes, self._max_tokens, self._workers = runtimes, max_tokens, workers
        self._prompts = [prompt_ids(runtimes[OURS], prompt) for prompt in prompts]
        self._eos = runtimes[OURS].manifest.eos_token_id
        self._samples: list[Sample] = []

    def run(self, pace: Pace) -> dict[str, Any]:
        """Take whole rounds, at least MIN_ROUNDS, until the time is up; a few prompts warm up and are not kept.

        Every prompt is asked of everyone in every mode, prompts and calls shuffled: what is paired lies close in time.
        Where time is short fewer prompts are timed, at least MIN_PROMPTS.
        """
        calls = [(name, mode) for name, runtime in self._runtimes.items() for mode in modes_of(runtime)]
        calls += [(name, mode) for name, modes in self._workers.modes.items() for mode in modes]
        prompts: Sequence[int] = ()
        done, draw = 0, random.Random(0)

        def ask_all(number: int, show: Callable[[], None]) -> None:
            for prompt in draw.sample(prompts, len(prompts)):
                for peer, mode in draw.sample(calls, len(calls)):
                    self._sample(number, prompt, peer, mode)
                    show()

        prompts = spread(range(len(self._prompts)), MIN_PROMPTS)
        began = time.perf_counter()
        ask_all(0, lambda: None)
        affordable = pace.seconds / MIN_ROUNDS / (time.perf_counter() - began) * len(prompts)
        prompts = spread(range(len(self._prompts)), max(MIN_PROMPTS, int(affordable)))
        self._samples.clear()
        draw = random.Random(0)
        for done in pace.rounds(MIN_ROUNDS, warm_up=0):
            ask_all(done, pace.show)
        found = rows(self._samples, self._workers.abouts, self._workers.failures)
        return {"rounds": done, "prompts": len(prompts), "max_tokens": self._max_tokens, "rows": found}

    def _sample(self, number: int, prompt: int, peer: str, mode: str) -> None:
        asked = {"input_ids": self._prompts[prompt], "mode": mode, "max_tokens": self._max_tokens}
        if peer in self._runtimes:
            began = time.perf_counter()
            chunk = self._runtimes[peer].generate(asked)
            seconds, ids, forwards = time.perf_counter() - began, chunk.token_ids, chunk.counters.forwards
            self._samples.append(Sample(number, prompt, peer, mode, seconds, tuple(ids), forwards))
            return
        if (answer := self._workers.ask(peer, {**asked, "eos": self._eos}, mode)) is not None:
            cost = (answer["seconds"], tuple(answer["ids"]), answer["forwards"], answer.get("products_seconds"))
            self._samples.append(Sample(number, prompt, peer, mode, *cost))


def modes_of(runtime: Runtime) -> list[str]:
    """Return the modes that a runtime is asked in; auto only where there is something to choose."""
    found = [mode for mode in MODES if mode in runtime.manifest.modes]
    return found if len(found) > 2 else [mode for mode in found if mode != AUTO]


def prompt_ids(runtime: Runtime, prompt: Prompt) -> list[int]:
    """Return the token ids that the runtime gives `prompt`."""
    if runtime.tokenizer is None:
        raise MeasureError("the bundle has no tokenizer")
    if prompt.messages is None:
        return runtime.tokenizer.encode(prompt.text or "")
    return runtime.tokenizer.encode(runtime.tokenizer.render_chat(list(prompt.messages), enable_thinking=False))
