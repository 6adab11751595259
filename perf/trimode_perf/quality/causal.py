"""`make quality` of a checkpoint that was not trained to denoise: perplexity by precision, and what fewer bits change.

It has no held-out prompts with one right answer. Counts and does not time; every text takes causal passes of the
bundle's own graph. Knows no report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from trimode.text.tokenizer import Tokenizer
from trimode_convert.verify.passes import BundleRunner, Pass

from ..common import PROJECT
from ..common.ask import ask, open_runtime
from ..common.claims import Claim
from ..common.markdown import table
from ..common.progress import MeasureError
from ..common.prompts import load
from ..common.statistics import departures
from .measure import nats
from .prompts import problems
from .tally import bits_per_byte, together

PAGES = {
    "prose": ("docs/modes.md", "docs/auto.md", "docs/operations.md", "docs/internals/design-notes.md"),
    "code": (
        "python_backend/trimode/runtime.py", "python_backend/trimode/scheduling/scheduler.py",
        "python_backend/trimode/auto/chooser.py", "convert/trimode_convert/graph/model.py",
    ),
}  # fmt: skip
"""What no model can have seen that is older than this repository, which they are of."""
HUMAN_EVAL = "HumanEval with solutions"
WINDOW, CHUNK = 1024, 256
"""Tokens of a text that are scored, and of a pass."""
PROBLEMS = 40
"""Of HumanEval, evenly spread."""
PERPLEXITY_WITHIN = {"int8": 0.02, "int4": 0.3}
"""Most that a precision may add to the perplexity, as a share of it."""
ANSWER = 64
"""Tokens of an answer that a precision and float32 are compared by."""
Advance = Callable[[str], None]


@dataclass(frozen=True)
class Text:
    """One text that is scored, and its kind."""

    kind: str
    content: str


def texts(count: int) -> list[Text]:
    """Return the pages, and `count` problems of HumanEval."""
    pages = [(kind, PROJECT / name) for kind, names in PAGES.items() for name in names]
    solved = [Text(HUMAN_EVAL, problem.prompt + problem.solution) for problem in problems(count)]
    return [Text(kind, path.read_text(encoding="utf-8")) for kind, path in pages] + solved


def measure(
    bundles: Mapping[str, Path], scored: Sequence[Text], questions: Path, advance: Advance = lambda _: None
) -> dict[str, Any]:
    """Return the perplexity of each kind by precision, and what each changes; of `bundles`, float32 is the first.

    Raises:
        MeasureError: a bundle has no tokenizer.
    """
    runners = {precision: BundleRunner(bundle, threads=0) for precision, bundle in bundles.items()}
    tokenizer = Tokenizer.load(bundles["float32"])
    if tokenizer is None:
        raise MeasureError(f"{bundles['float32']}: the bundle has no tokenizer")
    losses: dict[str, dict[str, list[dict[str, Any]]]] = {}
    apart = {precision: Apart() for precision in bundles if precision != "float32"}
    for text in scored:
        ids, passes = _passes(tokenizer, text.content)
        size = {"tokens": len(ids) - 1, "bytes": len(tokenizer.decode(ids[1:].tolist()).encode())}
        lost = dict.fromkeys(runners, 0.0)
        for step, *found in zip(passes, *(runner.run(passes) for runner in runners.values()), strict=True):
            right = ids[step.start + 1 : step.start + 1 + len(step.tokens)]
            for precision, logits in zip(runners, found, strict=True):  # (tokens of the pass, vocab)
                lost[precision] += float(nats(logits, right).sum())
            for one, logits in zip(apart.values(), found[1:], strict=True):
                one.add(logits, found[0])
        for precision, total in lost.items():
            losses.setdefault(text.kind, {}).setdefault(precision, []).append({**size, "nats": total})
        advance(text.kind)
    kinds = {kind: {name: together(own) for name, own in by.items()} for kind, by in losses.items()}
    result: dict[str, Any] = {"window": WINDOW, "perplexity": kinds}
    exact = _answers(bundles["float32"], questions, advance) if apart else []
    for precision, one in apart.items():
        pairs = list(zip(exact, _answers(bundles[precision], questions, advance), strict=True))
        told = {"asked": len(pairs), "max_tokens": ANSWER, **departures(pairs)}
        result[precision] = {**one.figures(), "answers": told}
    return result


class Apart:
    """How far logits are from others of the same tokens."""

    def __init__(self) -> None:
        self._off = self._whole = 0.0
        self._rows = self._same = 0

    def add(self, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
        """Count rows (tokens, vocab); a row's mean, which chooses no token, is taken away."""
        level = theirs - theirs.mean(-1, keepdims=True)
        off = ours - ours.mean(-1, keepdims=True) - level
        self._off += float(np.square(off, dtype=np.float64).sum())
        self._whole += float(np.square(level, dtype=np.float64).sum())
        self._same += int((ours.argmax(-1) == theirs.argmax(-1)).sum())
        self._rows += len(ours)

    def figures(self) -> dict[str, float]:
        """Return the relative root mean square of the difference, and the share of rows with the same best token."""
        rms = math.sqrt(self._off / self._whole)
        return {"rows": self._rows, "relative_rms": round(rms, 4), "same_best_token": round(self._same / self._rows, 4)}


def _answers(bundle: Path, questions: Path, advance: Advance) -> list[list[int]]:
    """Return the ids of greedy answers to the questions."""
    asked = [{**one.fields, "mode": "autoregressive", "max_tokens": ANSWER} for one in load(questions, 1)]
    with closing(open_runtime(bundle)) as runtime:
        requests = [{**one, "return_token_ids": True} for one in asked]
        answers = ask(runtime, requests, answered=lambda: advance("answers")).answers
        return [answer.chunk.token_ids for answer in answers]


def _passes(tokenizer: Tokenizer, text: str) -> tuple[NDArray[np.int64], list[Pass]]:
    """Return the ids of a text's first window, and the causal passes that read all but the last."""
    ids = np.array(tokenizer.encode(text)[: WINDOW + 1], dtype=np.int64)
    starts = range(0, len(ids) - 1, CHUNK)
    cuts = [ids[start : min(start + CHUNK, len(ids) - 1)] for start in starts]
    return ids, [Pass("", cut, start, causal=True, keep=True) for start, cut in zip(starts, cuts, strict=True)]


def text(found: Mapping[str, Any]) -> str:
    """Return the perplexities as a table, and in words what the other precisions change."""
    precisions = list(next(iter(found["perplexity"].values())))
    rows = [
        [kind, f"{by['float32']['tokens']:,}"]
        + [f"{by[name]['perplexity']:.2f} ({bits_per_byte(by[name]):.3f})" for name in precisions]
        for kind, by in found["perplexity"].items()
    ]
    grid = table(("text", "tokens", *precisions), rows, left=("text",))
    said = f"Perplexity, in brackets bits a byte, of each text's first {found['window']} tokens at most.\n\n{grid}"
    return "\n\n".join([said, *(_changes(name, found[name]) for name in precisions if name in found)])


def _changes(precision: str, found: Mapping[str, Any]) -> str:
    """Return in words what a precision changes."""
    answers = found["answers"]
    return f"""{precision} against float32 on the same tokens: relative RMS of the logits {found["relative_rms"]:.3f} without each row's mean, the same
best token in {found["same_best_token"]:.1%} of {found["rows"]:,} rows. Of {answers["asked"]} greedy answers of at most {answers["max_tokens"]} tokens {answers["differing_answers"]} differ:
{answers["per_1000_tokens"]:.1f} departures per 1000 tokens, each counted where it begins."""  # noqa: E501


def claims(found: Mapping[str, Any]) -> list[Claim]:
    """Return how much each precision may add to the perplexity."""
    made = []
    for kind, by in found["perplexity"].items():
        for precision, most in PERPLEXITY_WITHIN.items():
            if precision in by:
                more = by[precision]["perplexity"] / by["float32"]["perplexity"] - 1
                said = f"{precision} changes the perplexity of {kind} by {more:+.2%}, {most:.0%} more at most"
                made.append(Claim(said, more <= most))
    return made
