"""Peers and our runtime asked the same prompts, interleaved, one at a time.

Peers live in processes of their own and wait while another is asked; our runtime is asked in this one. Knows no peer.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.progress import MeasureError, Pace
from ..common.prompts import Prompt, spread
from .peer import PEERS, START_SECONDS, PeerError, Process
from .table import OURS, Sample, rows

if TYPE_CHECKING:
    from trimode.runtime import Runtime

MODES = ("autoregressive", "diffusion", "self_speculation")
MIN_ROUNDS = 3
MIN_PROMPTS = 4
ANSWER_SECONDS = 120.0


def compare(
    runtime: Runtime,
    prompts: Sequence[Prompt],
    max_tokens: int,
    pace: Pace,
    python: Path,
    checkpoint: Path,
    threads: int,
) -> dict[str, Any]:
    """Ask every peer and `runtime` in turn at this pace; return rows of figures.

    `python` has the peers' libraries, `checkpoint` is what the runtime's bundle was built from; 0 threads of each take
    every core, as for the runtime. Where time is short fewer of `prompts` are timed, at least four.
    """
    cores = threads or len(os.sched_getaffinity(0))
    shared = ["--threads", str(cores), "--checkpoint", str(checkpoint.resolve())]
    worker = [str(python), "-m", "trimode_perf.peers.worker", *shared, "--peer"]
    with Comparison(runtime, prompts, max_tokens, {name: [*worker, name] for name in PEERS}) as comparison:
        return {**comparison.run(pace), "threads": cores}


class Comparison:
    """The workers that live, the prompts as token ids, and the samples taken."""

    def __init__(
        self,
        runtime: Runtime,
        prompts: Sequence[Prompt],
        max_tokens: int,
        commands: Mapping[str, Sequence[str]],
        *,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._runtime, self._max_tokens = runtime, max_tokens
        self._prompts = [prompt_ids(runtime, prompt) for prompt in prompts]
        self._commands, self._answer_seconds = commands, answer_seconds
        self._workers: dict[str, Process] = {}
        self._abouts: dict[str, str] = {}
        self._failures: dict[str, str] = {}
        self._samples: list[Sample] = []

    def __enter__(self) -> Comparison:
        try:
            for name, command in self._commands.items():
                try:
                    self._workers[name] = Process(command, start_seconds=START_SECONDS)
                    self._abouts[name] = self._workers[name].hello["about"]
                except PeerError as exc:
                    self._failures[name] = str(exc)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        while self._workers:
            self._workers.popitem()[1].close()

    def run(self, pace: Pace) -> dict[str, Any]:
        """Take whole rounds, at least MIN_ROUNDS, until the time is up; the first warms up and is not kept.

        Every prompt is asked of everyone in every mode, prompts and calls shuffled: what is paired lies close in time.
        """
        calls = [(OURS, mode) for mode in MODES]
        calls += [(name, mode) for name, worker in self._workers.items() for mode in worker.hello["modes"]]
        prompts: Sequence[int] = range(len(self._prompts))
        done, draw = 0, random.Random(0)

        def ask_all(number: int, show: Callable[[], None]) -> None:
            for prompt in draw.sample(prompts, len(prompts)):
                for peer, mode in draw.sample(calls, len(calls)):
                    if peer not in self._failures:
                        self._sample(number, prompt, peer, mode)
                    show()

        began = time.perf_counter()
        ask_all(0, lambda: None)
        affordable = pace.seconds / MIN_ROUNDS / (time.perf_counter() - began)
        prompts = spread(prompts, max(MIN_PROMPTS, int(affordable * len(prompts))))
        self._samples.clear()
        draw = random.Random(0)
        for done in pace.rounds(MIN_ROUNDS, warm_up=0):
            ask_all(done, pace.show)
        found = rows(self._samples, self._abouts, self._failures)
        return {"rounds": done, "prompts": len(prompts), "max_tokens": self._max_tokens, "rows": found}

    def _sample(self, number: int, prompt: int, peer: str, mode: str) -> None:
        """Take one sample; a peer that fails is ended and not asked again."""
        asked = {"input_ids": self._prompts[prompt], "mode": mode, "max_tokens": self._max_tokens}
        if peer == OURS:
            began = time.perf_counter()
            chunk = self._runtime.generate(asked)
            seconds, ids, forwards = time.perf_counter() - began, chunk.token_ids, chunk.counters.forwards
            self._samples.append(Sample(number, prompt, peer, mode, seconds, tuple(ids), forwards))
            return
        try:
            eos = self._runtime.manifest.eos_token_id
            answer = self._workers[peer].ask({**asked, "eos": eos}, self._answer_seconds)
        except PeerError as exc:
            self._failures[peer] = f"{mode}: {exc}"
            self._workers.pop(peer).close()
            return
        cost = (answer["seconds"], tuple(answer["ids"]), answer["forwards"], answer.get("products_seconds"))
        self._samples.append(Sample(number, prompt, peer, mode, *cost))


def prompt_ids(runtime: Runtime, prompt: Prompt) -> list[int]:
    """Return the token ids that the runtime gives `prompt`."""
    if runtime.tokenizer is None:
        raise MeasureError("the bundle has no tokenizer")
    if prompt.messages is None:
        return runtime.tokenizer.encode(prompt.text or "")
    return runtime.tokenizer.encode(runtime.tokenizer.render_chat(list(prompt.messages), enable_thinking=False))
