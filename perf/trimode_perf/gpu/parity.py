"""Whether an engine gives the reference's tokens, to the last one: the parity kit, and the checkpoint that ships.

The kit's expected tokens were produced by the model family's own implementation in float32; those of the shipped
checkpoint, in reference.json, by this project's CPU engine: `python -m trimode_perf gpu-reference` writes them, so that
a machine without tokenizer or ONNX Runtime can compare.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common import BUNDLE, NANO, PROJECT
from ..common.progress import run
from ..common.prompts import HELD_OUT, load, spread

if TYPE_CHECKING:
    from trimode.runtime import Runtime

KIT = PROJECT / "tests" / "fixtures" / "parity"
CASES = ("cases.json", "quadratic.json")
REFERENCE = Path(__file__).parent / "reference.json"
SPECULATION = "self_speculation"
MODES = {"ar": "autoregressive", "diffusion": "diffusion", "linear_spec": SPECULATION, "quadratic": SPECULATION}
KINDS = (*dict.fromkeys(MODES.values()), f"{SPECULATION}, quadratic")
"""What answers are counted by."""
PROMPTS, MAX_TOKENS = 8, 64
"""Of the shipped checkpoint: so many held-out prompts with messages, of as many domains."""
THRESHOLD = {"autoregressive": 0.0, "diffusion": 0.9, "self_speculation": 0.0}


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
    quadratic: bool = False

    @property
    def kind(self) -> str:
        """One of KINDS."""
        return KINDS[-1] if self.quadratic else self.mode

    @property
    def pass_tokens(self) -> int:
        """Tokens of its largest pass after the prompt."""
        return self.block_length * (self.block_length + 1 if self.quadratic else 1)


Decode = Callable[[Question], list[int]]
"""Gives the tokens of an answer, the end token included, `max_tokens` at most."""


@dataclass(frozen=True)
class Engine:
    """A way to run a checkpoint on the device that is checked.

    `decoding` loads one for sequences of up to `longest` tokens, one pass more than the answer included. Without
    `quadratic`, no drafts of quadratic speculation are asked for.
    """

    about: str
    decoding: Callable[[Path, int], AbstractContextManager[Decode]]
    quadratic: bool = True


def questions() -> Iterator[tuple[Path, list[Question]]]:
    """Yield (checkpoint, what is asked of it): the kit's three, with quadratic drafts too, then the one that ships."""
    kit = [case for name in CASES for case in json.loads((KIT / name).read_text(encoding="utf-8"))]
    cases = [case for case in kit if _is_plain(case)]
    for name in sorted({case["checkpoint"] for case in cases}):
        checkpoint = KIT / "checkpoints" / name
        eos = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["eos_token_id"]
        yield checkpoint, [_of_case(case, eos) for case in cases if case["checkpoint"] == name]
    yield NANO, [Question(**asked) for asked in json.loads(REFERENCE.read_text(encoding="utf-8"))]


def check(engine: Engine, advance: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Ask everything and return counts by checkpoint and mode, and the names of what came out otherwise."""
    rows, differing = [], []
    for checkpoint, every in questions():
        asked = [one for one in every if engine.quadratic or not one.quadratic]
        longest = max(len(one.prompt) + one.max_tokens + one.pass_tokens for one in asked)
        same: Counter[str] = Counter()
        with engine.decoding(checkpoint, longest) as decode:
            for one in asked:
                if decode(one) == one.expected:
                    same[one.kind] += 1
                else:
                    differing.append(f"{checkpoint.name}/{one.name}")
                advance()
        total = Counter(one.kind for one in asked)
        rows += [
            {"checkpoint": checkpoint.name, "mode": kind, "asked": total[kind], "same_ids": same[kind]}
            for kind in KINDS
            if total[kind]
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
        quadratic=case["mode"] == "quadratic",
    )


def main(arguments: list[str] | None = None) -> int:
    """Write reference.json by the CPU engine, on a built float32 bundle. Takes some seconds."""
    from trimode.config import ServerConfig
    from trimode.errors import TrimodeError
    from trimode.runtime import Runtime

    from ..peers.comparison import prompt_ids

    made = argparse.ArgumentParser(prog="python -m trimode_perf gpu-reference", description=main.__doc__)
    made.add_argument("--bundle", type=Path, default=BUNDLE, metavar="DIR", help="[build/out/nano-float32]")
    options = made.parse_args(arguments)

    def work() -> int:
        asked = spread([prompt for prompt in load(NANO / HELD_OUT, 1) if prompt.messages], PROMPTS)
        with closing(Runtime.open(ServerConfig(bundle=options.bundle))) as runtime:
            named = {f"{prompt.domain}-{number}": prompt_ids(runtime, prompt) for number, prompt in enumerate(asked)}
            lines = [json.dumps(asdict(question)) for question in expected(runtime, named)]
        REFERENCE.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
        return 0

    return run("gpu-reference", work, TrimodeError)


def expected(runtime: Runtime, asked: Mapping[str, list[int]]) -> list[Question]:
    """Return every prompt, its ids by its name, in every mode with the runtime's answer."""
    made = []
    block, eos = runtime.manifest.block_size, runtime.manifest.eos_token_id
    for name, ids in asked.items():
        for mode in dict.fromkeys(MODES.values()):
            given: dict[str, Any] = {"mode": mode, "max_tokens": MAX_TOKENS, "input_ids": ids}
            if mode != "autoregressive":
                given |= {"block_length": block, "threshold": THRESHOLD[mode]}
            tokens = list(runtime.generate(given, reference=True).token_ids)[:MAX_TOKENS]
            made.append(Question(name, mode, ids, MAX_TOKENS, eos, block, THRESHOLD[mode], tokens))
    return made
