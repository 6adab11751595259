"""`python -m trimode_perf record-drafts`: records, at every token of an answer, how long a draft made there is right.

Drafts are made by passes of their own, and ahead, beside the token that they follow (see `Recorded`). The time of a
pass by its tokens is measured, too. replay.py decodes from these figures without the model.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from trimode.api.params import GenerationParams
from trimode.config import ServerConfig
from trimode.decoding.quadratic_pass import QuadraticPass
from trimode.decoding.quadratic_shape import QuadraticShape
from trimode.engines.base import Engine, Ints, Row
from trimode.errors import TrimodeError
from trimode.requests.generate import read_prompt
from trimode.runtime import Runtime

from ...common import NANO
from ...common.progress import progress, run
from ...common.prompts import HELD_OUT, Prompt, load

RECORDED = Path(__file__).with_name("recorded.json")
LENGTHS = (2, 4, 8, 16, 32)
"""Lengths of drafts, or of groups of masks, that are recorded as far as the model's block goes; a draft of another
length counts as the next longer."""
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""A run has at most 31 right tokens: a digit each."""
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 272)
"""Tokens of the passes that are timed."""
CONTEXT, ROUNDS = 128, 20


@dataclass(frozen=True)
class Recorded:
    """One greedy answer, and how many tokens of a draft are right at each of its tokens, by length of draft.

    Attributes:
        apart: [length][i]: right tokens after token i of the answer, of a draft that a pass of its own made.
        ahead: [length][i + 1]: right tokens after token i + 1, of a draft that `length` masks behind token i made in
            the pass that predicts token i + 1; at 0, of the masks behind the prompt.
    """

    domain: str
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    apart: dict[int, list[int]]
    ahead: dict[int, list[int]]

    def length(self, wanted: int) -> int:
        """Return the length that was recorded for drafts of `wanted` tokens."""
        return next((one for one in self.apart if one >= wanted), max(self.apart))

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> Recorded:
        """Read what `dump` wrote."""
        runs = {
            kind: {int(length): [DIGITS.index(digit) for digit in line] for length, line in raw[kind].items()}
            for kind in ("apart", "ahead")
        }
        return cls(raw["domain"], tuple(raw["prompt"]), tuple(raw["tokens"]), **runs)

    def dump(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        runs = {
            kind: {str(length): "".join(DIGITS[count] for count in line) for length, line in lines.items()}
            for kind, lines in (("apart", self.apart), ("ahead", self.ahead))
        }
        return {"domain": self.domain, "prompt": list(self.prompt), "tokens": list(self.tokens), **runs}


@dataclass(frozen=True)
class Recording:
    """All answers, and seconds of a pass by its tokens on the machine that recorded them."""

    answers: list[Recorded]
    seconds: dict[int, float]
    mask_token_id: int
    vocab_size: int

    @classmethod
    def load(cls, path: Path = RECORDED) -> Recording:
        """Read what `save` wrote."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        answers = [Recorded.parse(one) for one in raw["answers"]]
        seconds = {int(size): one for size, one in raw["seconds"].items()}
        return cls(answers, seconds, raw["mask_token_id"], raw["vocab_size"])

    @property
    def longest(self) -> int:
        """The longest draft that was recorded."""
        return max(self.answers[0].apart)

    def first(self, count: int) -> Recording:
        """Return the first answers of each domain, so many at most."""
        seen: Counter[str] = Counter()
        kept = []
        for answer in self.answers:
            seen[answer.domain] += 1
            if seen[answer.domain] <= count:
                kept.append(answer)
        return replace(self, answers=kept)

    def save(self, path: Path) -> None:
        """Write it, a line for each answer."""
        head = {"mask_token_id": self.mask_token_id, "vocab_size": self.vocab_size, "seconds": self.seconds}
        lines = ",\n".join(json.dumps(one.dump()) for one in self.answers)
        text = json.dumps(head)[:-1]
        path.write_text(f'{text}, "answers": [\n{lines}\n]}}\n', encoding="utf-8")


def record(runtime: Runtime, prompt: Prompt, max_tokens: int) -> Recorded:
    """Answer a prompt greedily, then make every draft that decoding could make."""
    engine = runtime.engine
    chunk = runtime.generate({**prompt.fields, "mode": "autoregressive", "max_tokens": max_tokens})
    _, text = read_prompt(GenerationParams.parse(prompt.fields, runtime.defaults), runtime.services)
    tokens = tuple(chunk.token_ids)
    slot = engine.allocate(block=True)
    try:
        known = np.array([*text, *tokens], dtype=np.int64)
        engine.run([Row(slot, known[:-1], 0, "causal", np.zeros(0, dtype=np.int64), keep=True)])
        drafts = _Drafts(engine, slot, known)
        first = len(text)
        places = range(first, first + len(tokens))
        lengths = [length for length in LENGTHS if length <= engine.manifest.block_size]
        apart = {length: [drafts.apart(at, length) for at in places] for length in lengths}
        ahead = {length: [drafts.ahead(at - 1, length) for at in places] for length in lengths}
    finally:
        engine.free(slot)
    return Recorded(prompt.domain, tuple(text), tokens, apart, ahead)


class _Drafts:
    """Drafts on a text whose keys and values a slot holds; nothing of them is kept."""

    def __init__(self, engine: Engine, slot: int, known: Ints) -> None:
        self._engine, self._slot, self._known = engine, slot, known

    def apart(self, at: int, length: int) -> int:
        """Return how many tokens after token `at` of the text are right in a draft of `length`, its seed included."""
        tokens = np.full(length, self._engine.manifest.mask_token_id, dtype=np.int64)
        tokens[0] = self._known[at]
        adapter = self._engine.manifest.adapter
        row = Row(self._slot, tokens, at, "block", np.arange(1, length), keep=False, adapter=adapter)
        return self._right(at + 1, self._engine.run([row])[0].top_id)

    def ahead(self, at: int, length: int) -> int:
        """Return the same of the draft that begins with token `at` + 1, made by masks behind token `at`."""
        layout = QuadraticPass.of(QuadraticShape.official(length), 1)
        tokens = np.where(layout.is_mask, self._engine.manifest.mask_token_id, self._known[at])
        adapter = layout.is_mask if self._engine.manifest.adapter else False
        want, places = layout.want[1:], at + layout.offsets
        row = Row(self._slot, tokens, at, layout.sees, want, keep=False, adapter=adapter, positions=places)
        return self._right(at + 2, self._engine.run([row])[0].top_id)

    def _right(self, begin: int, drafted: Ints) -> int:
        expected = self._known[begin : begin + len(drafted)]
        agree = drafted[: len(expected)] == expected
        return len(agree) if agree.all() else int(agree.argmin())


def pass_seconds(engine: Engine) -> dict[int, float]:
    """Return the least seconds of a pass by its tokens: of one thread's processor time, so that nothing disturbs it."""
    slot = engine.allocate(block=True)
    try:
        engine.run([Row(slot, np.zeros(CONTEXT, np.int64), 0, "causal", np.zeros(0, np.int64), keep=True)])
        taken: defaultdict[int, list[float]] = defaultdict(list)
        order = list(SIZES)
        for number in range(ROUNDS + 2):
            random.Random(number).shuffle(order)
            for size in order:
                tokens = np.arange(size, dtype=np.int64)
                began = time.thread_time()
                engine.run([Row(slot, tokens, CONTEXT, "block", tokens, keep=False)])
                if number >= 2:
                    taken[size].append(time.thread_time() - began)
        return {size: round(min(taken[size]), 6) for size in SIZES}
    finally:
        engine.free(slot)


def record_all(runtime: Runtime, prompts: Sequence[Prompt], max_tokens: int) -> Iterator[Recorded]:
    """Record one prompt after another; nothing else may use the runtime meanwhile."""
    for prompt in prompts:
        yield record(runtime, prompt, max_tokens)


def main(arguments: list[str] | None = None) -> int:
    """Record drafts of a checkpoint's held-out prompts, and what passes cost on this machine."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf record-drafts", description=main.__doc__)
    made.add_argument("--bundle", type=Path, required=True, metavar="DIR")
    made.add_argument("--heldout", type=Path, default=NANO / HELD_OUT, metavar="JSONL", help="the prompts [nano's]")
    made.add_argument("--per-domain", type=int, default=20, metavar="N", help="prompts of a domain [%(default)s]")
    made.add_argument("--max-tokens", type=int, default=96, metavar="N", help="per answer [%(default)s]")
    made.add_argument("--out", type=Path, default=RECORDED, metavar="FILE", help="what replays read [%(default)s]")
    made.add_argument("--costs-of", type=Path, metavar="FILE", help="keep the costs of passes of that record")
    asked = made.parse_args(arguments)

    def work() -> int:
        runtime = Runtime.open(ServerConfig(bundle=asked.bundle.resolve(), threads=1, spin=False))
        try:
            prompts = load(asked.heldout, asked.per_domain)
            answers = []
            with progress(text="recording drafts") as bar:
                for number, one in enumerate(record_all(runtime, prompts, asked.max_tokens), 1):
                    answers.append(one)
                    bar.at(number / len(prompts))
            facts = runtime.manifest
            costs = Recording.load(asked.costs_of).seconds if asked.costs_of else pass_seconds(runtime.engine)
            Recording(answers, costs, facts.mask_token_id, facts.vocab_size).save(asked.out)
        finally:
            runtime.close()
        print(f"record-drafts: wrote {len(answers)} answers to {asked.out}")
        return 0

    return run("record-drafts", work, TrimodeError)
