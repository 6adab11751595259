"""Revise on right answers of which a tenth of the tokens was replaced: what is restored, what is harmed.

What comes instead is drawn from the vocabulary, or from what the model itself finds likely there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from trimode.engines.base import Row
from trimode.runtime import Runtime
from trimode.text.tokenizer import Tokenizer

from ..common.ask import ask
from ..common.prompts import Prompt

SHARE = 0.1
SHORTEST = 15
"""Tokens that an answer must have to be corrupted."""
TRIES = 100
LIKELIEST = 5
"""A plausible wrong token is one of so many that the causal model finds likeliest."""
SETTINGS: tuple[dict[str, Any], ...] = (
    *({"revise_threshold": threshold} for threshold in (-0.5, -1.0, -2.0, -4.0, -8.0)),
    {"revise_threshold": -2.0, "accept": "always"},
    {"revise_threshold": -2.0, "revise_rounds": 1},
    {"revise_threshold": -2.0, "revise_rounds": 8},
    {"revise_fraction": SHARE},
)


@dataclass(frozen=True)
class Corrupted:
    """A right answer, and what became of it; both have the same number of tokens."""

    question: str
    right: list[int]
    wrong: list[int]
    text: str

    @property
    def places(self) -> list[int]:
        """Where the tokens differ."""
        return [at for at, (one, two) in enumerate(zip(self.right, self.wrong, strict=True)) if one != two]


Others = Callable[[str, list[int]], Sequence[Sequence[int]]]
"""From a question and its answer's tokens to what may be put in the place of each."""


def any_token(tokenizer: Tokenizer, vocabulary: int) -> Others:
    """Return what allows every token of the vocabulary but special ones."""
    special = set(tokenizer.special_ids)
    others = [token for token in range(vocabulary) if token not in special]
    return lambda question, answer: [others] * len(answer)


def plausible(runtime: Runtime) -> Others:
    """Return what allows the tokens that the model finds likeliest behind the question and the answer up to there.

    It runs the engine itself: nothing else may be asked meanwhile.
    """
    tokenizer, engine = runtime.tokenizer, runtime.engine
    assert tokenizer is not None
    never = [*tokenizer.special_ids, runtime.manifest.mask_token_id]

    def others(question: str, answer: list[int]) -> list[list[int]]:
        asked = tokenizer.encode(tokenizer.render_chat([{"role": "user", "content": question}], enable_thinking=False))
        tokens = np.array([*asked, *answer[:-1]], dtype=np.int64)
        slot = engine.allocate(block=False)
        try:
            want = np.arange(len(asked) - 1, len(tokens))
            result = engine.run([Row(slot, tokens, 0, "causal", want, keep=True)])[0].without(never)
            ranked = np.argsort(-result.logits, axis=-1, kind="stable")[:, : LIKELIEST + 1].tolist()
        finally:
            engine.free(slot)
        return [
            [token for token in few if token != right][:LIKELIEST] for few, right in zip(ranked, answer, strict=True)
        ]

    return others


def corrupt(prompts: Sequence[Prompt], tokenizer: Tokenizer, others: Others, seed: int = 4) -> list[Corrupted]:
    """Replace a tenth of each answer's tokens by `others`, so that the text has these tokens."""
    draw, found = random.Random(seed), []
    for prompt in prompts:
        if prompt.answer is None or prompt.messages is None or len(prompt.messages) > 1:
            continue
        right = tokenizer.encode(prompt.answer)
        if len(right) < SHORTEST:
            continue
        choices = others(prompt.messages[0]["content"], right)
        for _ in range(TRIES):
            wrong = list(right)
            for at in draw.sample(range(len(right)), max(1, round(SHARE * len(right)))):
                wrong[at] = draw.choice([token for token in draw.sample(choices[at], 2) if token != right[at]])
            text = tokenizer.decode(wrong)
            if tokenizer.encode(text) == wrong:  # else the server would read other tokens
                found.append(Corrupted(prompt.messages[0]["content"], right, wrong, text))
                break
    return found


def measure(
    runtime: Runtime, kinds: Mapping[str, Sequence[Corrupted]], advance: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return a row for each setting and kind of corruption; and what it does to the right answers, which need nothing.

    `corruption` is the kind's name, or None of right answers; those are of the first kind.
    """
    rows, right, tokenizer = [], next(iter(kinds.values())), runtime.tokenizer
    assert tokenizer is not None
    for setting in SETTINGS:
        name = ", ".join(f"{key} {value}" for key, value in setting.items())
        for kind, texts in [*kinds.items(), (None, right)]:
            given = [text.text if kind else tokenizer.decode(text.right) for text in texts]
            requests = [
                {"text": text, "instruction": one.question, **setting} for text, one in zip(given, texts, strict=True)
            ]
            answers = ask(runtime, requests, answered=partial(advance, f"revise, {name}")).chunks
            ids = [answer.token_ids for answer in answers]
            counts = _repaired(texts, ids) if kind else _spoilt(texts, ids)
            forwards = sum(answer.counters.forwards for answer in answers)
            rows.append({**setting, "corruption": kind, **counts, "forwards": forwards})
    return rows


def _repaired(texts: Sequence[Corrupted], ids: Sequence[list[int]]) -> dict[str, int]:
    """Count what became of the wrong tokens, and of the good ones beside them."""
    pairs = list(zip(texts, ids, strict=True))
    harmed = sum(a == b != c for text, mended in pairs for a, b, c in zip(text.right, text.wrong, mended, strict=True))
    return {
        "texts": len(texts),
        "exact": sum(mended == text.right for text, mended in pairs),
        "wrong_tokens": sum(len(text.places) for text in texts),
        "restored": sum(mended[at] == text.right[at] for text, mended in pairs for at in text.places),
        "good_tokens": sum(len(text.right) - len(text.places) for text in texts),
        "harmed": harmed,
    }


def _spoilt(texts: Sequence[Corrupted], ids: Sequence[list[int]]) -> dict[str, int]:
    """Count the same of right answers: nothing to mend, all to harm."""
    counts = _repaired([replace(text, wrong=text.right) for text in texts], ids)
    return {name: count for name, count in counts.items() if name not in ("wrong_tokens", "restored")}
