"""What each mode's decoding is worth, by domain: tokens per forward, acceptance, and how often the answer is right.

Every prompt is answered once per mode in process; with greedy decoding a second answer would be the same.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from trimode.api.answer import Chunk

from ..common.claims import Claim
from ..common.markdown import spread, table
from ..common.prompts import Prompt, load
from . import MODES, Context, Data, Found, Part
from .layers import BASELINE, ask_runtime, counters_of

DECODED = ("tokens per forward", "tokens per cycle", "acceptance", "same text as autoregressive", "right answers")
SPECULATION, DIFFUSION = 2.0, 2.5
"""Least speed against autoregressive, one request at a time."""


@dataclass(frozen=True)
class Answer:
    """One prompt's answer in one mode."""

    domain: str
    mode: str
    counters: dict[str, int]
    equals_autoregressive: bool
    correct: bool
    checkable: bool

    @classmethod
    def of(cls, prompt: Prompt, mode: str, chunk: Chunk, base: Chunk) -> Answer:
        """Return it with whether it equals `base`, the autoregressive one."""
        same, right = chunk.text == base.text, prompt.answered_by(chunk.text)
        return cls(prompt.domain, mode, counters_of(chunk), same, right, prompt.answer is not None)


def measure(context: Context) -> dict[str, Data]:
    """Return the figures of every mode over all prompts that have an answer, and of every domain.

    The domains take turns; no new turn begins once the time is up.
    """
    prompts, max_tokens = load(context.heldout, context.options.per_domain), context.options.max_tokens
    answers: list[Answer] = []
    domains = sorted({prompt.domain for prompt in prompts})
    began = time.perf_counter()
    for number, prompt in enumerate(prompts):
        if number % len(domains) == 0 and time.perf_counter() - began > context.seconds:
            break
        chunks = {m: ask_runtime(context.runtime, prompt, {"mode": m, "max_tokens": max_tokens})[0] for m in MODES}
        answers += [Answer.of(prompt, mode, chunk, chunks[BASELINE]) for mode, chunk in chunks.items()]
        context.progress((number + 1) / len(prompts))

    def by_mode(chosen: list[Answer]) -> dict[str, Data]:
        return {mode: figures([answer for answer in chosen if answer.mode == mode]) for mode in MODES}

    found = {
        "max_tokens": max_tokens,
        "all": by_mode([answer for answer in answers if answer.checkable]),
        "domains": {domain: by_mode([a for a in answers if a.domain == domain]) for domain in domains},
    }
    return {"decoding": found}


def figures(answers: Sequence[Answer]) -> Data:
    """Return counters summed over `answers` as ratios, and the shares of equal and of correct texts.

    `correct` is None where no answer can be checked.
    """
    total: Counter[str] = Counter()
    for answer in answers:
        total.update(answer.counters)

    def share(part: str, whole: str) -> float:
        return total[part] / total[whole] if total[whole] else 0.0

    right = [answer.correct for answer in answers if answer.checkable]
    return {
        "answers": len(answers),
        "tokens": total["output_tokens"],
        "tokens_per_forward": share("output_tokens", "forwards"),
        "tokens_per_cycle": share("output_tokens", "cycles"),
        "acceptance_rate": share("total_accepted_draft_tokens", "total_draft_tokens"),
        "equals_autoregressive": sum(answer.equals_autoregressive for answer in answers) / max(1, len(answers)),
        "correct": sum(right) / len(right) if right else None,
    }


def section(found: Found) -> str:
    """Return the figures of every domain."""
    decoding = found["decoding"]
    rows = []
    for domain, by_mode in {"all": decoding["all"], **decoding["domains"]}.items():
        for mode in MODES:
            found_here = by_mode[mode]
            rows.append([domain, mode, found_here["answers"], found_here["tokens"], *decoded(found_here)])
    return f"""## Tokens per forward and acceptance, by domain

A forward is every pass after the prefill; a cycle counts a draft and its verification once, which is how acceptance
lengths are published. Acceptance is the share of drafted tokens that verification confirmed. A right answer is, word
for word, the one held out; an answer cut at {decoding["max_tokens"]} tokens is not.

{table(("domain", "mode", "answers", "tokens", *DECODED), rows)}
"""


def headline(found: Found) -> str:
    """Return the first table of the report: what each mode is worth over all domains, and its speed."""
    speed, decoding = found["bench"]["summary"]["speed_against_autoregressive"], found["decoding"]
    rows = []
    for mode in MODES:
        speeds = (spread(speed[mode][layer]["per_token"]) for layer in ("engine", "grpc"))
        rows.append([mode, *speeds, *decoded(decoding["all"][mode])])
    return table(("mode", "speed, engine alone", "speed, through Triton gRPC", *DECODED), rows)


def decoded(figures: Data) -> list[str]:
    """Return the cells under DECODED."""
    drafted = figures["acceptance_rate"] > 0
    return [
        f"{figures['tokens_per_forward']:.2f}",
        f"{figures['tokens_per_cycle']:.2f}",
        f"{figures['acceptance_rate']:.0%}" if drafted else "",
        f"{figures['equals_autoregressive']:.0%}",
        "" if figures["correct"] is None else f"{figures['correct']:.0%}",
    ]


def speed_claims(found: Found) -> list[Claim]:
    """Return how fast each mode must be."""
    speed = found["bench"]["summary"]["speed_against_autoregressive"]
    engine = {mode: layers["engine"]["per_token"]["median"] for mode, layers in speed.items()}
    exact = max(engine["self_speculation"], engine["auto"])
    named = (("self-speculation or auto", exact, SPECULATION), ("diffusion", engine["diffusion"], DIFFUSION))
    text = "{} is {:.2f} times as fast as autoregressive, {:g} at least"
    return [Claim(text.format(name, times, least), times >= least) for name, times, least in named]


def slower(found: Found) -> str:
    """Say on which domains a block gives fewer tokens per pass than the pass costs in passes over one token."""
    size = found["bench"]["hardware"]["block_size"]
    cost = next(row["times_one"]["median"] for row in found["cost"]["rows"] if row["tokens"] == size)
    losing = {
        mode: [name for name, modes in found["decoding"]["domains"].items() if modes[mode]["tokens_per_forward"] < cost]
        for mode in ("diffusion", "self_speculation")
    }
    where = "; ".join(f"{mode} on {', '.join(names) or 'none'}" for mode, names in losing.items())
    return f"""A pass over a block of {size} costs {cost:.2f} passes over one token on this machine. A domain with fewer
tokens per forward is slower than autoregressive: {where}."""


GAIN = Part("gain", "what a block wins", ("bench", "cost", "decoding"), claims=speed_claims, summary=slower)
PART = Part("domains", "every domain in every mode", ("decoding",), 30, measure, section)
