"""Whether an engine gives the reference's tokens, to the last one: the parity kit, and the checkpoint that ships.

The kit's expected tokens were produced by the model family's own implementation in float32; those of the shipped
checkpoint, in reference.json, by this project's CPU engine. Knows no engine.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..common.paths import NANO, PROJECT

KIT = PROJECT / "tests" / "fixtures" / "parity"
REFERENCE = Path(__file__).parent / "reference.json"
MODES = {"ar": "autoregressive", "diffusion": "diffusion", "linear_spec": "self_speculation"}


@dataclass(frozen=True)
class Question:
    """What is decoded, greedily and alone, and the tokens that must come out."""

    name: str
    mode: str
    prompt: list[int]
    max_tokens: int
    eos: int
    block_length: int
    threshold: float
    expected: list[int]


class Decoder(Protocol):
    """A loaded checkpoint."""

    def decode(self, asked: Question) -> list[int]:
        """Return the tokens of the answer, the end token included, `max_tokens` at most."""
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...


class Engine(Protocol):
    """A way to run a checkpoint on the device that is checked."""

    about: str

    def load(self, checkpoint: Path, *, longest: int) -> Decoder:
        """Load a checkpoint for sequences of up to `longest` tokens, one block more than the answer included."""
        ...


def questions() -> Iterator[tuple[Path, list[Question]]]:
    """Yield (checkpoint, what is asked of it): the kit's three, then the one that ships."""
    cases = [case for case in json.loads((KIT / "cases.json").read_text(encoding="utf-8")) if _is_plain(case)]
    for name in sorted({case["checkpoint"] for case in cases}):
        checkpoint = KIT / "checkpoints" / name
        eos = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["eos_token_id"]
        yield checkpoint, [_of_case(case, eos) for case in cases if case["checkpoint"] == name]
    yield NANO, [Question(**asked) for asked in json.loads(REFERENCE.read_text(encoding="utf-8"))]


def check(engine: Engine, advance: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Ask everything and return counts by checkpoint and mode, and the names of what came out otherwise."""
    rows, differing = [], []
    for checkpoint, asked in questions():
        longest = max(len(one.prompt) + one.max_tokens + one.block_length for one in asked)
        decoder = engine.load(checkpoint, longest=longest)
        same: Counter[str] = Counter()
        try:
            for one in asked:
                if decoder.decode(one) == one.expected:
                    same[one.mode] += 1
                else:
                    differing.append(f"{checkpoint.name}/{one.name}")
                advance()
        finally:
            decoder.close()
        total = Counter(one.mode for one in asked)
        rows += [
            {"checkpoint": checkpoint.name, "mode": mode, "asked": total[mode], "same_ids": same[mode]}
            for mode in MODES.values()
        ]
    return {"engine": engine.about, "precision": "float32", "rows": rows, "differing": differing}


def _is_plain(case: dict[str, Any]) -> bool:
    """Whether the loops of train have what the case is about: one row, no thinking budget, one draft pass."""
    params = case["params"]
    drafted_once = case["mode"] != "linear_spec" or params["threshold"] == 0
    return len(case["prompt_ids"]) == 1 and params["max_thinking_tokens"] is None and drafted_once


def _of_case(case: dict[str, Any], eos: int) -> Question:
    params = case["params"]
    limit = params["max_new_tokens"]
    return Question(
        name=case["id"],
        mode=MODES[case["mode"]],
        prompt=case["prompt_ids"][0],
        max_tokens=limit,
        eos=eos if params["eos_token_id"] is None else params["eos_token_id"],
        block_length=params.get("block_length", 1),
        threshold=params.get("threshold", 0.0),
        expected=case["expected_output_ids"][0][:limit],  # the reference's self-speculation overshoots
    )
